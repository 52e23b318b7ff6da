#include "node/local/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <initializer_list>

namespace cordon::node::local {
namespace {

namespace json = boost::json;
constexpr std::size_t kMaxText = 1024;
constexpr unsigned kMaxDepth = 4;

struct NamedProtocol {
  std::string_view name;
  std::uint8_t number;
  unsigned first, last;  ///< ports, or ICMP types
};
constexpr std::array kProtocols = {NamedProtocol{"tcp", 6, 1, 65535}, NamedProtocol{"udp", 17, 1, 65535},
                                   NamedProtocol{"sctp", 132, 1, 65535}, NamedProtocol{"icmp", 1, 0, 255},
                                   NamedProtocol{"icmpv6", 58, 0, 255}};

Result<> only(const json::object& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object) {
    const std::string_view name(key.data(), key.size());
    if (name != "verb" && std::ranges::find(known, name) == known.end())
      return fail(ErrorCode::invalid, fmt::format("unknown key \"{}\"", name.substr(0, 64)));
  }
  return {};
}

Result<std::string> text(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string())
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is missing or no text", key));
  const auto& string = value->get_string();
  if (string.empty() || string.size() > kMaxText)
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is to have 1 to {} bytes", key, kMaxText));
  return std::string(string);
}

Result<Request> parse_login(const json::object& object) {
  CORDON_TRY(only(object, {"user", "password", "totp"}));
  Login login;
  CORDON_ASSIGN(login.user, text(object, "user"));
  CORDON_ASSIGN(login.password, text(object, "password"));
  CORDON_ASSIGN(login.totp, text(object, "totp"));
  return login;
}

Result<Request> parse_why(const json::object& object) {
  CORDON_TRY(only(object, {"target", "access"}));
  Why why;
  CORDON_ASSIGN(why.target, text(object, "target"));
  CORDON_ASSIGN(const auto access, text(object, "access"));
  CORDON_ASSIGN(const auto pair, parse_access(access));
  why.protocol = pair.first;
  why.port = pair.second;
  return why;
}

Result<std::int64_t> number(const json::object& object, std::string_view key, std::int64_t least,
                            std::int64_t most, std::int64_t otherwise) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return otherwise;
  if (!value->is_int64() || value->get_int64() < least || value->get_int64() > most)
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is to be {} to {}", key, least, most));
  return value->get_int64();
}

Result<Request> parse_flows(const json::object& object) {
  CORDON_TRY(only(object, {"after", "limit", "wait_s"}));
  Flows flows;
  if (object.contains("after")) {
    CORDON_ASSIGN(flows.after, text(object, "after"));
  }
  CORDON_ASSIGN(const std::int64_t limit, number(object, "limit", 1, 500, 500));
  CORDON_ASSIGN(const std::int64_t wait, number(object, "wait_s", 0, 20, 0));
  flows.limit = static_cast<std::size_t>(limit);
  flows.wait_s = static_cast<std::uint32_t>(wait);
  return flows;
}

Result<json::object> parse_object(std::string_view line) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code ec;
  try {
    auto value = json::parse(json::string_view(line.data(), line.size()), ec, {}, options);
    if (!ec && value.is_object()) return std::move(value.get_object());
  } catch (const std::exception&) {
    return fail(ErrorCode::invalid, "the line can't be read");
  }
  return fail(ErrorCode::invalid, "the line is no JSON object", R"(such as {"verb":"status"})");
}

}  // namespace

Result<std::pair<std::uint8_t, std::uint16_t>> parse_access(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view name = text.substr(0, slash);
  const auto protocol = std::ranges::find(kProtocols, name, &NamedProtocol::name);
  if (protocol == kProtocols.end())
    return fail(ErrorCode::invalid, fmt::format("unknown protocol \"{}\"", name.substr(0, 32)),
                "such as tcp/5432, udp/53 or icmp/8");
  std::uint16_t port = 0;
  const std::string_view digits =
      slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size() || port < protocol->first ||
      port > protocol->last)
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" names no {}", text.substr(0, 64), protocol->first == 0 ? "type" : "port"),
                "such as tcp/5432 or icmp/8");
  return std::pair{protocol->number, port};
}

std::string access_text(std::uint8_t protocol, std::uint16_t port, unsigned port_bits) {
  if (protocol == 0) return "any";
  const auto known = std::ranges::find(kProtocols, protocol, &NamedProtocol::number);
  const std::string name =
      known == kProtocols.end() ? fmt::format("ip/{}", protocol) : std::string(known->name);
  if (port_bits == 0) return name;
  if (port_bits >= 16) return fmt::format("{}/{}", name, port);
  return fmt::format("{}/{}-{}", name, port, port | (0xffffu >> port_bits));
}

Result<Request> parse_request(std::string_view line) {
  if (line.size() > kMaxLineBytes) return fail(ErrorCode::invalid, "the line is too long");
  CORDON_ASSIGN(const auto object, parse_object(line));
  CORDON_ASSIGN(const auto verb, text(object, "verb"));
  if (verb == "login") return parse_login(object);
  if (verb == "why") return parse_why(object);
  if (verb == "flows") return parse_flows(object);
  if (verb != "logout" && verb != "status" && verb != "counters")
    return fail(ErrorCode::invalid, fmt::format("unknown verb \"{}\"", verb.substr(0, 64)),
                "one of login, logout, status, why, flows, counters");
  CORDON_TRY(only(object, {}));
  if (verb == "counters") return Counters{};
  return verb == "logout" ? Request{Logout{}} : Request{Status{}};
}

std::string error_reply(const Error& error, std::uint32_t retry_after_ms) {
  Error told = error;
  told.hint.clear();
  json::object out;
  out["ok"] = false;
  out["error"] = told.message();
  out["hint"] = error.hint;
  out["code"] = to_string(error.code);
  out["retry_after_ms"] = retry_after_ms;
  return json::serialize(out);
}

}  // namespace cordon::node::local
