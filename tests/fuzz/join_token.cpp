// links: cordon_proto
// A join token; one that is taken must be written back as a text that reads as the same.

#include <cstdint>
#include <cstdlib>

#include "proto/join_token.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cordon;
  const auto token = wire::parse_join_token({reinterpret_cast<const char*>(data), size});
  if (!token) return 0;
  const auto again = wire::parse_join_token(wire::to_string(*token));
  if (!again || again->id != token->id || again->secret != token->secret ||
      again->ca_fingerprint != token->ca_fingerprint) {
    std::abort();
  }
  return 0;
}
