#include "tests/unit/proto/samples.h"

namespace cordon::wire {
namespace {

const std::string kHash(32, '\x11');

void fill(Endpoint* endpoint) {
  encode_endpoint(*cordon::Endpoint::parse("[2001:db8::1]:51820"), endpoint);
}

void fill(SignedHead* head) {
  head->set_revision(7);
  head->set_hash(kHash);
  head->set_signature("signature");
  head->set_signer_pem("pem");
}

void fill(Reach* reach) {
  reach->set_target("ledger");
  reach->add_addresses(std::string("\x64\x40\x00\x01", 4));
  encode_prefix(cordon::Prefix::parse("2001:db8:7::/64").value(), reach->add_subnets());
  reach->set_service("settlement/ledger");
  reach->set_access("tcp/5432");
  reach->set_rule("traders-settle");
  reach->set_deadline_us(to_us(kNever));
}

void add_enrolment(std::vector<ToController>& out) {
  EnrolRequest& enrol = *out.emplace_back().mutable_enrol();
  enrol.set_token_id("t-0123456789abcdef");
  enrol.set_token_secret(kHash);
  enrol.set_name("ledger");
  enrol.set_csr_pem("csr");
  enrol.set_wireguard_public_key(kHash);
  enrol.set_platform("Debian 12");
  enrol.add_features("keys/1");
  EnrolPoll& poll = *out.emplace_back().mutable_enrol_poll();
  poll.set_device("ledger");
  poll.set_public_key_der("der");
  poll.set_at_us(5);
  poll.set_signature("signature");
  RenewRequest& renew = *out.emplace_back().mutable_renew();
  renew.set_request(3);
  renew.set_csr_pem("csr");
}

void add_session(std::vector<ToController>& out) {
  Hello& hello = *out.emplace_back().mutable_hello();
  hello.set_version("0.1.0");
  hello.add_features("state/1");
  hello.set_boot_id("boot");
  hello.set_sent_boot_ns(1);
  hello.set_seen_revision(7);
  hello.set_seen_hash(kHash);
  hello.set_applied_sequence(2);
  hello.set_state_digest(kHash);
  hello.set_wireguard_port(51820);
  fill(hello.add_advertise());
  (*hello.mutable_map_sizes())["grants"] = 100;
  encode_prefix(cordon::Prefix::parse("192.168.7.0/24").value(), hello.add_gateway_subnets());
  Ack& ack = *out.emplace_back().mutable_ack();
  ack.set_sequence(2);
  ack.set_revision(7);
  ack.mutable_receipt()->set_revision(7);
  ack.mutable_receipt()->set_head_hash(kHash);
  ack.mutable_receipt()->set_digest(kHash);
  ack.mutable_receipt()->set_signature("signature");
  Nack& nack = *out.emplace_back().mutable_nack();
  nack.set_sequence(2);
  nack.set_reason("grant slot is 9, more than 7");
  Heartbeat& heartbeat = *out.emplace_back().mutable_heartbeat();
  heartbeat.set_sent_boot_ns(9);
  (*heartbeat.mutable_counters())["no grant"] = 4;
  PeerObservation& peer = *heartbeat.add_peers();
  peer.set_device("trader");
  fill(peer.mutable_endpoint());
  peer.set_last_handshake_age_s(-1);
  heartbeat.add_alarms("filter detached");
  heartbeat.mutable_checks()->add_passing("os_updates");
  SessionActivity& activity = *heartbeat.add_sessions();
  activity.set_session("s-0000000000000001");
  activity.set_silent_s(75);
  RuleCount& by_rule = *heartbeat.mutable_counted()->add_rules();
  by_rule.set_rule(17);
  by_rule.set_packets(3);
  by_rule.set_bytes(180);
  ReasonCount& by_reason = *heartbeat.mutable_counted()->add_reasons();
  by_reason.set_reason("no grant");
  by_reason.set_packets(4);
  by_reason.set_bytes(240);
}

void add_requests(std::vector<ToController>& out) {
  LoginRequest& login = *out.emplace_back().mutable_login();
  login.set_request(1);
  login.set_user("trader@acme.example");
  login.set_password("secret");
  login.set_totp("123456");
  login.set_uid(1000);
  LogoutRequest& logout = *out.emplace_back().mutable_logout();
  logout.set_request(2);
  logout.set_session("s-0123456789abcdef");
  WhyRequest& why = *out.emplace_back().mutable_why();
  why.set_request(3);
  why.set_target("ledger");
  why.set_protocol(6);
  why.set_port(5432);
  out.emplace_back().mutable_status()->set_request(4);
  TunnelKeys& keys = *out.emplace_back().mutable_tunnel_keys();
  keys.set_public_key(kHash);
  keys.set_next_public_key(std::string(32, '\x12'));
  FlowReport& flows = *out.emplace_back().mutable_flows();
  flows.set_lost(1);
  flows.set_sequence(12);
  Flow& flow = *flows.add_flows();
  flow.set_kind(Flow::DENIED);
  flow.set_source(std::string(4, '\x0a'));
  flow.set_destination(std::string(16, '\xfd'));
  flow.set_protocol(6);
  flow.set_source_port(40000);
  flow.set_destination_port(443);
  flow.set_reason("no grant");
  flow.set_direction(1);
}

void add_states(std::vector<ToNode>& out) {
  StateBegin& begin = *out.emplace_back().mutable_begin();
  begin.set_sequence(1);
  begin.set_revision(7);
  fill(begin.mutable_head());
  StatePart& part = *out.emplace_back().mutable_part();
  part.set_sequence(1);
  for (const auto& change : sample_entries()) *part.add_entries() = encode_entry(change.key, &*change.value);
  StateEnd& end = *out.emplace_back().mutable_end();
  end.set_sequence(1);
  end.set_digest(kHash);
  Delta& delta = *out.emplace_back().mutable_delta();
  delta.set_sequence(2);
  delta.set_revision(8);
  for (const auto& change : sample_entries()) {
    *delta.add_removals() = encode_entry(change.key, nullptr);
    *delta.add_upserts() = encode_entry(change.key, &*change.value);
  }
  delta.set_digest(kHash);
  fill(delta.mutable_head());
}

void add_session(std::vector<ToNode>& out) {
  Welcome& welcome = *out.emplace_back().mutable_welcome();
  welcome.set_controller("controller-1");
  welcome.add_features("state/1");
  welcome.set_controller_time_us(5);
  welcome.set_heartbeat_interval_ms(10000);
  fill(welcome.mutable_head());
  out.emplace_back().mutable_busy()->set_retry_after_ms(500);
  HeartbeatAnswer& heartbeat = *out.emplace_back().mutable_heartbeat();
  heartbeat.set_echo_boot_ns(1);
  heartbeat.set_confirm(true);
  fill(heartbeat.mutable_head());
  PeerEndpoint& peer = *out.emplace_back().mutable_endpoints()->add_peers();
  peer.set_device("trader");
  fill(peer.mutable_endpoint());
  out.emplace_back().mutable_key_order()->set_turn_to(kHash);
  PresharedKey& pair = *out.emplace_back().mutable_preshared_keys()->add_keys();
  pair.set_own(kHash);
  pair.set_peer(std::string(32, '\x12'));
  pair.set_key(std::string(32, '\x13'));
  out.emplace_back().mutable_key_turns()->add_devices("trader");
  Controllers& controllers = *out.emplace_back().mutable_controllers();
  fill(controllers.add_endpoints());
  controllers.set_at_us(5);
  controllers.set_signature("signature");
  controllers.set_signer_pem("leaf");
  out.emplace_back().mutable_flow_ack()->set_sequence(12);
  out.emplace_back().mutable_goodbye()->set_reason("removed");
}

void add_answers(std::vector<ToNode>& out) {
  EnrolAnswer& enrolled = *out.emplace_back().mutable_enrolled();
  enrolled.set_device("ledger");
  enrolled.set_certificate_pem("leaf");
  enrolled.set_trust_bundle_pem("roots");
  RenewAnswer& renewed = *out.emplace_back().mutable_renewed();
  renewed.set_request(3);
  renewed.set_certificate_pem("leaf");
  LoginAnswer& login = *out.emplace_back().mutable_login();
  login.set_request(1);
  login.set_ok(true);
  login.set_session("s-0123456789abcdef");
  login.set_user("trader@acme.example");
  fill(login.add_reach());
  out.emplace_back().mutable_logout()->set_ok(true);
  WhyAnswer& why = *out.emplace_back().mutable_why();
  why.set_request(3);
  why.set_rule("traders-settle");
  why.set_answer("allowed until you sign out");
  why.add_mends("sign in");
  StatusAnswer& status = *out.emplace_back().mutable_status();
  status.set_signed_in(true);
  fill(status.add_reach());
}

}  // namespace

std::vector<ToController> sample_to_controller() {
  std::vector<ToController> out;
  add_enrolment(out);
  add_session(out);
  add_requests(out);
  return out;
}

std::vector<ToNode> sample_to_node() {
  std::vector<ToNode> out;
  add_states(out);
  add_session(out);
  add_answers(out);
  return out;
}

std::vector<policy::Change> sample_entries() {
  using namespace policy;
  const Address v4 = *Address::parse("100.64.0.1"), v6 = *Address::parse("fd12::1");
  PrincipalValue principal{.class_id = ClassId(77), .uid = 1000, .check_owner = true};
  principal.deadlines[0] = from_us(1'000'000);
  principal.deadlines[2] = from_us(-5);
  WireguardKey key{};
  key.fill(0x42);
  return {
      {SettingsKey{}, SettingsValue{.device = DeviceId("ledger"),
                                    .isolated = true,
                                    .node_lease = Seconds(900),
                                    .v4 = v4,
                                    .v6 = v6,
                                    .overlay_v4 = *cordon::Prefix::parse("100.64.0.0/10"),
                                    .overlay_v6 = *cordon::Prefix::parse("fd12::/48"),
                                    .underlay = Underlay::guard}},
      {PeerKey{DeviceId("trader")},
       PeerValue{.public_key = key,
                 .allowed_ips = {cordon::Prefix::host(v4), cordon::Prefix::host(v6)},
                 .next_key = WireguardKey{7}}},
      {PrincipalKey{v4}, principal},
      {TargetKey{cordon::Prefix::host(v6)}, TargetValue{.id = TargetId(3), .observe = true}},
      {GrantKey{.direction = Direction::egress,
                .class_id = ClassId(77),
                .target = TargetId(3),
                .protocol = kTcp,
                .port_bits = 12,
                .port = 0x1230},
       GrantValue{.rule = RuleId(9), .responder = true, .slot = 7, .lease_s = 60}},
      {RuleKey{RuleId(9)}, RuleValue{"traders-settle"}},
      {GuardKey{.protocol = kTcp, .ports = {.first = 443, .last = 443}}, GuardValue{.count_only = true}},
      {LocalSessionKey{SessionId("s-0123456789abcdef")},
       LocalSessionValue{.user = "trader@acme.example", .uid = 1000, .v4 = v4, .v6 = v6, .ends_at = kNever}},
  };
}

}  // namespace cordon::wire
