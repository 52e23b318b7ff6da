#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {

void add_ca(CLI::App& program, Context& context) {
  CLI::App* made = command(program, "ca", "the controller's authority (PEM), for --ca elsewhere",
                           "cordon ca > trust.pem     # on the controller, then carried where it is needed");
  does(made, context, [&context]() -> Result<int> {
    CORDON_ASSIGN(const json::object status, context.api("GET", "/v1/status"));
    const std::string pem = text(status, "trust_bundle");
    if (context.as_json) {
      context.print_json({{"trust_bundle", pem}});
    } else {
      context.env.out << pem;
    }
    return kOk;
  });
}

}  // namespace cordon::cli
