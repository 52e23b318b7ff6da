// What a node takes from a controller. Entries are checked one by one when they are decoded: a bad one is
// answered with a NACK, not with the end of the session.

#include "proto/checks.h"
#include "proto/codec.h"
#include "proto/features.h"

namespace cordon::wire {
namespace {

constexpr std::size_t kMostFeatures = 64, kMostReach = 65536, kMostAddresses = 64, kMostMends = 64,
                      kMostPeers = 65536;

Result<> check_head(const SignedHead& head) {
  // Before the first record there is nothing to name.
  if (head.revision() == 0) {
    CORDON_TRY(check_optional_bytes("head hash", head.hash(), kHashBytes));
  } else {
    CORDON_TRY(check_bytes("head hash", head.hash(), kHashBytes));
  }
  CORDON_TRY(check_length("head signature", head.signature(), kLongestSignature));
  return check_length("head signer_pem", head.signer_pem(), kLongestPem);
}

Result<> check_certificates(const std::string& certificate, const std::string& bundle) {
  CORDON_TRY(check_length("certificate_pem", certificate, kLongestPem));
  return check_length("trust_bundle_pem", bundle, kLongestPem);
}

template <class List>
Result<> check_reach(const List& list) {
  CORDON_TRY(check_count("reach", list.size(), kMostReach));
  for (const Reach& reach : list) {
    CORDON_TRY(check_device("reach target", reach.target()));
    CORDON_TRY(check_count("reach addresses", reach.addresses_size(), kMostAddresses));
    for (const auto& address : reach.addresses()) CORDON_TRY(decode_address(address));
    CORDON_TRY(check_count("reach subnets", reach.subnets_size(), kMostAddresses));
    for (const auto& subnet : reach.subnets()) CORDON_TRY(decode_prefix(subnet));
    CORDON_TRY(check_length("reach service", reach.service(), kLongestName));
    CORDON_TRY(check_length("reach access", reach.access(), kLongestName));
    CORDON_TRY(check_length("reach rule", reach.rule(), kLongestName));
  }
  return {};
}

Result<> check_body(const EnrolAnswer& m) {
  if (!EnrolAnswer::Outcome_IsValid(m.outcome())) return refuse("enrolled outcome", "is unknown");
  if (!m.device().empty() || m.outcome() == EnrolAnswer::ENROLLED) {
    CORDON_TRY(check_device("enrolled device", m.device()));
  }
  CORDON_TRY(check_certificates(m.certificate_pem(), m.trust_bundle_pem()));
  return check_length("enrolled reason", m.reason(), kLongestReason);
}

Result<> check_body(const Welcome& m) {
  CORDON_TRY(check_length("welcome controller", m.controller(), kLongestName));
  CORDON_TRY(check_count("welcome features", m.features_size(), kMostFeatures));
  for (const auto& feature : m.features()) CORDON_TRY(check_name("welcome feature", feature, kLongestId));
  return m.has_head() ? check_head(m.head()) : Result<>();
}

Result<> check_body(const Busy&) {
  return {};
}

Result<> check_body(const StateBegin& m) {
  return m.has_head() ? check_head(m.head()) : Result<>();
}

Result<> check_body(const StatePart& m) {
  return check_count("part entries", m.entries_size(), kPartEntries);
}

Result<> check_body(const StateEnd& m) {
  return check_bytes("state digest", m.digest(), kHashBytes);
}

Result<> check_body(const Delta& m) {
  CORDON_TRY(check_bytes("delta digest", m.digest(), kHashBytes));
  return m.has_head() ? check_head(m.head()) : Result<>();
}

Result<> check_body(const HeartbeatAnswer& m) {
  return m.has_head() ? check_head(m.head()) : Result<>();
}

Result<> check_body(const RenewAnswer& m) {
  CORDON_TRY(check_certificates(m.certificate_pem(), m.trust_bundle_pem()));
  return check_length("renewed reason", m.reason(), kLongestReason);
}

Result<> check_body(const LoginAnswer& m) {
  CORDON_TRY(check_length("login session", m.session(), kLongestId));
  CORDON_TRY(check_length("login user", m.user(), kLongestName));
  CORDON_TRY(check_length("login reason", m.reason(), kLongestReason));
  return check_reach(m.reach());
}

Result<> check_body(const LogoutAnswer& m) {
  return check_length("logout reason", m.reason(), kLongestReason);
}

Result<> check_body(const WhyAnswer& m) {
  CORDON_TRY(check_length("why rule", m.rule(), kLongestName));
  CORDON_TRY(check_length("why answer", m.answer(), kLongestReason));
  CORDON_TRY(check_count("why mends", m.mends_size(), kMostMends));
  for (const auto& mend : m.mends()) CORDON_TRY(check_length("why mend", mend, kLongestReason));
  return {};
}

Result<> check_body(const Endpoints& m) {
  CORDON_TRY(check_count("endpoints", m.peers_size(), kMostPeers));
  for (const auto& peer : m.peers()) {
    CORDON_TRY(check_device("endpoints device", peer.device()));
    CORDON_TRY(decode_endpoint(peer.endpoint()));
  }
  return {};
}

Result<> check_body(const Controllers& m) {
  CORDON_TRY(check_count("controllers", m.endpoints_size(), kMostControllers));
  if (m.endpoints().empty()) return refuse("controllers", "names none");
  for (const auto& each : m.endpoints()) {
    CORDON_ASSIGN(const auto endpoint, decode_endpoint(each));
    if (endpoint.port == 0 || endpoint.address.is_unspecified())
      return refuse("controllers endpoint", "is nowhere");
  }
  CORDON_TRY(check_length("controllers signature", m.signature(), kLongestSignature));
  return check_length("controllers signer_pem", m.signer_pem(), kLongestPem);
}

Result<> check_body(const FlowAck&) {
  return {};
}

Result<> check_body(const KeyOrder& m) {
  return check_optional_bytes("key_order turn_to", m.turn_to(), kKeyBytes);
}

Result<> check_body(const PresharedKeys& m) {
  CORDON_TRY(check_count("preshared_keys", m.keys_size(), kMostPeers));
  for (const auto& pair : m.keys()) {
    CORDON_TRY(check_bytes("preshared_keys own", pair.own(), kKeyBytes));
    CORDON_TRY(check_bytes("preshared_keys peer", pair.peer(), kKeyBytes));
    CORDON_TRY(check_bytes("preshared_keys key", pair.key(), kKeyBytes));
  }
  return {};
}

Result<> check_body(const KeyTurns& m) {
  CORDON_TRY(check_count("key_turns", m.devices_size(), kMostPeers));
  for (const auto& device : m.devices()) CORDON_TRY(check_device("key_turns device", device));
  return {};
}

Result<> check_body(const Goodbye& m) {
  return check_length("goodbye reason", m.reason(), kLongestReason);
}

Result<> check_body(const StatusAnswer& m) {
  CORDON_TRY(check_length("status session", m.session(), kLongestId));
  CORDON_TRY(check_length("status user", m.user(), kLongestName));
  return check_reach(m.reach());
}

}  // namespace

Result<> check(const ToNode& message) {
  switch (message.body_case()) {
    case ToNode::kEnrolled:
      return check_body(message.enrolled());
    case ToNode::kWelcome:
      return check_body(message.welcome());
    case ToNode::kBusy:
      return check_body(message.busy());
    case ToNode::kBegin:
      return check_body(message.begin());
    case ToNode::kPart:
      return check_body(message.part());
    case ToNode::kEnd:
      return check_body(message.end());
    case ToNode::kDelta:
      return check_body(message.delta());
    case ToNode::kHeartbeat:
      return check_body(message.heartbeat());
    case ToNode::kRenewed:
      return check_body(message.renewed());
    case ToNode::kLogin:
      return check_body(message.login());
    case ToNode::kLogout:
      return check_body(message.logout());
    case ToNode::kWhy:
      return check_body(message.why());
    case ToNode::kEndpoints:
      return check_body(message.endpoints());
    case ToNode::kGoodbye:
      return check_body(message.goodbye());
    case ToNode::kStatus:
      return check_body(message.status());
    case ToNode::kKeyOrder:
      return check_body(message.key_order());
    case ToNode::kPresharedKeys:
      return check_body(message.preshared_keys());
    case ToNode::kKeyTurns:
      return check_body(message.key_turns());
    case ToNode::kControllers:
      return check_body(message.controllers());
    case ToNode::kFlowAck:
      return check_body(message.flow_ack());
    case ToNode::BODY_NOT_SET:
      break;
  }
  return refuse("the message", "is of no kind that this release knows");
}

}  // namespace cordon::wire
