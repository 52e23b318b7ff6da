#include <fmt/format.h>

#include "controller/api/answers.h"
#include "controller/api/api_token.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

Result<policy::ApiToken> api_token_of(const policy::World& world, const Call& call, Timestamp now) {
  policy::ApiToken token;
  CORDON_ASSIGN(const Role role, parse_role(call.text("role")));
  token.role = to_string(role);
  token.owner = call.text("owner", kLocalActor);
  if (token.owner != kLocalActor) {
    CORDON_ASSIGN(const policy::User* owner, find_user(world, token.owner));
    if (owner->disabled)
      return fail(ErrorCode::conflict, fmt::format("user \"{}\" is disabled", owner->name));
    token.owner = owner->id.value;
  }
  token.expires_at = now + Seconds{call.number("expires_in_s", kLongestTokenLife)};
  return token;
}

void create_api_token(Services& services, const Call& call, Respond respond) {
  auto token = api_token_of(services.log.world(), call, services.clock.now());
  if (!token) return respond(problem(token.error()));
  token->id = TokenId("a-" + to_hex(random_bytes(8)));
  const Bytes secret = random_bytes(32);
  token->secret_hash = sha256(secret);
  boost::json::object extra{{"id", token->id.value},
                            {"token", api_token_text(token->id, secret)},
                            {"expires_at", format_rfc3339(token->expires_at)}};
  commit(services, call, kinds::ApiTokenCreated{std::move(*token)}, std::move(extra), respond);
}

void list_api_tokens(Services& services, const Call& call, Respond respond) {
  const policy::World& world = services.log.world();
  respond(page(call, world.api_tokens, [&world, now = services.clock.now()](const policy::ApiToken& token) {
    return view(token, world, now);
  }));
}

void revoke_api_token(Services& services, const Call& call, Respond respond) {
  const TokenId id(call.path[0]);
  if (!services.log.world().api_tokens.contains(id)) {
    return respond(problem(Error{.code = ErrorCode::not_found,
                                 .what = fmt::format("there is no API token \"{}\"", id.value),
                                 .hint = "`cordon api-token list` shows them"}));
  }
  commit(services, call, kinds::ApiTokenRevoked{id}, {}, respond);
}

}  // namespace

Routes api_token_routes() {
  return {
      {.method = "POST",
       .pattern = "/v1/api-tokens",
       .operation = "createApiToken",
       .role = Role::root,
       .summary =
           "A token for this API; its text is shown once. Only over the UNIX socket: tokens make no tokens",
       .body = {{.name = "role", .about = "viewer, auditor, engineer, operator or admin", .required = true},
                {.name = "expires_in_s",
                 .type = Type::integer,
                 .about = "seconds it lives (default and most 90 days)",
                 .minimum = 1,
                 .maximum = kLongestTokenLife},
                {.name = "owner", .about = "a user, by name or id, whom it dies with (default root@local)"}},
       .answer = "ApiTokenCreated",
       .status = 201,
       .handler = create_api_token},
      {.method = "GET",
       .pattern = "/v1/api-tokens",
       .operation = "listApiTokens",
       .role = Role::admin,
       .summary = "API tokens, without their secrets",
       .query = paging(),
       .answer = "ApiToken",
       .kind = Body::list,
       .handler = list_api_tokens},
      {.method = "DELETE",
       .pattern = "/v1/api-tokens/{id}",
       .operation = "revokeApiToken",
       .role = Role::admin,
       .summary = "Nobody gets in with it any more",
       .answer = "Revision",
       .handler = revoke_api_token}};
}

}  // namespace cordon::controller::api
