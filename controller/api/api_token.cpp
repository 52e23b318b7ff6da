#include "controller/api/api_token.h"

#include "base/bytes.h"

namespace cordon::controller::api {
namespace {

constexpr std::string_view kPrefix = "cordona1.";
constexpr std::size_t kSecretBytes = 32;

bool owner_is_gone(const policy::World& world, const std::string& owner) {
  if (owner == kLocalActor) return false;
  const auto it = world.users.find(SubjectId(owner));
  return it == world.users.end() || it->second.disabled;
}

}  // namespace

std::string api_token_text(const TokenId& id, ByteView secret) {
  return std::string(kPrefix) + id.value + "." + to_base64url(secret);
}

Result<Caller> authenticate(const policy::World& world, std::string_view token, Timestamp now) {
  const auto refused = fail(ErrorCode::unauthorized, "the API token is not valid",
                            "an admin makes one with `cordon api-token create`");
  if (!token.starts_with(kPrefix)) return refused;
  token.remove_prefix(kPrefix.size());
  const std::size_t dot = token.find('.');
  if (dot == std::string_view::npos || dot > 64) return refused;
  const auto secret = from_base64url(token.substr(dot + 1));
  if (!secret || secret->size() != kSecretBytes) return refused;
  const auto it = world.api_tokens.find(TokenId(std::string(token.substr(0, dot))));
  if (it == world.api_tokens.end()) return refused;
  const policy::ApiToken& known = it->second;
  const Sha256 hash = sha256(*secret);
  if (!equal_in_constant_time(hash, known.secret_hash)) return refused;
  if (known.revoked || known.expires_at <= now || owner_is_gone(world, known.owner)) return refused;
  CORDON_ASSIGN(const Role role, parse_role(known.role));
  return Caller{.actor = "operator:" + known.owner + "/" + known.id.value, .role = role};
}

}  // namespace cordon::controller::api
