#include "controller/world/payloads.h"

#include <algorithm>
#include <boost/json.hpp>

namespace cordon::controller::kinds {

namespace json = boost::json;
using wire::Fields;

namespace {

constexpr std::size_t kMostChecks = 64;

json::string base64(ByteView bytes) {
  return json::string(to_base64(bytes));
}

WireguardKey wireguard_key_of(Fields& f, std::string_view key) {
  WireguardKey out{};
  const auto bytes = f.base64(key, out.size(), out.size());
  if (bytes.size() == out.size()) std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

json::value text_or_null(const std::optional<std::string>& text) {
  return text ? json::value(json::string(*text)) : json::value(nullptr);
}

}  // namespace

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
// Version 2 has "presharing":true besides.
json::object write(const DeviceEnrolled& k) {
  json::object out{{"device", k.device.value},
                   {"platform", k.platform},
                   {"public_key", base64(k.public_key_der)},
                   {"token", k.token.value},
                   {"wireguard_key", base64(k.wireguard_key)}};
  if (k.presharing) out["presharing"] = true;
  return out;
}
void read(Fields& f, DeviceEnrolled& k, std::uint32_t version) {
  k.device.value = f.id("device");
  k.platform = f.text("platform", 255, 0);
  if (version == 2) k.presharing = f.boolean("presharing");
  k.public_key_der = f.base64("public_key", 1, 1024);
  k.token.value = f.id("token");
  k.wireguard_key = wireguard_key_of(f, "wireguard_key");
}

// {"device":"printer","gateway":"gw-1","ownership":"company"|null,"prefixes":["192.168.7.20/32"],
//  "tags":["print"]}
json::object write(const DeviceAdded& k) {
  std::set<std::string> prefixes;
  for (const Prefix& prefix : k.prefixes) prefixes.insert(prefix.to_string());
  return {{"device", k.device.value},
          {"gateway", k.gateway.value},
          {"ownership", ownership(k.ownership)},
          {"prefixes", list(prefixes)},
          {"tags", list(k.tags)}};
}
void read(Fields& f, DeviceAdded& k) {
  k.device.value = f.id("device");
  k.gateway.value = f.id("gateway");
  k.ownership = ownership(f);
  for (const std::string& text : f.texts("prefixes", 256, 64)) {
    const auto prefix = Prefix::parse(text);
    if (!prefix) f.refuse("prefixes", "holds what isn't a prefix");
    k.prefixes.push_back(prefix.value_or(Prefix{}));
  }
  std::ranges::sort(k.prefixes);
  k.tags = f.texts("tags", 64, 63);
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

// {"device":"ledger","ownership":"company"|null}
json::object write(const DeviceClassified& k) {
  return {{"device", k.device.value}, {"ownership", ownership(k.ownership)}};
}
void read(Fields& f, DeviceClassified& k) {
  k.device.value = f.id("device");
  k.ownership = ownership(f);
}

// {"attestation":"software"|"tpm"|null,"checks":["os_updates"]|null,"country":"TW"|null,
//  "country_database":"GeoLite2-Country 1800000000" or left
//  out,"device":"ledger","source":"198.51.100.20"|null}
json::object write(const DeviceFacts& k) {
  json::object out{
      {"attestation",
       text_or_null(k.attestation ? std::optional(std::string(to_string(*k.attestation))) : std::nullopt)},
      {"checks", k.checks ? json::value(list(*k.checks)) : json::value(nullptr)},
      {"country", text_or_null(k.country)},
      {"device", k.device.value},
      {"source", text_or_null(k.source ? std::optional(k.source->to_string()) : std::nullopt)}};
  if (!k.country_database.empty()) out["country_database"] = k.country_database;
  return out;
}
void read(Fields& f, DeviceFacts& k) {
  if (!f.is_null("attestation")) {
    const auto text = f.text("attestation");
    if (text == "tpm") k.attestation = policy::Attestation::tpm;
    if (text == "software") k.attestation = policy::Attestation::software;
    if (!k.attestation) f.refuse("attestation", "must be software, tpm or null");
  }
  if (!f.is_null("checks")) k.checks = f.texts("checks", kMostChecks, 63);
  if (!f.is_null("country")) {
    k.country = f.text("country", 2, 2);
    const bool is_code = std::ranges::all_of(*k.country, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!is_code) f.refuse("country", "must be two capital letters (ISO 3166)");
  }
  if (f.has("country_database")) k.country_database = f.text("country_database", 128);
  k.device.value = f.id("device");
  if (!f.is_null("source")) {
    const auto source = Address::parse(f.text("source", 64));
    if (!source) f.refuse("source", "isn't an address");
    k.source = source.value_or(Address{});
  }
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
  k.wireguard_key = wireguard_key_of(f, "wireguard_key");
}

// {"device":"ledger"}
json::object write(const KeyRotationAsked& k) {
  return {{"device", k.device.value}};
}
void read(Fields& f, KeyRotationAsked& k) {
  k.device.value = f.id("device");
}

// {"device":"ledger","wireguard_key":"base64"}
json::object write(const WireguardKeyOffered& k) {
  return {{"device", k.device.value}, {"wireguard_key", base64(k.wireguard_key)}};
}
void read(Fields& f, WireguardKeyOffered& k) {
  k.device.value = f.id("device");
  k.wireguard_key = wireguard_key_of(f, "wireguard_key");
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

}  // namespace cordon::controller::kinds
