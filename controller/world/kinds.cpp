// Each kind's payload: its grammar, its encoder and its decoder, side by side. A payload is canonical JSON;
// decoding ends by encoding again, so no two payloads mean the same.
//
// Times are UTC microseconds (9223372036854775807: never), lifetimes are seconds, hashes and set members are
// hex and sorted, other bytes are base64 with padding.
#include "controller/world/kinds.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>
#include <limits>

#include "controller/world/names.h"
#include "proto/canonical_json.h"

namespace cordon::controller::kinds {

namespace {

namespace json = boost::json;
using wire::Fields;

constexpr std::int64_t kMaxTime = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxPolicyFiles = 4096;

json::array list(const std::set<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}
json::string base64(ByteView bytes) {
  return json::string(to_base64(bytes));
}
Timestamp time(Fields& f, std::string_view key) {
  return from_us(f.integer(key, 0, kMaxTime));
}

Prefix prefix(Fields& f, std::string_view key) {
  const auto text = f.text(key, 64);
  auto parsed = Prefix::parse(text);
  if (!parsed) f.refuse(key, "isn't a prefix");
  return parsed.value_or(Prefix{});
}

WireguardKey wireguard(Fields& f, std::string_view key) {
  WireguardKey out{};
  const auto bytes = f.base64(key, out.size(), out.size());
  if (bytes.size() == out.size()) std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
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
  k.installation.node_lease = Seconds(f.integer("node_lease_s", 1, 24 * 3600));
  k.installation.overlay_v4 = prefix(f, "overlay_v4");
  k.installation.overlay_v6 = prefix(f, "overlay_v6");
  k.installation.trust_domain = f.id("trust_domain");
}

// {"files":[{"name":"a.toml","text":"..."}]}
json::object write(const PolicyApplied& k) {
  json::array files;
  for (const auto& file : k.files) files.push_back(json::object{{"name", file.name}, {"text", file.text}});
  return {{"files", std::move(files)}};
}
void read(Fields& f, PolicyApplied& k) {
  const auto* value = f.value("files");
  if (value == nullptr) return;
  const auto* files = value->if_array();
  if (files == nullptr || files->size() > kMaxPolicyFiles)
    return f.refuse("files", "must be a list of at most 4096 files");
  for (const auto& file : *files) {
    Fields inner(file, "file");
    k.files.push_back({.name = inner.text("name"), .text = inner.text("text", kMaxFileBytes, 0)});
    if (const auto done = inner.finish(); !done) return f.refuse("files", done.error().what);
  }
}

// {"approve":false,"expires_at":N,"id":"t-..","ownership":"company"|null,"secret_hash":"hex",
//  "source":"198.51.100.0/24"|null,"tags":["settlement"],"uses":1}
json::object write(const JoinTokenCreated& k) {
  const auto& t = k.token;
  return {{"approve", t.approve},
          {"expires_at", to_us(t.expires_at)},
          {"id", t.id.value},
          {"ownership", ownership(t.ownership)},
          {"secret_hash", to_hex(t.secret_hash)},
          {"source", t.source ? json::value(json::string(t.source->to_string())) : json::value(nullptr)},
          {"tags", list(t.tags)},
          {"uses", t.uses_left}};
}
void read(Fields& f, JoinTokenCreated& k) {
  auto& t = k.token;
  t.approve = f.boolean("approve");
  t.expires_at = time(f, "expires_at");
  t.id.value = f.id("id");
  t.ownership = ownership(f);
  t.secret_hash = f.hex32("secret_hash");
  if (!f.is_null("source")) t.source = prefix(f, "source");
  t.tags = f.texts("tags", 64, 63);
  t.uses_left = static_cast<std::uint32_t>(f.integer("uses", 1, 1'000'000));
}

// {"token":"t-.."}
json::object write(const JoinTokenRevoked& k) {
  return {{"token", k.token.value}};
}
void read(Fields& f, JoinTokenRevoked& k) {
  k.token.value = f.id("token");
}

// {"device":"ledger","platform":"Debian 12","public_key":"base64","token":"t-..","wireguard_key":"base64"}
json::object write(const DeviceEnrolled& k) {
  return {{"device", k.device.value},
          {"platform", k.platform},
          {"public_key", base64(k.public_key_der)},
          {"token", k.token.value},
          {"wireguard_key", base64(k.wireguard_key)}};
}
void read(Fields& f, DeviceEnrolled& k) {
  k.device.value = f.id("device");
  k.platform = f.text("platform", 255, 0);
  k.public_key_der = f.base64("public_key", 1, 1024);
  k.token.value = f.id("token");
  k.wireguard_key = wireguard(f, "wireguard_key");
}

// {"device":"ledger"}
json::object write(const DeviceApproved& k) {
  return {{"device", k.device.value}};
}
void read(Fields& f, DeviceApproved& k) {
  k.device.value = f.id("device");
}

// {"device":"ledger","reason":"sold"}
json::object write(const DeviceRemoved& k) {
  return {{"device", k.device.value}, {"reason", k.reason}};
}
void read(Fields& f, DeviceRemoved& k) {
  k.device.value = f.id("device");
  k.reason = f.text("reason", 1000, 0);
}

// {"device":"ledger","tags":["settlement"]}
json::object write(const DeviceTagged& k) {
  return {{"device", k.device.value}, {"tags", list(k.tags)}};
}
void read(Fields& f, DeviceTagged& k) {
  k.device.value = f.id("device");
  k.tags = f.texts("tags", 64, 63);
}

// {"device":"ledger","reason":"malware found"}
json::object write(const DeviceIsolated& k) {
  return {{"device", k.device.value}, {"reason", k.reason}};
}
void read(Fields& f, DeviceIsolated& k) {
  k.device.value = f.id("device");
  k.reason = f.text("reason", 1000, 0);
}

// {"device":"ledger"}
json::object write(const DeviceReleased& k) {
  return {{"device", k.device.value}};
}
void read(Fields& f, DeviceReleased& k) {
  k.device.value = f.id("device");
}

// {"device":"ledger","wireguard_key":"base64"}
json::object write(const WireguardKeyChanged& k) {
  return {{"device", k.device.value}, {"wireguard_key", base64(k.wireguard_key)}};
}
void read(Fields& f, WireguardKeyChanged& k) {
  k.device.value = f.id("device");
  k.wireguard_key = wireguard(f, "wireguard_key");
}

// {"device":"ledger","not_after":N,"serial":"hex"}
json::object write(const CertificateIssued& k) {
  return {{"device", k.device.value}, {"not_after", to_us(k.not_after)}, {"serial", k.serial_hex}};
}
void read(Fields& f, CertificateIssued& k) {
  k.device.value = f.id("device");
  k.not_after = time(f, "not_after");
  k.serial_hex = f.id("serial");
}

// {"issuer":"local","sealed_name":"base64","user":"u-.."}
json::object write(const UserAdded& k) {
  return {{"issuer", k.issuer}, {"sealed_name", k.sealed_name}, {"user", k.user.value}};
}
void read(Fields& f, UserAdded& k) {
  k.issuer = f.text("issuer");
  k.sealed_name = f.text("sealed_name", 4096);
  k.user.value = f.id("user");
}

// {"disabled":true,"user":"u-.."}
json::object write(const UserDisabled& k) {
  return {{"disabled", k.disabled}, {"user", k.user.value}};
}
void read(Fields& f, UserDisabled& k) {
  k.disabled = f.boolean("disabled");
  k.user.value = f.id("user");
}

// {"assurance":"aal2","authenticated_at":N,"claims":["corp:trading"],"device":"trader","ends_at":N,"id":"s-..",
//  "uid":1000,"user":"u-.."}
json::object write(const SessionOpened& k) {
  const auto& s = k.session;
  return {{"assurance", assurance_name(s.assurance.value_or(policy::Assurance::aal1))},
          {"authenticated_at", to_us(s.authenticated_at.value_or(Timestamp{}))},
          {"claims", list(s.claims)},
          {"device", s.device.value},
          {"ends_at", to_us(s.ends_at)},
          {"id", s.id.value},
          {"uid", s.uid},
          {"user", s.user.value}};
}
void read(Fields& f, SessionOpened& k) {
  auto& s = k.session;
  const auto assurance = assurance_by_name(f.text("assurance"));
  if (!assurance) f.refuse("assurance", "must be aal1, aal2 or aal3");
  s.assurance = assurance;
  s.authenticated_at = time(f, "authenticated_at");
  s.claims = f.texts("claims");
  s.device.value = f.id("device");
  s.ends_at = time(f, "ends_at");
  s.id.value = f.id("id");
  s.uid = static_cast<std::uint32_t>(f.integer("uid", 0, std::numeric_limits<std::uint32_t>::max()));
  s.user.value = f.id("user");
}

// {"reason":"signed out","session":"s-.."}
json::object write(const SessionClosed& k) {
  return {{"reason", k.reason}, {"session", k.session.value}};
}
void read(Fields& f, SessionClosed& k) {
  k.reason = f.text("reason", 1000, 0);
  k.session.value = f.id("session");
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

// By the variant's index.
constexpr std::array<std::string_view, std::variant_size_v<Kind>> kNames = {
    "installation created", "policy applied",    "join token created",    "join token revoked",
    "device enrolled",      "device approved",   "device removed",        "device tagged",
    "device isolated",      "device released",   "wireguard key changed", "certificate issued",
    "user added",           "user disabled",     "session opened",        "session closed",
    "api token created",    "api token revoked", "time advanced",         "login slowed"};

template <std::size_t I = 0>
Result<Kind> decode_as(std::size_t index, const json::value& value) {
  if constexpr (I < std::variant_size_v<Kind>) {
    if (index != I) return decode_as<I + 1>(index, value);
    std::variant_alternative_t<I, Kind> kind;
    Fields fields(value, std::string(kNames[I]));
    read(fields, kind);
    CORDON_TRY(fields.finish());
    return Kind(std::in_place_index<I>, std::move(kind));
  } else {
    return fail(ErrorCode::internal, "a kind without a decoder");
  }
}

}  // namespace

Proposal encode(std::string actor, const Kind& kind) {
  return {.actor = std::move(actor),
          .kind = std::string(kNames[kind.index()]),
          .version = 1,
          .payload = wire::canonical(std::visit([](const auto& k) { return json::value(write(k)); }, kind))};
}

Result<Kind> decode(std::string_view kind, std::uint32_t version, std::string_view payload) {
  const auto name = std::ranges::find(kNames, kind);
  if (name == kNames.end()) {
    return fail(ErrorCode::invalid, fmt::format("unknown kind of change \"{}\"", kind),
                "a newer release of the controller may have written it");
  }
  if (version != 1) {
    return fail(ErrorCode::invalid, fmt::format("unknown version {} of \"{}\"", version, kind),
                "a newer release of the controller may have written it");
  }
  CORDON_ASSIGN(const auto value, wire::parse_json(payload));
  CORDON_ASSIGN(auto decoded, decode_as(static_cast<std::size_t>(name - kNames.begin()), value));
  if (encode({}, decoded).payload != payload) {
    return fail(ErrorCode::invalid, fmt::format("{}: the payload isn't in its canonical form", kind));
  }
  return decoded;
}

}  // namespace cordon::controller::kinds
