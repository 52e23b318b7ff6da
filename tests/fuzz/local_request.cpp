// links: cordon_node_lib
// Lines of the node's local socket: any user of the machine writes them.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "node/local/request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto request = cordon::node::local::parse_request({reinterpret_cast<const char*>(data), size});
  if (!request) {
    if (cordon::node::local::error_reply(request.error()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
