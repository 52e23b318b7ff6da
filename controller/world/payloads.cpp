#include "controller/world/payloads.h"

#include <boost/json.hpp>
#include <limits>

#include "controller/world/names.h"

namespace cordon::controller::kinds {

namespace json = boost::json;
using wire::Fields;

// ---- parts ----

json::array list(const std::set<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}
Timestamp time(Fields& f, std::string_view key) {
  return from_us(f.integer(key, 0, std::numeric_limits<std::int64_t>::max()));
}

Prefix prefix(Fields& f, std::string_view key) {
  const auto text = f.text(key, 64);
  auto parsed = Prefix::parse(text);
  if (!parsed) f.refuse(key, "isn't a prefix");
  return parsed.value_or(Prefix{});
}

json::value ownership(const std::optional<policy::Ownership>& ownership) {
  return ownership ? json::value(json::string(ownership_name(*ownership))) : json::value(nullptr);
}

std::optional<policy::Ownership> ownership(Fields& f) {
  if (f.is_null("ownership")) return std::nullopt;
  const auto found = ownership_by_name(f.text("ownership"));
  if (!found) f.refuse("ownership", "must be company, personal, vendor, partner or null");
  return found;
}

// {"node_lease_s":N,"overlay_v4":"100.64.0.0/10","overlay_v6":"fd..::/48","trust_domain":"acme.example"}
json::object write(const InstallationCreated& k) {
  return {{"node_lease_s", k.installation.node_lease.count()},
          {"overlay_v4", k.installation.overlay_v4.to_string()},
          {"overlay_v6", k.installation.overlay_v6.to_string()},
          {"trust_domain", k.installation.trust_domain}};
}
void read(Fields& f, InstallationCreated& k) {
  k.installation.node_lease = Seconds(f.integer("node_lease_s", 1, std::int64_t{24} * 3600));
  k.installation.overlay_v4 = prefix(f, "overlay_v4");
  k.installation.overlay_v6 = prefix(f, "overlay_v6");
  k.installation.trust_domain = f.id("trust_domain");
}

// {"expires_at":N,"id":"a-..","owner":"root@local","role":"viewer","secret_hash":"hex"}
json::object write(const ApiTokenCreated& k) {
  return {{"expires_at", to_us(k.token.expires_at)},
          {"id", k.token.id.value},
          {"owner", k.token.owner},
          {"role", k.token.role},
          {"secret_hash", to_hex(k.token.secret_hash)}};
}
void read(Fields& f, ApiTokenCreated& k) {
  k.token.expires_at = time(f, "expires_at");
  k.token.id.value = f.id("id");
  k.token.owner = f.text("owner");
  k.token.role = f.text("role");
  if (!is_role(k.token.role)) f.refuse("role", "must be viewer, engineer, operator, auditor or admin");
  k.token.secret_hash = f.hex32("secret_hash");
}

// {"token":"a-.."}
json::object write(const ApiTokenRevoked& k) {
  return {{"token", k.token.value}};
}
void read(Fields& f, ApiTokenRevoked& k) {
  k.token.value = f.id("token");
}

// {}
json::object write(const TimeAdvanced&) {
  return {};
}
void read(Fields&, TimeAdvanced&) {}

// {"account":"u-..","device":"trader","failures":10}
json::object write(const LoginSlowed& k) {
  return {{"account", k.account}, {"device", k.device.value}, {"failures", k.failures}};
}
void read(Fields& f, LoginSlowed& k) {
  k.account = f.id("account");
  k.device.value = f.id("device");
  k.failures = static_cast<unsigned>(f.integer("failures", 0, 1'000'000'000));
}

// {"format":2}
json::object write(const FormatRaised& k) {
  return {{"format", k.format}};
}
void read(Fields& f, FormatRaised& k) {
  k.format = static_cast<std::uint32_t>(f.integer("format", 2, 1'000'000));
}

}  // namespace cordon::controller::kinds
