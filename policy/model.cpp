#include "policy/model.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "policy/wording.h"

namespace cordon::policy {

bool Conditions::empty() const {
  return !assurance && !auth_age_max && !trust_min && !health_min && require.empty() && !attestation &&
         !hours && !valid_from && !valid_until && source_networks.empty() && countries.empty();
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::allow:
      return "allow";
    case Verdict::deny:
      return "deny";
    case Verdict::forbid:
      return "forbid";
  }
  return "deny";
}
namespace {

constexpr std::uint8_t kEchoRequest = 8, kEchoRequestV6 = 128;

struct Protocol {
  std::string_view name;
  std::uint8_t number;
  std::uint16_t lowest, highest;  ///< what may be written after the slash
};
constexpr std::array kProtocols{
    Protocol{"tcp", kTcp, 1, 65535}, Protocol{"udp", kUdp, 1, 65535},     Protocol{"sctp", kSctp, 1, 65535},
    Protocol{"icmp", kIcmp, 0, 255}, Protocol{"icmpv6", kIcmpv6, 0, 255},
};

constexpr std::string_view kAccessHint =
    "an access is \"tcp/443\", \"udp/8000-8099\", \"sctp/9\", \"icmp/8\", \"icmpv6/128\", \"ping\", \"tcp\" "
    "or "
    "\"any\"";

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol& protocol : kProtocols)
    if (protocol.name == name) return &protocol;
  return nullptr;
}

std::unexpected<Error> bad_access(std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid, fmt::format("access {} {}", in_quotes(text), why),
              std::string(kAccessHint));
}

Result<std::uint16_t> parse_number(std::string_view whole, std::string_view text, const Protocol& protocol) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size())
    return bad_access(whole, "has no number where one is expected");
  if (value < protocol.lowest || value > protocol.highest)
    return bad_access(whole, fmt::format("is out of range: {} takes {} to {}", protocol.name, protocol.lowest,
                                         protocol.highest));
  return static_cast<std::uint16_t>(value);
}

}  // namespace

std::string to_string(const Access& access) {
  if (!access.protocol) return "any";
  std::string name = fmt::format("protocol-{}", *access.protocol);
  for (const Protocol& protocol : kProtocols)
    if (protocol.number == *access.protocol) name = protocol.name;
  if (access.ports.all()) return name;
  if (access.ports.first == access.ports.last) return fmt::format("{}/{}", name, access.ports.first);
  return fmt::format("{}/{}-{}", name, access.ports.first, access.ports.last);
}

Result<std::vector<Access>> parse_access(std::string_view text) {
  if (text == "any") return std::vector{Access{}};
  if (text == "ping")
    return std::vector{Access{.protocol = kIcmp, .ports = {kEchoRequest, kEchoRequest}},
                       Access{.protocol = kIcmpv6, .ports = {kEchoRequestV6, kEchoRequestV6}}};
  const auto slash = text.find('/');
  const Protocol* protocol = find_protocol(text.substr(0, slash));
  if (protocol == nullptr) return bad_access(text, "names no known protocol");
  if (slash == std::string_view::npos) return std::vector{Access{.protocol = protocol->number, .ports = {}}};

  const std::string_view ports = text.substr(slash + 1);
  const auto dash = ports.find('-');
  CORDON_ASSIGN(const std::uint16_t first, parse_number(text, ports.substr(0, dash), *protocol));
  std::uint16_t last = first;
  if (dash != std::string_view::npos) {
    CORDON_ASSIGN(last, parse_number(text, ports.substr(dash + 1), *protocol));
  }
  if (last < first) return bad_access(text, "ends before it starts");
  return std::vector{Access{.protocol = protocol->number, .ports = {first, last}}};
}

}  // namespace cordon::policy
