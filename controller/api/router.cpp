#include "controller/api/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "controller/api/api_token.h"
#include "controller/api/routes.h"
#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

constexpr std::size_t kMaxTarget = 4096;

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 1; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    parts.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

/// The values of {..} when the path has the pattern's shape.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path) {
  const auto wanted = split(pattern), given = split(path);
  if (wanted.size() != given.size()) return std::nullopt;
  std::vector<std::string> values;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].starts_with('{')) {
      if (wanted[i] != given[i]) return std::nullopt;
      continue;
    }
    auto value = percent_decode(given[i], false);
    if (!value || value->empty() || value->size() > 254) return std::nullopt;
    values.push_back(std::move(*value));
  }
  return values;
}

Result<boost::json::object> decode_query(std::string_view text, const Fields& fields) {
  boost::json::object query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    CORDON_ASSIGN(const std::string name, percent_decode(pair.substr(0, equals), true));
    CORDON_ASSIGN(const std::string value,
                  percent_decode(pair.substr(std::min(equals + 1, pair.size())), true));
    const auto field = std::ranges::find(fields, std::string_view(name), &Field::name);
    if (field == fields.end()) {
      // Reuses the body's wording, which names near members.
      CORDON_TRY(check_object({{name, nullptr}}, fields, ""));
    }
    if (query.contains(name))
      return fail(ErrorCode::invalid, fmt::format("parameter \"{}\" is given twice", field->name));
    CORDON_ASSIGN(query[name], decode_parameter(value, *field));
  }
  for (const Field& field : fields) {
    if (!field.required || query.contains(field.name)) continue;
    return fail(ErrorCode::invalid, fmt::format("parameter \"{}\" is missing", field.name),
                fmt::format("add it: {}", field.about));
  }
  return query;
}

bool is_json(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return type.substr(0, type.find_last_not_of(" \t") + 1) == "application/json";
}

}  // namespace

Result<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' && plus_is_blank ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return fail(ErrorCode::invalid, "the address has a malformed % escape");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (out.find('\0') != std::string::npos) return fail(ErrorCode::invalid, "the address has a NUL in it");
  return out;
}

Result<Caller> Router::caller_of(const Request& head, const Peer& peer) const {
  if (peer.local) return Caller{.actor = std::string(kLocalActor), .role = Role::root};
  if (head.authorization.empty()) return Caller{};
  constexpr std::string_view kScheme = "Bearer ";
  if (!head.authorization.starts_with(kScheme)) {
    return fail(ErrorCode::unauthorized, "the Authorization header is not of the Bearer scheme",
                "send \"Authorization: Bearer TOKEN\"");
  }
  return authenticate(services_.log.world(), std::string_view(head.authorization).substr(kScheme.size()),
                      services_.clock.now());
}

std::expected<Call, Reply> Router::admit(const Request& head, const Peer& peer) const {
  const std::string_view target = head.target;
  if (target.size() > kMaxTarget || !target.starts_with('/')) {
    return std::unexpected(problem(Error{ErrorCode::invalid, "the address is malformed or too long"}));
  }
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query = path.size() == target.size() ? "" : target.substr(path.size() + 1);
  Call call;
  std::string allow;
  for (const Route& route : all_routes()) {
    auto values = match(route.pattern, path);
    if (!values) continue;
    allow += (allow.empty() ? "" : ", ") + std::string(route.method);
    if (route.method != head.method) continue;
    call.route = &route;
    call.path = std::move(*values);
  }
  if (allow.empty()) {
    return std::unexpected(problem(Error{ErrorCode::not_found, "there is nothing at this address",
                                         "/openapi.json lists what there is"}));
  }
  if (call.route == nullptr) {
    Reply reply =
        problem(405, Error{ErrorCode::invalid, "this address doesn't take that method", "use " + allow});
    reply.allow = allow;
    return std::unexpected(std::move(reply));
  }
  auto caller = caller_of(head, peer);
  if (!caller) return std::unexpected(problem(caller.error()));
  if (!may(caller->role, call.route->role)) {
    if (caller->role == Role::anyone) {
      return std::unexpected(problem(
          Error{ErrorCode::unauthorized, "this needs an API token", "send \"Authorization: Bearer TOKEN\""}));
    }
    return std::unexpected(problem(Error{
        ErrorCode::forbidden, fmt::format("the role {} may not do this", to_string(caller->role)),
        call.route->role == Role::root ? "it is done on the controller's own host, over its UNIX socket"
                                       : fmt::format("it needs the role {}", to_string(call.route->role))}));
  }
  call.caller = std::move(*caller);
  auto parameters = decode_query(query, call.route->query);
  if (!parameters) return std::unexpected(problem(parameters.error()));
  call.query = std::move(*parameters);
  return call;
}

/// Refusals are counted by status: abuse shows there.
Reply Router::counted(Reply reply) const {
  if (reply.status >= 400) services_.metrics.count("api_refused", std::to_string(reply.status));
  return reply;
}

std::optional<Reply> Router::refuse_early(const Request& head, const Peer& peer) const {
  auto call = admit(head, peer);
  if (call) return std::nullopt;
  return counted(std::move(call).error());
}

void Router::handle(const Request& request, const Peer& peer, Respond respond) const {
  services_.metrics.count("api_requests");
  const auto answer = [this, respond = std::move(respond)](Reply reply) {
    respond(counted(std::move(reply)));
  };
  auto call = admit(request, peer);
  if (!call) return answer(std::move(call).error());
  const Fields& fields = call->route->body;
  if (!request.body.empty()) {
    if (fields.empty()) {
      return answer(problem(Error{ErrorCode::invalid, "this address takes no body", "send none"}));
    }
    if (!is_json(request.content_type)) {
      return answer(problem(415, Error{ErrorCode::invalid, "the body's type is not application/json",
                                       "send \"Content-Type: application/json\""}));
    }
    auto body = parse_object(request.body);
    if (!body) return answer(problem(body.error()));
    call->body = std::move(*body);
  }
  if (const auto good = check_object(call->body, fields, ""); !good) return answer(problem(good.error()));
  call->route->handler(services_, *call, answer);
}

}  // namespace cordon::controller::api
