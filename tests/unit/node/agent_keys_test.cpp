// The agent's part in turning WireGuard keys, against a controller over real TLS.

#include <gtest/gtest.h>

#include "node/agent/agent.h"
#include "proto/features.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/link_fake_controller.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace agent_keys_test {

using std::chrono::milliseconds;
using test::FakeLink;

class AgentKeys : public ::testing::Test {
 protected:
  AgentKeys() {
    const Keys keys = store.load_or_make_keys().value();
    first = std::string(as_text(crypto::wireguard_public(keys.wireguard)));
    const std::string csr = crypto::make_csr(keys.device, "trader").value();
    EXPECT_TRUE(store.save({.device = DeviceId{"trader"},
                            .certificate_pem = pki.device(csr, "trader", std::chrono::hours(24), {}),
                            .trust_pem = pki.root_pem}));
  }

  void run(test::FakeController::Script script) {
    controller.emplace(pki.chain(), pki.server_key.to_pem(), pki.root_pem, std::move(script));
    config.controllers = {controller->endpoint()};
    config.run_directory = directory.path();
    auto opened = Agent::open({.io = io,
                               .config = config,
                               .store = store,
                               .filter = filter,
                               .tunnel = tunnel,
                               .network = network,
                               .clock = system_clock(),
                               .uniform = [] { return 0.5; },
                               .boot_id = "boot"});
    ASSERT_TRUE(opened) << opened.error().message();
    agent = std::move(*opened);
    ASSERT_TRUE(agent->start());
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done && std::chrono::steady_clock::now() < end) {
      io.run_for(milliseconds(5));
      io.restart();
    }
    EXPECT_TRUE(done);
    agent->stop();
  }

  bool welcome(FakeLink& link, bool with_keys) {
    const auto hello = link.read();
    if (!hello || !hello->has_hello()) return false;
    wire::ToNode out;
    auto& body = *out.mutable_welcome();
    body.set_controller("controller-1");
    if (with_keys) body.add_features(std::string(wire::kFeatureKeys1));
    body.set_echo_boot_ns(hello->hello().sent_boot_ns());
    body.set_controller_time_us(to_us(system_clock().now()));
    body.set_heartbeat_interval_ms(500);
    *body.mutable_head() = pki.head(1);
    return link.send(out);
  }

  static std::optional<wire::TunnelKeys> told(FakeLink& link) {
    while (const auto message = link.read())
      if (message->has_tunnel_keys()) return message->tunnel_keys();
    return std::nullopt;
  }
  static void order(FakeLink& link, const std::string& turn_to) {
    wire::ToNode out;
    out.mutable_key_order()->set_turn_to(turn_to);
    link.send(out);
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
  std::string first;  ///< public
  std::atomic<bool> done = false;
  std::optional<test::FakeController> controller;
  std::unique_ptr<Agent> agent;
};

TEST_F(AgentKeys, TurnWhenTheControllerSaysSoAndAreToldEachTime) {
  const std::string peer(32, '\x05'), secret(32, '\x06');
  run([&](FakeLink& link) {
    if (!welcome(link, true)) return;
    const auto at_first = told(link);
    if (!at_first) return;
    EXPECT_EQ(at_first->public_key(), first);
    EXPECT_TRUE(at_first->next_public_key().empty());
    order(link, std::string(32, '\x09'));
    const auto not_ours = told(link);
    EXPECT_TRUE(not_ours && not_ours->public_key() == first);
    order(link, "");
    const auto made = told(link);
    if (!made) return;
    EXPECT_EQ(made->public_key(), first);
    wire::ToNode keys;
    auto& pair = *keys.mutable_preshared_keys()->add_keys();
    pair.set_own(made->next_public_key());
    pair.set_peer(peer);
    pair.set_key(secret);
    link.send(keys);
    order(link, made->next_public_key());
    const auto turned = told(link);
    if (!turned) return;
    EXPECT_EQ(turned->public_key(), made->next_public_key());
    EXPECT_TRUE(turned->next_public_key().empty());
    done = true;
  });
  EXPECT_EQ(std::ranges::count(steps, "tunnel.turn"), 1);
  ASSERT_EQ(tunnel.preshared.size(), 1u);
  EXPECT_EQ(as_text(tunnel.preshared.begin()->first), peer);
  EXPECT_EQ(as_text(tunnel.preshared.begin()->second), secret);
  EXPECT_NE(as_text(crypto::wireguard_public(store.load_keys()->wireguard)), first);
}

TEST_F(AgentKeys, TurnNoSoonerThanPeersAreReadyWhateverTheTickDoes) {
  run([&](FakeLink& link) {
    if (!welcome(link, true) || !told(link)) return;
    // Together longer than two ticks are apart, so that one comes between an order and its turn.
    for (int turn = 0; turn < 8; ++turn) {
      order(link, "");
      const auto made = told(link);
      if (!made) return;
      const auto begun = std::chrono::steady_clock::now();
      order(link, made->next_public_key());
      const auto turned = told(link);
      if (!turned) return;
      EXPECT_EQ(turned->public_key(), made->next_public_key());
      EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(150));
    }
    done = true;
  });
  EXPECT_EQ(std::ranges::count(steps, "tunnel.turn"), 8);
}

TEST_F(AgentKeys, AreMadeWhenTheyHaveServedTheirTime) {
  config.rotate_keys = Seconds{0};
  run([&](FakeLink& link) {
    if (!welcome(link, true)) return;
    while (const auto keys = told(link)) {
      if (keys->next_public_key().empty()) continue;
      EXPECT_EQ(keys->public_key(), first);
      done = true;
    }
  });
  EXPECT_TRUE(store.load_keys()->next_wireguard);
}

TEST_F(AgentKeys, AreNoMatterForAControllerThatKnowsNothingOfThem) {
  config.rotate_keys = Seconds{0};
  run([&](FakeLink& link) {
    if (!welcome(link, false)) return;
    int beats = 0;
    while (const auto message = link.read()) {
      EXPECT_FALSE(message->has_tunnel_keys());
      if (message->has_heartbeat() && ++beats == 5) done = true;  // more than a tick
    }
  });
  EXPECT_FALSE(store.load_keys()->next_wireguard);
}

}  // namespace agent_keys_test
}  // namespace cordon::node
