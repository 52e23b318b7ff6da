#pragma once
// What people ask the node over its local socket: one JSON object a line.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace cordon::node::local {

inline constexpr std::size_t kMaxLineBytes = 64u << 10;

struct Login {
  std::string user, password, totp;
};
struct Logout {};
struct Status {};
struct Why {
  std::string target;
  std::uint8_t protocol = 6;
  std::uint16_t port = 0;
};
/// Flows that this node saw, behind `after` ("next" of the answer before; empty: all that is remembered).
struct Flows {
  std::string after;
  std::size_t limit = 500;   ///< 1 to 500
  std::uint32_t wait_s = 0;  ///< for the next one, when there is none yet; 20 at most
};
struct Counters {};
using Request = std::variant<Login, Logout, Status, Why, Flows, Counters>;

/// Who asks, as the kernel says (SO_PEERCRED).
struct Caller {
  std::uint32_t uid = 0;
  std::int32_t pid = 0;
};

/// A line without its newline. Unknown verbs and keys, wrong types and overlong texts are `invalid`; the
/// error never quotes a password.
Result<Request> parse_request(std::string_view line);

/// "tcp/5432", "udp/53", "sctp/9", "icmp/8", "icmpv6/128": protocol and port, or ICMP type.
Result<std::pair<std::uint8_t, std::uint16_t>> parse_access(std::string_view text);
/// The reverse; port_bits 0: any port ("tcp"), protocol 0: "any".
std::string access_text(std::uint8_t protocol, std::uint16_t port, unsigned port_bits);

/// {"ok":false,...} in one line without its newline.
std::string error_reply(const Error& error, std::uint32_t retry_after_ms = 0);

}  // namespace cordon::node::local
