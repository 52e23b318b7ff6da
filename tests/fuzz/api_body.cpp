// links: cordon_controller_lib
// The first byte picks a route; the rest is its body, then its query.

#include <boost/json/serialize.hpp>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "controller/api/router.h"
#include "controller/api/routes.h"

using namespace cordon::controller::api;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Routes& routes = all_routes();
  const Route& route = routes[data[0] % routes.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (const auto body = parse_object(text)) {
    const bool good = check_object(*body, route.body, "").has_value();
    // What was taken once is taken again after it was written out.
    const auto again = parse_object(boost::json::serialize(*body));
    if (!again || check_object(*again, route.body, "").has_value() != good) std::abort();
  }
  (void)percent_decode(text, true);
  for (const Field& field : route.query) (void)decode_parameter(text, field);
  return 0;
}
