#include "cli/reach.h"

#include <ostream>

#include "cli/table.h"

namespace cordon::cli {

void print_reach(Context& context, const json::object& answer) {
  Table table({"HOST", "SERVICE", "ACCESS", "RULE", "UNTIL", "ADDRESSES"});
  for (const json::value& value : items(answer, "reach")) {
    if (!value.is_object()) continue;
    const json::object& reach = value.get_object();
    table.row({text(reach, "target"), text(reach, "service"), text(reach, "access"), text(reach, "rule"),
               local_time(reach, "deadline"), joined(reach, "addresses")});
  }
  table.print(context.env.out, "nothing may be reached now");
}

}  // namespace cordon::cli
