#include <fmt/format.h>

#include <algorithm>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/pki/authority.h"
#include "proto/join_token.h"

namespace cordon::controller::api {
namespace {

constexpr std::int64_t kLongestLife = std::int64_t{30} * 24 * 3600;

Result<std::optional<policy::Ownership>> ownership_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "company") return policy::Ownership::company;
  if (text == "personal") return policy::Ownership::personal;
  if (text == "vendor") return policy::Ownership::vendor;
  if (text == "partner") return policy::Ownership::partner;
  return fail(ErrorCode::invalid, fmt::format("unknown ownership \"{}\"", text),
              "give company, personal, vendor or partner");
}

Result<policy::JoinToken> join_token_of(const Call& call, Timestamp now) {
  policy::JoinToken token;
  for (const std::string& tag : call.texts("tags")) {
    const bool plain = !tag.empty() && tag.size() <= 63 && std::ranges::all_of(tag, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (!plain) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a tag", tag),
                  "use a-z, 0-9 and -, 63 at most");
    }
    token.tags.insert(tag);
  }
  CORDON_ASSIGN(token.ownership, ownership_of(call.text("ownership")));
  token.uses_left = static_cast<std::uint32_t>(call.number("uses", 1));
  token.expires_at = now + Seconds{call.number("expires_in_s", 3600)};
  token.approve = call.flag("approve");
  if (const std::string source = call.text("source"); !source.empty()) {
    CORDON_ASSIGN(token.source, Prefix::parse(source));
  }
  if (token.approve && !token.source) {
    return fail(ErrorCode::invalid, "approval by hand can be waived only for devices of a known network",
                "give \"source\", the prefix that they enrol from");
  }
  return token;
}

void create_join_token(Services& services, const Call& call, Respond respond) {
  auto token = join_token_of(call, services.clock.now());
  if (!token) return respond(problem(token.error()));
  token->id = TokenId("t-" + to_hex(random_bytes(8)));
  const Bytes secret = random_bytes(32);
  token->secret_hash = sha256(secret);
  const std::string text = wire::to_string(
      {.id = token->id, .secret = secret, .ca_fingerprint = services.authority.root_fingerprint()});
  boost::json::object extra{
      {"id", token->id.value}, {"token", text}, {"expires_at", format_rfc3339(token->expires_at)}};
  commit(services, call, kinds::JoinTokenCreated{std::move(*token)}, std::move(extra), respond);
}

void list_join_tokens(Services& services, const Call& call, Respond respond) {
  const Timestamp now = services.clock.now();
  respond(page(call, services.log.world().join_tokens,
               [now](const policy::JoinToken& token) { return view(token, now); }));
}

void revoke_join_token(Services& services, const Call& call, Respond respond) {
  const TokenId id(call.path[0]);
  if (!services.log.world().join_tokens.contains(id)) {
    return respond(problem(Error{.code = ErrorCode::not_found,
                                 .what = fmt::format("there is no join token \"{}\"", id.value),
                                 .hint = "`cordon token list` shows them"}));
  }
  commit(services, call, kinds::JoinTokenRevoked{id}, {}, respond);
}

}  // namespace

Routes join_token_routes() {
  return {{.method = "POST",
           .pattern = "/v1/tokens",
           .operation = "createJoinToken",
           .role = Role::operator_,
           .summary = "A token that lets devices ask in; its text is shown once",
           .body = {{.name = "tags", .type = Type::strings, .about = "that devices get", .longest = 64},
                    {.name = "uses",
                     .type = Type::integer,
                     .about = "how many devices (default 1)",
                     .minimum = 1,
                     .maximum = 10'000},
                    {.name = "expires_in_s",
                     .type = Type::integer,
                     .about = "seconds it lives (default an hour)",
                     .minimum = 1,
                     .maximum = kLongestLife},
                    {.name = "ownership", .about = "company, personal, vendor or partner", .nullable = true},
                    {.name = "approve",
                     .type = Type::boolean,
                     .about = "waive approval by hand; only with source"},
                    {.name = "source", .about = "prefix that devices enrol from", .nullable = true}},
           .answer = "JoinTokenCreated",
           .status = 201,
           .handler = create_join_token},
          {.method = "GET",
           .pattern = "/v1/tokens",
           .operation = "listJoinTokens",
           .role = Role::viewer,
           .summary = "Join tokens, without their secrets",
           .query = paging(),
           .answer = "JoinToken",
           .kind = Body::list,
           .handler = list_join_tokens},
          {.method = "DELETE",
           .pattern = "/v1/tokens/{id}",
           .operation = "revokeJoinToken",
           .role = Role::operator_,
           .summary = "No device gets in with it any more; those that are in stay",
           .answer = "Revision",
           .handler = revoke_join_token}};
}

}  // namespace cordon::controller::api
