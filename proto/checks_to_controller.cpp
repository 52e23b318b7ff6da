// What a controller takes from a node.

#include "proto/canonical_json.h"
#include "proto/checks.h"
#include "proto/codec.h"
#include "proto/features.h"

namespace cordon::wire {
namespace {

constexpr std::size_t kMostFeatures = 64, kMostEndpoints = 16, kMostMaps = 64, kMostCounters = 1024,
                      kMostAlarms = 64, kMostPassing = 64, kLongestCheck = 63;
constexpr std::size_t kMostPeers = 65536, kMostFlows = 65536, kMostCountedRules = 65536;

Result<> check_body(const EnrolRequest& m) {
  CORDON_TRY(check_name("enrol token_id", m.token_id(), kLongestId));
  CORDON_TRY(check_bytes("enrol token_secret", m.token_secret(), kKeyBytes));
  CORDON_TRY(check_length("enrol name", m.name(), kLongestName));
  CORDON_TRY(check_length("enrol csr_pem", m.csr_pem(), kLongestPem));
  CORDON_TRY(check_bytes("enrol wireguard_public_key", m.wireguard_public_key(), kKeyBytes));
  CORDON_TRY(check_count("enrol features", m.features_size(), kMostFeatures));
  for (const auto& feature : m.features()) CORDON_TRY(check_name("enrol feature", feature, kLongestId));
  return check_length("enrol platform", m.platform(), kLongestName);
}

Result<> check_body(const EnrolPoll& m) {
  CORDON_TRY(check_device("enrol poll device", m.device()));
  CORDON_TRY(check_length("enrol poll public_key_der", m.public_key_der(), kLongestReason));
  return check_length("enrol poll signature", m.signature(), kLongestSignature);
}

Result<> check_body(const Hello& m) {
  CORDON_TRY(check_length("hello version", m.version(), kLongestId));
  CORDON_TRY(check_count("hello features", m.features_size(), kMostFeatures));
  for (const auto& feature : m.features()) CORDON_TRY(check_name("hello feature", feature, kLongestId));
  CORDON_TRY(check_length("hello boot_id", m.boot_id(), kLongestId));
  CORDON_TRY(check_optional_bytes("hello seen_hash", m.seen_hash(), kHashBytes));
  CORDON_TRY(check_optional_bytes("hello state_digest", m.state_digest(), kHashBytes));
  CORDON_TRY(check_most("hello wireguard_port", m.wireguard_port(), 65535));
  CORDON_TRY(check_count("hello advertise", m.advertise_size(), kMostEndpoints));
  for (const auto& endpoint : m.advertise()) CORDON_TRY(decode_endpoint(endpoint));
  CORDON_TRY(check_count("hello map_sizes", static_cast<int>(m.map_sizes().size()), kMostMaps));
  for (const auto& [name, size] : m.map_sizes()) CORDON_TRY(check_name("hello map", name, kLongestId));
  CORDON_TRY(check_count("hello gateway_subnets", m.gateway_subnets_size(), kMostSubnets));
  for (const auto& subnet : m.gateway_subnets()) CORDON_TRY(decode_prefix(subnet));
  return {};
}

Result<> check_body(const Ack& m) {
  if (!m.has_receipt()) return {};
  CORDON_TRY(check_optional_bytes("receipt head_hash", m.receipt().head_hash(), kHashBytes));
  CORDON_TRY(check_bytes("receipt digest", m.receipt().digest(), kHashBytes));
  return check_length("receipt signature", m.receipt().signature(), kLongestSignature);
}

Result<> check_body(const Nack& m) {
  return check_length("nack reason", m.reason(), kLongestReason);
}

Result<> check_body(const Heartbeat& m) {
  CORDON_TRY(check_count("heartbeat counters", static_cast<int>(m.counters().size()), kMostCounters));
  for (const auto& [name, value] : m.counters())
    CORDON_TRY(check_name("heartbeat counter", name, kLongestId));
  CORDON_TRY(check_count("heartbeat peers", m.peers_size(), kMostPeers));
  for (const auto& peer : m.peers()) {
    CORDON_TRY(check_device("heartbeat peer", peer.device()));
    if (peer.has_endpoint()) CORDON_TRY(decode_endpoint(peer.endpoint()));
    if (peer.last_handshake_age_s() < -1) return refuse("heartbeat last_handshake_age_s", "is below -1");
  }
  CORDON_TRY(check_count("heartbeat alarms", m.alarms_size(), kMostAlarms));
  for (const auto& alarm : m.alarms()) CORDON_TRY(check_name("heartbeat alarm", alarm, kLongestReason));
  CORDON_TRY(check_count("heartbeat checks", m.checks().passing_size(), kMostPassing));
  for (const auto& name : m.checks().passing()) {
    if (!is_id(name, kLongestCheck)) return refuse("heartbeat check", "is no check's name");
  }
  CORDON_TRY(check_count("heartbeat sessions", m.sessions_size(), kMostToldSessions));
  for (const auto& told : m.sessions())
    CORDON_TRY(check_name("heartbeat session", told.session(), kLongestId));
  CORDON_TRY(check_count("heartbeat counted rules", m.counted().rules_size(), kMostCountedRules));
  CORDON_TRY(check_count("heartbeat counted reasons", m.counted().reasons_size(), kMostCounters));
  for (const auto& reason : m.counted().reasons())
    CORDON_TRY(check_name("heartbeat counted reason", reason.reason(), kLongestId));
  return {};
}

Result<> check_body(const RenewRequest& m) {
  return check_length("renew csr_pem", m.csr_pem(), kLongestPem);
}

Result<> check_body(const LoginRequest& m) {
  CORDON_TRY(check_name("login user", m.user(), kLongestName));
  CORDON_TRY(check_length("login password", m.password(), kLongestReason));
  return check_length("login totp", m.totp(), kLongestId);
}

Result<> check_body(const LogoutRequest& m) {
  return check_length("logout session", m.session(), kLongestId);
}

Result<> check_body(const WhyRequest& m) {
  CORDON_TRY(check_name("why target", m.target(), kLongestName));
  CORDON_TRY(check_most("why protocol", m.protocol(), 255));
  return check_most("why port", m.port(), 65535);
}

Result<> check_body(const StatusRequest&) {
  return {};
}

Result<> check_body(const TunnelKeys& m) {
  CORDON_TRY(check_bytes("tunnel_keys public_key", m.public_key(), kKeyBytes));
  CORDON_TRY(check_optional_bytes("tunnel_keys next_public_key", m.next_public_key(), kKeyBytes));
  if (m.public_key() == m.next_public_key())
    return refuse("tunnel_keys next_public_key", "is the key it has");
  return {};
}

Result<> check_body(const FlowReport& m) {
  CORDON_TRY(check_count("flows", m.flows_size(), kMostFlows));
  for (const auto& flow : m.flows()) {
    if (!Flow::Kind_IsValid(flow.kind())) return refuse("flow kind", "is unknown");
    CORDON_TRY(decode_address(flow.source()));
    CORDON_TRY(decode_address(flow.destination()));
    CORDON_TRY(check_most("flow protocol", flow.protocol(), 255));
    CORDON_TRY(check_most("flow source_port", flow.source_port(), 65535));
    CORDON_TRY(check_most("flow destination_port", flow.destination_port(), 65535));
    CORDON_TRY(check_length("flow reason", flow.reason(), kLongestId));
    CORDON_TRY(check_most("flow direction", flow.direction(), 1));
  }
  return {};
}

}  // namespace

Result<> check(const ToController& message) {
  switch (message.body_case()) {
    case ToController::kEnrol:
      return check_body(message.enrol());
    case ToController::kEnrolPoll:
      return check_body(message.enrol_poll());
    case ToController::kHello:
      return check_body(message.hello());
    case ToController::kAck:
      return check_body(message.ack());
    case ToController::kNack:
      return check_body(message.nack());
    case ToController::kHeartbeat:
      return check_body(message.heartbeat());
    case ToController::kRenew:
      return check_body(message.renew());
    case ToController::kLogin:
      return check_body(message.login());
    case ToController::kLogout:
      return check_body(message.logout());
    case ToController::kWhy:
      return check_body(message.why());
    case ToController::kFlows:
      return check_body(message.flows());
    case ToController::kStatus:
      return check_body(message.status());
    case ToController::kTunnelKeys:
      return check_body(message.tunnel_keys());
    case ToController::BODY_NOT_SET:
      break;
  }
  return refuse("the message", "is of no kind that this release knows");
}

}  // namespace cordon::wire
