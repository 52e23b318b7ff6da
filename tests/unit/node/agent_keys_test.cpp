// The agent's part in turning WireGuard keys, against a controller over real TLS.

#include "proto/features.h"
#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_keys_test {

using test::FakeLink;

class AgentKeys : public test::AgentRig {
 protected:
  AgentKeys() {
    const Keys keys = store.load_or_make_keys().value();
    first = std::string(as_text(crypto::wireguard_public(keys.wireguard)));
  }

  void run(test::FakeController::Script script) {
    enrolled();
    serve(std::move(script));
    run_agent();
    EXPECT_TRUE(until([this] { return done.load(); }));
    finish();
  }

  bool welcome_to_keys(FakeLink& link) { return welcome(link, 1, {wire::kFeatureKeys1}); }

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

  std::string first;  ///< public
  std::atomic<bool> done = false;
};

TEST_F(AgentKeys, TurnWhenTheControllerSaysSoAndAreToldEachTime) {
  const std::string peer(32, '\x05'), secret(32, '\x06');
  run([&](FakeLink& link) {
    if (!welcome_to_keys(link)) return;
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
    if (!welcome_to_keys(link) || !told(link)) return;
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
    if (!welcome_to_keys(link)) return;
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
    if (!welcome(link)) return;
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
