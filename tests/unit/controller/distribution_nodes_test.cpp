// Nodes and strangers at the real listener, over TLS on the loopback.

#include <gtest/gtest.h>

#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace {

using namespace test;
using wire::EnrolAnswer;
using wire::ToController;
using wire::ToNode;

constexpr const char* kPolicy = R"(
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[segments.web]
members = ["tag:web"]
[segments.web.services]
site = ["tcp/443"]
[[allow]]
name = "web-to-ledger"
from = { segments = ["web"] }
to = ["settlement/ledger"]
)";

bool has_rule(const policy::NodeState& state, const std::string& name) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* rule = std::get_if<policy::RuleValue>(&entry.second);
    return rule != nullptr && rule->name == name;
  });
}

bool has_grant(const policy::NodeState& state, policy::Direction direction) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* grant = std::get_if<policy::GrantKey>(&entry.first);
    return grant != nullptr && grant->direction == direction;
  });
}

ToController enrol_request(const FakeDevice& device, const std::string& token, const std::string& secret) {
  ToController message;
  wire::EnrolRequest& enrol = *message.mutable_enrol();
  enrol.set_token_id(token);
  enrol.set_token_secret(secret);
  enrol.set_name(device.name);
  enrol.set_csr_pem(must(crypto::make_csr(device.key, device.name)));
  enrol.set_wireguard_public_key(
      std::string(as_text(crypto::wireguard_public(crypto::wireguard_generate()))));
  return message;
}

EnrolAnswer enrol(ControllerRig& rig, const FakeDevice& device, const std::string& token,
                  const std::string& secret) {
  FakeNode node(rig.port(), nullptr);
  node.send(enrol_request(device, token, secret));
  const auto answer = node.receive();
  return answer ? answer->enrolled() : EnrolAnswer();
}

EnrolAnswer poll(ControllerRig& rig, const FakeDevice& device, Timestamp at) {
  FakeNode node(rig.port(), nullptr);
  ToController message;
  wire::EnrolPoll& poll = *message.mutable_enrol_poll();
  poll.set_device(device.name);
  poll.set_public_key_der(std::string(as_text(device.key.public_key_der())));
  poll.set_at_us(to_us(at));
  poll.set_signature(std::string(as_text(device.key.sign(wire::enrol_poll_text(DeviceId(device.name), at)))));
  node.send(message);
  const auto answer = node.receive();
  return answer ? answer->enrolled() : EnrolAnswer();
}

TEST(Enrolment, ATokenThatWaivesApprovalEnrolsAtOnceAndTheCertificateOpensASession) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', true);
  FakeDevice device{.name = "ledger"};
  const EnrolAnswer answer = enrol(rig, device, "t-1", secret);
  ASSERT_EQ(answer.outcome(), EnrolAnswer::ENROLLED) << answer.reason();
  device.chain_pem = answer.certificate_pem();
  const auto leaf = must(crypto::parse_certificate(device.chain_pem));
  EXPECT_EQ(leaf.uris, std::vector<std::string>{"spiffe://acme.example/device/ledger"});
  // An answer that got lost is given again, and the token isn't used twice.
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::ENROLLED);
  FakeNode node(rig.port(), &device);
  EXPECT_TRUE(node.hello());
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::REFUSED) << "it has connected";
  EXPECT_EQ(poll(rig, device, system_clock().now()).outcome(), EnrolAnswer::REFUSED);
}

TEST(Enrolment, GivesAnIsolatedDeviceNothingAndNobodyManyCertificates) {
  DistributionLimits limits = quick_limits();
  limits.renewals = {.burst = 2, .per_second = 0.001};
  ControllerRig rig(limits);
  const std::string secret = rig.add_token("t-1", 'a', true);
  const FakeDevice device{.name = "ledger"};
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::ENROLLED);
  const Timestamp now = system_clock().now();
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::ENROLLED);
  const EnrolAnswer later = poll(rig, device, now);
  EXPECT_EQ(later.outcome(), EnrolAnswer::PENDING);
  EXPECT_GT(later.poll_after_s(), 5u);
  rig.add(kinds::DeviceIsolated{.device = DeviceId("ledger"), .reason = "test"});
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
}

TEST(Enrolment, WaitsForApprovalAndThenAnswersThePoll) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', false);
  const FakeDevice device{.name = "ledger"};
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::PENDING);
  const Timestamp now = system_clock().now();
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::PENDING);
  rig.add(kinds::DeviceApproved{.device = DeviceId("ledger")});
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::ENROLLED);
  EXPECT_EQ(poll(rig, device, now - std::chrono::minutes(6)).outcome(), EnrolAnswer::REFUSED)
      << "an old poll";
  const FakeDevice other{.name = "ledger"};
  EXPECT_EQ(poll(rig, other, now).outcome(), EnrolAnswer::REFUSED) << "another key";
}

TEST(Enrolment, RefusesWrongTokensAndTakenNamesAndLeavesNoTrace) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', false);
  const FakeDevice device{.name = "ledger"};
  const EnrolAnswer wrong = enrol(rig, device, "t-1", std::string(32, 'b'));
  const EnrolAnswer unknown = enrol(rig, device, "t-2", secret);
  EXPECT_EQ(wrong.outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(unknown.outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(wrong.reason(), unknown.reason()) << "which was wrong is not told";
  EXPECT_TRUE(rig.on_strand([&] { return rig.log->world().devices.empty(); }));
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::PENDING);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "ledger"}, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "Ledger!"}, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
  auto forged = enrol_request(FakeDevice{.name = "web"}, "t-1", secret);
  forged.mutable_enrol()->set_csr_pem("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
  FakeNode node(rig.port(), nullptr);
  node.send(forged);
  EXPECT_EQ(node.receive()->enrolled().outcome(), EnrolAnswer::REFUSED);
  EXPECT_GE(rig.metrics.counted("enrolments_refused", "token"), 2u);
}

TEST(Enrolment, FailuresSlowTheirSourceDown) {
  DistributionLimits limits = quick_limits();
  limits.enrolment = {.burst = 4, .per_second = 0.001};
  ControllerRig rig(limits);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "ledger"}, "t-1", std::string(32, 'b')).outcome(),
            EnrolAnswer::REFUSED);
  FakeNode node(rig.port(), nullptr);
  node.send(enrol_request(FakeDevice{.name = "ledger"}, "t-1", std::string(32, 'b')));
  const auto answer = node.receive();
  ASSERT_TRUE(answer && answer->has_busy());
  EXPECT_GT(answer->busy().retry_after_ms(), 0u);
}

TEST(Nodes, GetTheirWholeStateThenDeltasAndTheirReceiptsAreKept) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  FakeNode ledger_node(rig.port(), &ledger);
  FakeNode web_node(rig.port(), &web);
  ASSERT_TRUE(ledger_node.hello());
  ASSERT_TRUE(web_node.hello());
  ASSERT_TRUE(ledger_node.take_state());
  ASSERT_TRUE(web_node.take_state());
  EXPECT_TRUE(ledger_node.digest_right());
  ASSERT_NE(ledger_node.state().settings(), nullptr);
  EXPECT_EQ(ledger_node.state().settings()->device, DeviceId("ledger"));
  const Revision revision = rig.apply_policy(kPolicy);
  // The source's part comes once the target has acked its own.
  ASSERT_TRUE(
      ledger_node.take_until([](const auto& state) { return has_grant(state, policy::Direction::ingress); }));
  ASSERT_TRUE(
      web_node.take_until([](const auto& state) { return has_grant(state, policy::Direction::egress); }));
  EXPECT_TRUE(web_node.digest_right());
  ASSERT_TRUE(rig.eventually([&] {
    const auto receipts = rig.server->distribution().receipts(revision);
    return receipts.size() == 2 && std::ranges::all_of(receipts, &ReceiptStatus::acked);
  }));
  const auto receipts = rig.on_strand([&] { return rig.server->distribution().receipts(revision); });
  EXPECT_FALSE(receipts.front().receipt_signature.empty());
  EXPECT_GE(receipts.front().after_us, 0);
}

TEST(Nodes, ARevocationReachesEveryNodeAndIsolationMarksTheHostsOwnWord) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  rig.apply_policy(kPolicy);
  FakeNode ledger_node(rig.port(), &ledger);
  FakeNode web_node(rig.port(), &web);
  ASSERT_TRUE(ledger_node.hello() && ledger_node.take_state());
  ASSERT_TRUE(web_node.hello() && web_node.take_state());
  const Revision revision = rig.add(kinds::DeviceIsolated{.device = DeviceId("web"), .reason = "test"});
  std::promise<std::vector<ReceiptStatus>> told;
  rig.on_strand([&] {
    rig.server->distribution().wait_for(revision, Seconds(5),
                                        [&](auto receipts) { told.set_value(receipts); });
    return 0;
  });
  ASSERT_TRUE(web_node.take_until([](const auto& state) { return state.settings()->isolated; }));
  ASSERT_TRUE(ledger_node.take_state());
  const auto receipts = told.get_future().get();
  ASSERT_EQ(receipts.size(), 2u);
  for (const ReceiptStatus& receipt : receipts) EXPECT_EQ(receipt.self, receipt.device == DeviceId("web"));
}

TEST(Nodes, OneThatIsAwayIsToldOfWithTheEndOfItsLeases) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  {
    FakeNode node(rig.port(), &ledger);
    ASSERT_TRUE(node.hello() && node.take_state());
  }
  ASSERT_TRUE(rig.eventually([&] { return !rig.server->distribution().nodes().front().connected; }));
  const Revision revision = rig.apply_policy(kPolicy);
  const auto receipts = rig.on_strand([&] { return rig.server->distribution().receipts(revision); });
  ASSERT_FALSE(receipts.empty());
  EXPECT_FALSE(receipts.front().acked);
  EXPECT_GT(receipts.front().leases_end, system_clock().now());
}

TEST(Nodes, ADigestThatIsRightSparesTheWholeState) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode first(rig.port(), &ledger);
  ASSERT_TRUE(first.hello() && first.take_state());
  FakeNode second(rig.port(), &ledger);
  ToController hello = first.hello_message();
  second.send(hello);
  ASSERT_TRUE(second.receive_kind(ToNode::kWelcome));
  const auto next = second.receive();
  ASSERT_TRUE(next && next->has_delta()) << "only an empty delta, for its receipt";
  EXPECT_EQ(next->delta().upserts_size(), 0);
  const auto goodbye = first.receive_kind(ToNode::kGoodbye);
  EXPECT_TRUE(goodbye) << "the newer session takes the place of the older";
}

TEST(Nodes, AfterANackTheWholeStateComesAgain) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  const auto end = node.receive_kind(ToNode::kEnd);
  ASSERT_TRUE(end);
  ToController nack;
  nack.mutable_nack()->set_sequence(end->end().sequence());
  nack.mutable_nack()->set_reason("map full");
  node.send(nack);
  ASSERT_TRUE(
      rig.eventually([&] { return rig.server->distribution().nodes().front().last_nack == "map full"; }));
  ASSERT_TRUE(node.take_state());
  EXPECT_TRUE(rig.eventually([&] { return rig.server->distribution().nodes().front().last_nack.empty(); }));
}

TEST(Nodes, AReceiptThatIsSignedWithAnotherKeyEndsTheSession) {
  ControllerRig rig;
  FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  const auto end = node.receive_kind(ToNode::kEnd);
  ASSERT_TRUE(end && node.apply(*end));
  ledger.key = must(crypto::PrivateKey::generate());
  node.send(node.ack());
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  EXPECT_EQ(rig.metrics.counted("acks_refused"), 1u);
}

TEST(Nodes, ACertificateOfAnotherNodeOrAnotherAuthorityOpensNothing) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  // A certificate of our own authority that names ledger, but for another key than ledger's.
  FakeDevice thief{.name = "ledger"};
  thief.chain_pem = rig.certificate(thief, system_clock().now());
  FakeNode node(rig.port(), &thief);
  node.send(node.hello_message());
  const auto goodbye = node.receive();
  ASSERT_TRUE(goodbye && goodbye->has_goodbye());
  ControllerRig other;
  FakeDevice stranger{.name = "ledger"};
  stranger.chain_pem = other.certificate(stranger, system_clock().now());
  FakeNode refused(rig.port(), &stranger);
  refused.send(refused.hello_message());
  EXPECT_FALSE(refused.receive());
  EXPECT_GE(rig.metrics.counted("connections_refused", "handshake"), 1u);
}

TEST(Nodes, AnExpiredCertificateServesForRenewalOnly) {
  ControllerRig rig;
  FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  ledger.chain_pem = rig.certificate(ledger, system_clock().now() - std::chrono::days(3));
  FakeNode node(rig.port(), &ledger);
  node.send(node.hello_message());
  EXPECT_TRUE(node.receive()->has_goodbye());
  ToController renew;
  renew.mutable_renew()->set_request(1);
  renew.mutable_renew()->set_csr_pem(must(crypto::make_csr(ledger.key, "ledger")));
  FakeNode again(rig.port(), &ledger);
  again.send(renew);
  const auto renewed = again.receive();
  ASSERT_TRUE(renewed && renewed->has_renewed());
  ASSERT_EQ(renewed->renewed().reason(), "");
  ledger.chain_pem = renewed->renewed().certificate_pem();
  FakeNode fresh(rig.port(), &ledger);
  EXPECT_TRUE(fresh.hello());
  ledger.chain_pem = rig.certificate(ledger, system_clock().now() - std::chrono::days(40));
  FakeNode late(rig.port(), &ledger);
  late.send(renew);
  EXPECT_TRUE(late.receive()->has_goodbye()) << "more than 30 days";
}

TEST(Nodes, OneThatIsRemovedIsToldAndLetGo) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  rig.add(kinds::DeviceRemoved{.device = DeviceId("ledger"), .reason = "test"});
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  FakeNode again(rig.port(), &ledger);
  again.send(again.hello_message());
  EXPECT_TRUE(again.receive()->has_goodbye());
}

TEST(Nodes, HeartbeatsAreConfirmedWhileTheLogCanBeRead) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  ToController beat;
  beat.mutable_heartbeat()->set_sent_boot_ns(99);
  node.send(beat);
  const auto answer = node.receive_kind(ToNode::kHeartbeat);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->heartbeat().confirm());
  EXPECT_EQ(answer->heartbeat().echo_boot_ns(), 99u);
  EXPECT_TRUE(rig.eventually([&] {
    return rig.server->distribution().nodes().front().leases_end > system_clock().now() + Seconds(890);
  }));
}

TEST(Nodes, WherePeersMoveToIsTakenNowAndThenOnly) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  rig.apply_policy(kPolicy);
  FakeNode web_node(rig.port(), &web);
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(web_node.hello() && web_node.take_state());
  ASSERT_TRUE(node.hello() && node.take_state());
  const auto see = [&](const char* where) {
    ToController beat;
    wire::PeerObservation& peer = *beat.mutable_heartbeat()->add_peers();
    peer.set_device("web");
    peer.set_last_handshake_age_s(1);
    wire::encode_endpoint(must(Endpoint::parse(where)), peer.mutable_endpoint());
    node.send(beat);
    return node.receive_kind(ToNode::kHeartbeat).has_value();
  };
  ASSERT_TRUE(see("192.0.2.1:1000"));
  EXPECT_EQ(rig.metrics.counted("observations_refused"), 0u);
  ASSERT_TRUE(see("192.0.2.1:1001") && see("192.0.2.1:1002") && see("192.0.2.1:1000"));
  EXPECT_EQ(rig.metrics.counted("observations_refused"), 2u) << "the last one says nothing new";
}

TEST(Nodes, SilentOnesAreLetGo) {
  DistributionLimits limits = quick_limits();
  limits.idle_least = std::chrono::milliseconds(100);
  ControllerRig rig(limits);
  rig.apply_policy(std::string(kPolicy) + "lease = \"1s\"\n");  // a heartbeat every 500 ms, then
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  EXPECT_EQ(rig.metrics.counted("sessions_ended", "silent"), 1u);
}

TEST(Nodes, AStalledReaderIsCoalescedAndCatchesUp) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  rig.add_device("web", {"web"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  for (int i = 0; i < 30; ++i) rig.apply_policy(i % 2 == 0 ? kPolicy : "");
  const Revision last = rig.apply_policy(kPolicy);
  ASSERT_TRUE(node.take_until([](const auto& state) { return has_rule(state, "web-to-ledger"); }));
  ASSERT_TRUE(rig.eventually([&] { return true; }));
  // Unacked: at most the window; everything else went into few deltas.
  while (rig.on_strand([&] { return !rig.server->distribution().receipts(last).front().acked; })) {
    const auto message = node.receive(std::chrono::milliseconds(500));
    if (!message) break;
    if (node.apply(*message)) node.send(node.ack());
  }
  EXPECT_TRUE(rig.on_strand([&] { return rig.server->distribution().receipts(last).front().acked; }));
  EXPECT_TRUE(node.digest_right());
  EXPECT_LT(node.sequence(), 20u);
}

TEST(Nodes, LoginsWhyAndLogout) {
  ControllerRig rig;
  rig.add_device("ledger", {"settlement"});
  const FakeDevice laptop = rig.add_device("laptop");
  rig.add(user("u-trader", "trader"));
  rig.apply_policy(std::string(kPolicy) +
                   "[[allow]]\nname = \"traders\"\nfrom = { users = [\"trader\"] }\n"
                   "to = [\"settlement/ledger\"]\n");
  FakeNode node(rig.port(), &laptop);
  ASSERT_TRUE(node.hello() && node.take_state());
  const auto why = [&](const std::string& target, std::uint32_t port) {
    ToController message;
    message.mutable_why()->set_request(1);
    message.mutable_why()->set_uid(1000);
    message.mutable_why()->set_target(target);
    message.mutable_why()->set_protocol(6);
    message.mutable_why()->set_port(port);
    node.send(message);
    return node.receive_kind(ToNode::kWhy)->why();
  };
  EXPECT_EQ(why("ledger", 5432).answer(), why("nobody", 1).answer()) << "before the login nothing is told";
  ToController login;
  login.mutable_login()->set_request(7);
  login.mutable_login()->set_user("trader");
  login.mutable_login()->set_password("right");
  login.mutable_login()->set_uid(1000);
  node.send(login);
  ASSERT_TRUE(node.take_until([](const auto& state) { return has_rule(state, "traders"); }));
  const auto opened = node.receive_kind(ToNode::kLogin);
  ASSERT_TRUE(opened && opened->login().ok());
  ASSERT_EQ(opened->login().reach_size(), 1);
  EXPECT_EQ(opened->login().reach(0).service(), "settlement/ledger");
  const auto allowed = why("ledger", 5432);
  EXPECT_TRUE(allowed.allowed());
  EXPECT_EQ(allowed.rule(), "traders");
  EXPECT_EQ(why("ledger", 22).answer(), why("nobody", 22).answer());
  EXPECT_FALSE(why("ledger", 22).allowed());
  ToController logout;
  logout.mutable_logout()->set_request(8);
  logout.mutable_logout()->set_uid(1001);
  node.send(logout);
  EXPECT_FALSE(node.receive_kind(ToNode::kLogout)->logout().ok()) << "somebody else's session";
  logout.mutable_logout()->set_uid(1000);
  node.send(logout);
  EXPECT_TRUE(node.receive_kind(ToNode::kLogout)->logout().ok());
}

TEST(Nodes, FlowReportsAreResolvedAndKept) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  const Address own = node.state().settings()->v4;
  ToController report;
  wire::Flow& flow = *report.mutable_flows()->add_flows();
  flow.set_kind(wire::Flow::DENIED);
  flow.set_source(wire::encode_address(must(Address::parse("192.0.2.9"))));
  flow.set_destination(wire::encode_address(own));
  flow.set_protocol(6);
  flow.set_reason("no\ngrant");
  node.send(report);
  ASSERT_TRUE(rig.eventually([&] { return must(rig.flows->query({})).size() == 1; }));
  const auto kept = rig.on_strand([&] { return must(rig.flows->query({})).front(); });
  EXPECT_EQ(kept.destination_device, "ledger");
  EXPECT_EQ(kept.source_device, "");
  EXPECT_EQ(kept.source.to_string(), "192.0.2.9");
  EXPECT_EQ(kept.reason, "no?grant");
}

TEST(Strangers, GarbageAtEveryStageIsRefusedAndTheControllerLives) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket plain(io);
    plain.connect({boost::asio::ip::address_v4::loopback(), rig.port()});
    boost::asio::write(plain, boost::asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
    std::string rest;
    boost::system::error_code error;
    boost::asio::read(plain, boost::asio::dynamic_buffer(rest), error);
    EXPECT_TRUE(error);
  }
  EXPECT_FALSE(FakeNode(rig.port(), &ledger, "http/1.1").connected());
  for (const std::string& bytes : {std::string("\0\0\0\0", 4), std::string("\xff\xff\xff\xff", 4),
                                   std::string("\0\0\0\x03zzz", 7), std::string("\0\x02\0\0", 4)}) {
    FakeNode stranger(rig.port(), nullptr);
    stranger.send_bytes(bytes);
    const auto refused = stranger.receive();
    EXPECT_TRUE(refused && refused->has_goodbye());
  }
  FakeNode unproven(rig.port(), nullptr);
  unproven.send(FakeNode(rig.port(), &ledger).hello_message());
  EXPECT_TRUE(unproven.receive()->has_goodbye()) << "Hello without a certificate";
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  node.send_bytes(std::string("\0\0\0\x03zzz", 7));
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  FakeNode again(rig.port(), &ledger);
  EXPECT_TRUE(again.hello());
}

TEST(Strangers, SlowOnesAreCutOffAndTheirNumberIsBounded) {
  DistributionLimits limits = quick_limits();
  limits.handshake = std::chrono::milliseconds(150);
  limits.first_frame = std::chrono::milliseconds(150);
  limits.strangers_of_a_source = 3;
  ControllerRig rig(limits);
  FakeNode silent(rig.port(), nullptr);
  ASSERT_TRUE(silent.connected());
  EXPECT_FALSE(silent.receive(std::chrono::milliseconds(3000))) << "no first frame";
  FakeNode slow(rig.port(), nullptr);
  slow.send_bytes(std::string("\0\0\1", 3));
  EXPECT_FALSE(slow.receive(std::chrono::milliseconds(3000))) << "half a header";
  boost::asio::io_context io;
  std::vector<boost::asio::ip::tcp::socket> sockets;
  for (int i = 0; i < 6; ++i) {
    sockets.emplace_back(io);
    sockets.back().connect({boost::asio::ip::address_v4::loopback(), rig.port()});
  }
  EXPECT_TRUE(rig.eventually([&] { return rig.metrics.counted("connections_refused", "strangers") >= 3; }));
  EXPECT_TRUE(rig.eventually([&] { return rig.metrics.counted("connections_refused", "handshake") >= 3; }));
}

}  // namespace
}  // namespace cordon::controller
