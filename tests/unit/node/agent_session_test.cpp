// The agent against a controller over real TLS: only kernel and tunnel are fakes.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/agent/agent.h"
#include "node/agent/state_file.h"
#include "node/link/tls.h"
#include "proto/codec.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_fake_controller.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace agent_session_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentSession : public ::testing::Test {
 protected:
  void enrolled(std::chrono::hours life = std::chrono::hours(24),
                std::chrono::hours age = std::chrono::hours(0)) {
    const Keys keys = store.load_or_make_keys().value();
    const std::string csr = crypto::make_csr(keys.device, "trader").value();
    ASSERT_TRUE(store.save({.device = DeviceId{"trader"},
                            .certificate_pem = pki.device(csr, "trader", life, age),
                            .trust_pem = pki.root_pem}));
  }

  void serve(test::FakeController::Script script) {
    controller.emplace(pki.chain(), pki.server_key.to_pem(), pki.root_pem, std::move(script));
  }

  void run_agent() {
    config.controllers = {controller->endpoint()};
    config.run_directory = directory.path();
    if (!config.people_uids) config.people_uids = {{.first = ::getuid(), .last = ::getuid()}};
    if (config.interface.empty()) config.interface = "cdn-cordon";
    SessionLimits limits;
    limits.connect = limits.answer = milliseconds(5000);
    limits.backoff = {
        .quick_tries = 1, .quick = milliseconds(10), .least = milliseconds(10), .most = milliseconds(40)};
    auto opened = Agent::open({.io = io,
                               .config = config,
                               .store = store,
                               .filter = filter,
                               .tunnel = tunnel,
                               .network = network,
                               .clock = system_clock(),
                               .uniform = [] { return 0.5; },
                               .limits = limits,
                               .boot_id = "boot"});
    ASSERT_TRUE(opened) << opened.error().message();
    agent = std::move(*opened);
    const auto started = agent->start();
    ASSERT_TRUE(started) << started.error().message();
  }

  template <class Condition>
  bool until(Condition condition, milliseconds limit = milliseconds(10'000)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      io.run_for(milliseconds(5));
      io.restart();
    }
    return condition();
  }

  bool welcome(FakeLink& link, std::uint64_t revision = 1) {
    const auto hello = link.read();
    if (!hello || !hello->has_hello()) return false;
    last_hello = hello->hello();
    wire::ToNode out;
    auto& body = *out.mutable_welcome();
    body.set_controller("controller-1");
    body.set_echo_boot_ns(hello->hello().sent_boot_ns());
    body.set_controller_time_us(to_us(system_clock().now()));
    body.set_heartbeat_interval_ms(500);
    *body.mutable_head() = pki.head(revision);
    return link.send(out);
  }

  void send_state(FakeLink& link, const policy::NodeState& state, std::uint64_t sequence,
                  std::uint64_t revision) {
    wire::ToNode out;
    out.mutable_begin()->set_sequence(sequence);
    out.mutable_begin()->set_revision(revision);
    *out.mutable_begin()->mutable_head() = pki.head(revision);
    link.send(out);
    out.mutable_part()->set_sequence(sequence);
    for (const auto& [key, value] : state.entries)
      *out.mutable_part()->add_entries() = wire::encode_entry(key, &value);
    link.send(out);
    out.mutable_end()->set_sequence(sequence);
    const Sha256 digest = policy::digest(state).value();
    out.mutable_end()->set_digest(digest.data(), digest.size());
    link.send(out);
  }

  void answer_heartbeat(FakeLink& link, const wire::Heartbeat& heartbeat, std::uint64_t revision) {
    wire::ToNode out;
    out.mutable_heartbeat()->set_echo_boot_ns(heartbeat.sent_boot_ns());
    out.mutable_heartbeat()->set_controller_time_us(to_us(system_clock().now()));
    out.mutable_heartbeat()->set_confirm(true);
    *out.mutable_heartbeat()->mutable_head() = pki.head(revision);
    link.send(out);
  }

  /// One request over the local socket, from a thread of its own; the answer's line.
  std::string ask(const std::string& line) {
    std::atomic<bool> done = false;
    std::string answer;
    std::thread caller([&] {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      (directory.path() / "node.sock").string().copy(to.sun_path, sizeof to.sun_path - 1);
      char byte = 0;
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
          ::send(fd, line.data(), line.size(), MSG_NOSIGNAL) > 0)
        while (::recv(fd, &byte, 1, 0) == 1 && byte != '\n') answer += byte;
      ::close(fd);
      done = true;
    });
    until([&] { return done.load(); }, milliseconds(40'000));
    caller.join();
    return answer;
  }

  test::Pki pki;
  test::TemporaryDirectory directory;
  IdentityStore store{directory.path()};
  test::Steps steps;
  test::FakeFilter filter{steps};
  test::FakeTunnel tunnel{steps};
  test::FakeNetwork network{steps};
  NodeConfig config;
  boost::asio::io_context io;
  wire::Hello last_hello;
  std::optional<test::FakeController> controller;
  std::unique_ptr<Agent> agent;
};

TEST_F(AgentSession, TellsWhenItsSessionsWereActive) {
  enrolled();
  policy::NodeState state = base_state();
  state.entries[policy::LocalSessionKey{SessionId{"s-0000000000000001"}}] = test::session(::getuid());
  filter.packets[test::session().v4] = system_clock().boot_ns();
  std::atomic<bool> told = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, state, 1, 2);
    while (const auto message = link.read()) {
      if (!message->has_heartbeat()) continue;
      answer_heartbeat(link, message->heartbeat(), 2);
      if (message->heartbeat().sessions_size() != 1) continue;
      EXPECT_EQ(message->heartbeat().sessions(0).session(), "s-0000000000000001");
      EXPECT_LT(message->heartbeat().sessions(0).silent_s(), 30u);
      told = true;
    }
  });
  run_agent();
  EXPECT_TRUE(until([&] { return told.load(); }));
  const auto& features = last_hello.features();
  EXPECT_NE(std::ranges::find(features, "activity/1"), features.end());
  agent->stop();
}

TEST_F(AgentSession, WhoIsTheDeviceCannotLogIn) {
  config.people_uids = {{.first = ::getuid() + 1, .last = ::getuid() + 1}};
  enrolled();
  std::atomic<bool> asked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    while (const auto message = link.read()) asked = asked || message->has_login();
  });
  run_agent();
  const std::string told = ask(R"({"verb":"login","user":"ann@acme.example","password":"right","totp":"1"})"
                               "\n");
  EXPECT_NE(told.find("is the device here, not a person"), std::string::npos) << told;
  EXPECT_NE(told.find("people_uids"), std::string::npos) << "the mend";
  EXPECT_FALSE(asked) << "no password travels for nothing";
  agent->stop();
}

TEST_F(AgentSession, HoldsAStateConfirmsItsLeasesAndAnswersPeople) {
  enrolled();
  std::atomic<bool> acked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read()) {
      wire::ToNode out;
      if (message->has_ack()) acked = true;
      if (message->has_heartbeat()) answer_heartbeat(link, message->heartbeat(), 2);
      if (message->has_login()) {
        EXPECT_EQ(message->login().uid(), ::getuid());
        policy::NodeState next = base_state();
        next.entries[policy::LocalSessionKey{SessionId{"s-0000000000000001"}}] = test::session(::getuid());
        out.mutable_login()->set_request(message->login().request());
        out.mutable_login()->set_ok(message->login().password() == "right");
        out.mutable_login()->set_session("s-0000000000000001");
        out.mutable_login()->set_user(message->login().user());
        out.mutable_login()->set_reason("user, password or code is wrong");
        link.send(out);
        if (out.login().ok()) send_state(link, next, 2, 3);
      }
    }
  });
  run_agent();
  EXPECT_EQ(network.mtu, 1420u);
  EXPECT_EQ(filter.underlay, (std::vector<unsigned>{2, 3}));
  EXPECT_TRUE(until([&] { return acked && filter.confirmed != 0; }));
  EXPECT_EQ(last_hello.features(0), "state/1");
  EXPECT_EQ(last_hello.applied_sequence(), 0u) << "nothing is claimed that this process did not apply";

  const std::string wrong =
      ask(R"({"verb":"login","user":"trader@acme.example","password":"wrong","totp":"1"})"
          "\n");
  EXPECT_NE(wrong.find("user, password or code is wrong"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("unauthorized"), std::string::npos);
  const std::string login =
      ask(R"({"verb":"login","user":"trader@acme.example","password":"right","totp":"1"})"
          "\n");
  EXPECT_NE(login.find("100.64.1.1"), std::string::npos)
      << "answered when the state holds the session: " << login;
  EXPECT_EQ(filter.held.entries.count(policy::LocalSessionKey{SessionId{"s-0000000000000001"}}), 1u);

  controller.reset();
  EXPECT_TRUE(until([&] { return !agent->alarms().empty(); }));
  const std::string status = ask("{\"verb\":\"status\"}\n");
  EXPECT_NE(status.find(R"("connected":false)"), std::string::npos) << status;
  EXPECT_NE(status.find("100.64.1.1"), std::string::npos) << "the node knows its session by itself";
  EXPECT_NE(ask("{\"verb\":\"why\",\"target\":\"ledger\",\"access\":\"tcp/1\"}\n").find("unavailable"),
            std::string::npos);
  agent->stop();
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "state.bin"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "node.sock"));
}

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
  agent->stop();
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
  agent->stop();
}

TEST_F(AgentSession, AControllerOfAnotherRootGetsNoHello) {
  enrolled();
  const test::Pki stranger;
  controller.emplace(stranger.chain(), stranger.server_key.to_pem(), pki.root_pem, [](FakeLink&) {});
  run_agent();
  EXPECT_TRUE(until([&] { return !agent->alarms().empty(); }));
  EXPECT_EQ(controller->messages(), 0);
  agent->stop();
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
  agent->stop();
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
  agent->stop();
}

TEST_F(AgentSession, MoreEventsThanOneWakeTakesAreAllReported) {
  enrolled();
  std::atomic<int> reported = 0;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read()) {
      if (message->has_flows()) reported += message->flows().flows_size();
      if (message->has_heartbeat()) answer_heartbeat(link, message->heartbeat(), 2);
    }
  });
  filter.events_at_once = 3;
  run_agent();
  ASSERT_TRUE(until([&] { return filter.confirmed != 0; }));
  for (std::uint16_t i = 0; i < 100; ++i) {
    filter.events.push_back({.at = system_clock().boot_ns(),
                             .source = test::address("100.64.0.9"),
                             .destination = test::address("100.64.0.2"),
                             .protocol = 6,
                             .source_port = i,
                             .destination_port = 5432});
  }
  filter.pipe.poke();  // once
  EXPECT_TRUE(until([&] { return reported == 100; })) << reported;
  agent->stop();
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
  agent->stop();
}

TEST_F(AgentSession, AfterABootTheGuardFileGuardsAndGrantsNothing) {
  enrolled();
  policy::NodeState guards, saved = base_state();
  saved.entries[policy::GuardKey{.protocol = 6, .ports = {5432, 5432}}] = policy::GuardValue{};
  guards.entries[policy::SettingsKey{}] = test::settings();
  guards.entries[policy::GuardKey{.protocol = 6, .ports = {5432, 5432}}] = policy::GuardValue{};
  ASSERT_TRUE(GuardFile(store.directory()).keep(Revision{1}, saved, {}));
  serve([](FakeLink& link) { link.read(); });
  run_agent();
  EXPECT_EQ(filter.held, guards);
  EXPECT_EQ(filter.confirmed, 0u);
  EXPECT_LT(std::ranges::find(steps, "filter.replace"), std::ranges::find(steps, "filter.attach_overlay 42"));
  agent->stop();
}

TEST_F(AgentSession, WhatTheFilterFoundAndMendedIsToldToTheController) {
  enrolled();
  std::atomic<bool> told = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    while (const auto message = link.read()) {
      if (!message->has_heartbeat()) continue;
      answer_heartbeat(link, message->heartbeat(), 1);
      for (const std::string& alarm : message->heartbeat().alarms())
        told = told || alarm == "filter: the filter is not first: put first again";
    }
  });
  run_agent();
  filter.wrong = {"the filter is not first: put first again"};
  EXPECT_TRUE(until([&] { return told.load(); }));
  filter.wrong.clear();
  EXPECT_FALSE(until([&] { return agent->alarms().empty(); }, milliseconds(2'500)))
      << "it stands for a while";
  agent->stop();
}

TEST_F(AgentSession, IsolationIsOnDiskBeforeItIsAckedAndEndsOtherSockets) {
  enrolled();
  const auto endpoint = [](std::string_view text) { return Endpoint::parse(text).value(); };
  network.sockets = {
      {.protocol = 6, .local = endpoint("198.51.100.10:22"), .remote = endpoint("203.0.113.5:40000")}};
  filter.cuts = true;
  config.underlay_interfaces = {"eth0"};
  config.interface = "cdn-cordon";
  policy::NodeState isolated = base_state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  std::atomic<bool> acked = false, on_disk = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, isolated, 1, 2);
    while (const auto message = link.read()) {
      if (!message->has_ack()) continue;
      const auto saved = load_state(store.directory() / "guard.bin");
      on_disk = saved && *saved && (*saved)->state.settings()->isolated;
      acked = true;
    }
  });
  run_agent();
  EXPECT_EQ(filter.underlay, std::vector<unsigned>{2}) << "as node.toml names";
  ASSERT_TRUE(until([&] { return acked.load(); }));
  EXPECT_TRUE(on_disk);
  EXPECT_TRUE(until([&] {
    return std::ranges::find(steps, "network.destroy 198.51.100.10:22 to 203.0.113.5:40000") != steps.end();
  }));
  EXPECT_EQ(filter.underlay, (std::vector<unsigned>{2, 3})) << "every interface is contained";
  agent->stop();
}

TEST_F(AgentSession, AnInterfaceThatIsNotGuardedIsAnAlarmAndTriedAgain) {
  enrolled();
  serve([](FakeLink& link) { link.read(); });
  filter.underlay_broken = true;
  run_agent();
  const auto alarmed = [&] {
    return std::ranges::any_of(agent->alarms(),
                               [](const auto& a) { return a.starts_with("underlay guard"); });
  };
  EXPECT_TRUE(alarmed());
  EXPECT_EQ(network.mtu, 1420u) << "the rest goes on";
  filter.underlay_broken = false;
  EXPECT_TRUE(until([&] { return !alarmed(); }));
  agent->stop();
}

TEST_F(AgentSession, ATunnelThatDiedIsSetUpAgain) {
  enrolled();
  std::atomic<bool> acked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read())
      if (message->has_ack()) acked = true;
  });
  run_agent();
  ASSERT_TRUE(until([&] { return acked.load(); }));
  steps.clear();
  tunnel.died = true;
  EXPECT_TRUE(until([&] {
    return std::ranges::find(
               steps,
               "network.routes 100.64.0.0/10 src 100.64.0.2 fd12:3456:789a::/48 src fd12:3456:789a::2") !=
           steps.end();
  }));
  EXPECT_EQ(steps.at(0), "tunnel.key");
  EXPECT_EQ(steps.at(1), "filter.attach_overlay 42");
  const auto alarmed = [&](std::string_view what) {
    return std::ranges::any_of(agent->alarms(), [&](const auto& a) { return a.contains(what); });
  };
  EXPECT_TRUE(alarmed("made anew")) << "it stands for a while";
  // What couldn't be set up is tried again, though the tunnel itself is there.
  tunnel.broken = tunnel.died = true;
  EXPECT_TRUE(until([&] { return alarmed("the tunnel is gone"); }));
  steps.clear();
  tunnel.broken = false;
  EXPECT_TRUE(until([&] { return !alarmed("the tunnel is gone"); }));
  EXPECT_NE(std::ranges::find(steps, "filter.attach_overlay 42"), steps.end());
  agent->stop();
}

}  // namespace agent_session_test
}  // namespace cordon::node
