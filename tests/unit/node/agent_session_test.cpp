// The agent's sessions: what ends them, and what it believes.

#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_session_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentSession : public test::AgentRig {};

TEST_F(AgentSession, ComesBackAfterGarbageBusyAndGoodbye) {
  enrolled();
  std::atomic<int> turn = 0;
  std::atomic<bool> acked = false;
  serve([&](FakeLink& link) {
    wire::ToNode out;
    switch (turn++) {
      case 0:
        link.read();
        link.send_raw(std::string("\0\0\0\5hello", 9));
        return;
      case 1:
        link.send_raw("\xff\xff\xff\xff");
        return;
      case 2:
        link.read();
        out.mutable_busy()->set_retry_after_ms(1);
        link.send(out);
        return;
      case 3:
        welcome(link);
        out.mutable_goodbye()->set_reason("restarting");
        link.send(out);
        return;
      case 4:
        link.read();
        out.mutable_delta()->set_sequence(1);
        link.send(out);
        return;
      default:
        break;
    }
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    const auto message = link.read();
    acked = message && message->has_ack();
  });
  run_agent();
  EXPECT_TRUE(until([&] { return acked.load(); }));
  EXPECT_EQ(filter.held, base_state());
  finish();
}

TEST_F(AgentSession, BusyIsObeyed) {
  enrolled();
  serve([&](FakeLink& link) {
    link.read();
    wire::ToNode out;
    out.mutable_busy()->set_retry_after_ms(60'000);
    link.send(out);
  });
  run_agent();
  EXPECT_TRUE(until([&] { return !agent->alarms().empty(); }));
  until([] { return false; }, milliseconds(300));
  EXPECT_EQ(controller->connections(), 1);
  finish();
}

TEST_F(AgentSession, AControllerOfAnotherRootGetsNoHello) {
  enrolled();
  const test::Pki stranger;
  controller.emplace(stranger.chain(), stranger.server_key.to_pem(), pki.root_pem, [](FakeLink&) {});
  run_agent();
  EXPECT_TRUE(until([&] { return !agent->alarms().empty(); }));
  EXPECT_EQ(controller->messages(), 0);
  finish();
}

TEST_F(AgentSession, ARewrittenLogRenewsNoLease) {
  enrolled();
  std::atomic<bool> nacked = false;
  std::atomic<int> turn = 0;
  serve([&](FakeLink& link) {
    const bool first = turn++ == 0;
    if (!welcome(link, first ? 9 : 4)) return;
    send_state(link, base_state(), 1, first ? 9 : 4);
    while (const auto message = link.read()) {
      if (message->has_nack()) nacked = true;
      if (message->has_ack() && first) {
        wire::ToNode out;
        out.mutable_goodbye()->set_reason("restored from an old copy");
        link.send(out);
        return;
      }
      if (message->has_heartbeat()) answer_heartbeat(link, message->heartbeat(), first ? 9 : 4);
    }
  });
  run_agent();
  ASSERT_TRUE(until([&] { return nacked.load(); }));
  ASSERT_FALSE(agent->alarms().empty());
  EXPECT_NE(agent->alarms().front().find("log rewritten"), std::string::npos);
  EXPECT_EQ(filter.confirmed, 0u);
  finish();
}

TEST_F(AgentSession, DeadlinesThatCannotBeWrittenAgainBringAWholeState) {
  enrolled();
  std::atomic<bool> clock_set = false, second_acked = false;
  std::atomic<int> turn = 0;
  std::atomic<std::uint64_t> claimed = 99;
  serve([&](FakeLink& link) {
    const bool first = turn++ == 0;
    if (!welcome(link, 2)) return;
    if (!first) claimed = last_hello.applied_sequence();
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read()) {
      if (message->has_ack() && !first) second_acked = true;
      if (!message->has_heartbeat()) continue;
      wire::ToNode out;
      out.mutable_heartbeat()->set_echo_boot_ns(message->heartbeat().sent_boot_ns());
      out.mutable_heartbeat()->set_controller_time_us(
          to_us(system_clock().now() + std::chrono::hours(first && clock_set ? 1 : 0)));
      *out.mutable_heartbeat()->mutable_head() = pki.head(2);
      link.send(out);
    }
  });
  run_agent();
  ASSERT_TRUE(until([&] { return filter.held == base_state(); }));
  filter.fail_at = "filter.replace";
  clock_set = true;
  ASSERT_TRUE(until([&] { return turn == 2; })) << "the session ends";
  filter.fail_at.clear();
  EXPECT_TRUE(until([&] { return second_acked.load(); }));
  EXPECT_EQ(claimed, 0u) << "what may not be held is not claimed";
  finish();
}

TEST_F(AgentSession, WhileALargeStateIsWrittenTheLoopGoesOnAndWhatIsSaidWaits) {
  enrolled();
  std::atomic<bool> writing = false;
  std::atomic<int> acks = 0, beats = 0;
  const policy::NodeState first = test::large_state();
  policy::NodeState second = first;
  second.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  serve([&](FakeLink& link) {
    if (!welcome(link, 2)) return;
    send_state(link, first, 1, 2);
    wire::ToNode out;
    auto& delta = *out.mutable_delta();
    delta.set_sequence(2);
    delta.set_revision(3);
    *delta.mutable_head() = pki.head(3);
    *delta.add_removals() = wire::encode_entry(policy::PeerKey{DeviceId{"ledger"}}, nullptr);
    const Sha256 digest = policy::digest(second).value();
    delta.set_digest(digest.data(), digest.size());
    link.send(out);
    while (const auto message = link.read()) {
      if (message->has_heartbeat() && writing) ++beats;
      if (message->has_ack()) ++acks;
    }
  });
  // One heartbeat may have been on its way.
  filter.while_replacing = [&] {
    writing = true;
    for (int i = 0; i < 1500 && beats < 2; ++i) std::this_thread::sleep_for(milliseconds(5));
    writing = false;
  };
  run_agent();
  EXPECT_TRUE(until([&] { return acks == 2; }));
  EXPECT_GE(beats, 2) << "heartbeats came while it was written";
  EXPECT_EQ(filter.held, second);
  EXPECT_TRUE(tunnel.held.empty());
  finish();
}

TEST_F(AgentSession, AnExpiredCertificateIsRenewedBeforeAnythingElse) {
  enrolled(std::chrono::hours(1), std::chrono::hours(48));
  std::atomic<bool> renewed = false, hello = false;
  serve([&](FakeLink& link) {
    const auto message = link.read();
    if (message && message->has_renew()) {
      wire::ToNode out;
      out.mutable_renewed()->set_request(message->renew().request());
      out.mutable_renewed()->set_certificate_pem(pki.device(message->renew().csr_pem(), "trader"));
      renewed = true;
      link.send(out);
    } else if (message && message->has_hello()) {
      hello = true;
    }
  });
  run_agent();
  EXPECT_TRUE(until([&] { return renewed && hello; }));
  finish();
}

}  // namespace agent_session_test
}  // namespace cordon::node
