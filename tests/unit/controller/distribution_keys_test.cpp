// WireGuard keys that turn: the order of things with a log and simulated nodes, then over TLS with states.

#include <gtest/gtest.h>

#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/distribution/key_rotation.h"
#include "controller/secrets/preshared.h"
#include "proto/features.h"
#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_keys_test {

using namespace test;
using wire::ToController;
using wire::ToNode;

WireguardKey key(std::uint8_t n) {
  WireguardKey out{};
  out.fill(n);
  return out;
}

/// Commits at once.
class InstantLog : public ChangeLog {
 public:
  explicit InstantLog(History& history) : history_(history) {}
  const policy::World& world() const override { return history_.world; }
  const SignedHead& head() const override { return head_; }
  const PolicyHistory& policies() const override { return policies_; }
  std::uint32_t format() const override { return kinds::kNewestFormat; }
  bool storage_is_fresh() const override { return true; }
  void propose(Proposal proposal, std::function<void(Result<Committed>)> done) override {
    const auto kind = must(kinds::decode(proposal.kind, proposal.version, proposal.payload));
    actors.push_back(proposal.actor);
    const auto added = history_.try_add(kind);
    if (!added) return done(std::unexpected(added.error()));
    kinds_.push_back(proposal.kind);
    if (heard) heard(kind);
    done(Committed{.record = history_.records.back(), .head = {}});
  }
  void on_record(Listener) override {}
  std::vector<std::string> take() { return std::exchange(kinds_, {}); }
  std::vector<std::string> actors;
  std::function<void(const kinds::Kind&)> heard;

 private:
  History& history_;
  SignedHead head_;
  PolicyHistory policies_;
  std::vector<std::string> kinds_;
};

class KeysClock : public Clock {
 public:
  Timestamp now() const override { return at; }
  BootNs boot_ns() const override { return 1; }
  Timestamp at = kStart;
};

/// Nodes that remember what they were told.
struct SimulatedNodes : KeyRotation::Nodes {
  std::set<DeviceId> peers_of(const DeviceId& device) const override { return peers.at(device.value); }
  bool is_past(const DeviceId& node, Revision) const override { return !behind.contains(node.value); }
  void watch(const DeviceId& node, const DeviceId& turning) override {
    told.push_back(node.value + " watches " + turning.value);
  }
  void order_next_key(const DeviceId& device) override { told.push_back(device.value + " makes a key"); }
  void order_turn(const DeviceId& device, const WireguardKey& to) override {
    told.push_back(device.value + " turns to " + std::to_string(to[0]));
  }
  std::vector<std::string> take() { return std::exchange(told, {}); }

  std::map<std::string, std::set<DeviceId>> peers{
      {"a", {DeviceId("b"), DeviceId("c")}}, {"b", {DeviceId("a")}}, {"c", {DeviceId("a")}}};
  std::set<std::string> behind;
  std::vector<std::string> told;
};

using Told = std::vector<std::string>;

/// Devices a, b and c; a is everybody's peer. Their keys begin as 1, 2 and 3.
class Keys : public testing::Test {
 protected:
  Keys() {
    history.add(installation());
    history.add(join_token("t-1"));
    std::uint8_t n = 0;
    for (const char* name : {"a", "b", "c"}) {
      auto made = enrolled(name, "t-1", ++n);
      made.wireguard_key = key(n);
      history.add(made);
    }
    begin();
  }
  /// As after a restart of the controller: only the log is left.
  void begin() {
    rotation = std::make_shared<KeyRotation>(log, metrics, clock, nodes,
                                             RateLimitSpec{.burst = 20, .per_second = 0.001});
    log.heard = [this](const kinds::Kind& kind) {
      std::visit(
          [this](const auto& k) {
            if constexpr (requires { k.device; }) rotation->changed(k.device);
          },
          kind);
    };
  }
  void tell(const char* device, std::uint8_t now, std::uint8_t next = 0) {
    rotation->told(DeviceId(device), key(now), next == 0 ? std::nullopt : std::optional(key(next)));
  }
  void add(const kinds::Kind& kind) {
    history.add(kind);
    log.heard(kind);
    rotation->run();
  }
  void pass(Seconds seconds) {
    clock.at += seconds;
    rotation->run();
  }
  void acks(const char* node) {
    nodes.behind.erase(node);
    rotation->moved_on(DeviceId(node));
    rotation->run();
  }
  const policy::Device& device(const char* name) { return history.world.devices.at(DeviceId(name)); }

  History history;
  InstantLog log{history};
  Metrics metrics;
  KeysClock clock;
  SimulatedNodes nodes;
  std::shared_ptr<KeyRotation> rotation;
};

TEST_F(Keys, TurnOnceEveryPeerKnowsTheNextOne) {
  tell("a", 1);
  EXPECT_TRUE(log.take().empty()) << "what the log knows already";
  nodes.behind = {"b", "c"};
  tell("a", 1, 11);
  EXPECT_EQ(log.take(), Told{"wireguard key offered"});
  EXPECT_EQ(log.actors, Told{"device:a"});
  EXPECT_EQ(device("a").next_wireguard_key, key(11));
  EXPECT_EQ(device("a").wireguard_key, key(1));
  acks("b");
  EXPECT_TRUE(nodes.take().empty()) << "c doesn't know it yet";
  acks("c");
  EXPECT_EQ(nodes.take(), (Told{"b watches a", "c watches a", "a turns to 11"}));
  pass(Seconds(1));
  EXPECT_TRUE(nodes.take().empty()) << "one order";
  tell("a", 11);
  EXPECT_EQ(log.take(), Told{"wireguard key changed"});
  EXPECT_EQ(device("a").wireguard_key, key(11));
  EXPECT_FALSE(device("a").next_wireguard_key);
  EXPECT_TRUE(device("a").presharing) << "whoever offers a key knows preshared ones";
}

TEST_F(Keys, APeerThatIsAwayIsWaitedForUntilItsLeasesEndAndOneThatRefusesNoLonger) {
  nodes.behind = {"b"};
  tell("a", 1, 11);
  pass(Seconds(800));
  EXPECT_TRUE(nodes.take().empty());
  nodes.behind.clear();  // its leases ended
  pass(Seconds(1));
  EXPECT_EQ(nodes.take().back(), "a turns to 11");
  tell("a", 11);
  nodes.behind = {"b"};  // connected, and NACKs all that it is sent
  tell("a", 11, 12);
  pass(Seconds(899));
  EXPECT_TRUE(nodes.take().empty());
  pass(Seconds(1));
  EXPECT_EQ(nodes.take().back(), "a turns to 12");
}

TEST_F(Keys, OfNeighboursTurnOneAfterTheOtherAndOthersAtOnce) {
  tell("b", 2, 12);
  tell("c", 3, 13);
  EXPECT_EQ(nodes.take(), (Told{"a watches b", "b turns to 12", "a watches c", "c turns to 13"}));
  tell("a", 1, 11);
  EXPECT_TRUE(nodes.take().empty()) << "each of its peers turns in this moment";
  tell("b", 12);
  tell("c", 13);
  EXPECT_TRUE(nodes.take().empty()) << "peers that follow the log get a moment to do so";
  pass(Seconds(2));
  EXPECT_EQ(nodes.take(), (Told{"b watches a", "c watches a", "a turns to 11"}));
}

TEST_F(Keys, ADeviceThatIsGoneInTheMidstHoldsItsNeighboursUpForAMoment) {
  tell("b", 2, 12);
  nodes.take();
  rotation->gone(DeviceId("b"));
  tell("a", 1, 11);
  EXPECT_TRUE(nodes.take().empty()) << "b may have turned";
  pass(Seconds(10));
  EXPECT_EQ(nodes.take().back(), "a turns to 11");
  tell("a", 11);
  pass(Seconds(2));
  // It comes back: having turned or not.
  tell("b", 2, 12);
  EXPECT_EQ(nodes.take(), (Told{"a watches b", "b turns to 12"}));
  EXPECT_EQ(device("b").next_wireguard_key, key(12));
}

TEST_F(Keys, AnOrderThatNothingComesOfIsGivenAgain) {
  tell("a", 1, 11);
  nodes.take();
  pass(Seconds(9));
  EXPECT_TRUE(nodes.take().empty());
  pass(Seconds(1));
  EXPECT_EQ(nodes.take().back(), "a turns to 11");
}

TEST_F(Keys, ARestartGoesOnWhereTheLogStands) {
  nodes.behind = {"b"};
  tell("a", 1, 11);
  log.take();
  begin();
  tell("a", 1, 11);
  EXPECT_TRUE(log.take().empty()) << "it is offered already";
  EXPECT_TRUE(nodes.take().empty());
  acks("b");
  EXPECT_EQ(nodes.take().back(), "a turns to 11");
  begin();
  tell("a", 11);
  EXPECT_EQ(log.take(), Told{"wireguard key changed"});
}

TEST_F(Keys, AnOperatorsWishIsKeptForADeviceThatIsAway) {
  add(kinds::KeyRotationAsked{DeviceId("a")});
  EXPECT_TRUE(nodes.take().empty());
  EXPECT_EQ(history.try_add(kinds::KeyRotationAsked{DeviceId("a")}).error().code, ErrorCode::conflict);
  begin();
  tell("a", 1);
  EXPECT_EQ(nodes.take(), Told{"a makes a key"});
  pass(Seconds(1));
  EXPECT_TRUE(nodes.take().empty()) << "once a session";
  tell("a", 1, 11);
  tell("a", 11);
  EXPECT_FALSE(device("a").rotation_asked);
  pass(Seconds(10));
  nodes.take();
  add(kinds::KeyRotationAsked{DeviceId("a")});
  EXPECT_EQ(nodes.take(), Told{"a makes a key"}) << "in the same session";
}

TEST_F(Keys, AnIsolatedDeviceTurnsOnceItIsReleased) {
  add(kinds::DeviceIsolated{DeviceId("a"), "test"});
  EXPECT_FALSE(history.try_add(kinds::KeyRotationAsked{DeviceId("a")}));
  EXPECT_FALSE(history.try_add(kinds::WireguardKeyOffered{DeviceId("a"), key(11)}));
  tell("a", 1, 11);
  pass(Seconds(1));
  EXPECT_TRUE(log.take().empty());
  EXPECT_TRUE(nodes.take().empty());
  add(kinds::DeviceReleased{DeviceId("a")});
  EXPECT_EQ(log.take(), Told{"wireguard key offered"});
  EXPECT_EQ(nodes.take().back(), "a turns to 11");
}

TEST_F(Keys, IsolatedInTheMidstItStaysWithTheKeyThatItHas) {
  nodes.behind = {"b"};
  tell("a", 1, 11);
  add(kinds::DeviceIsolated{DeviceId("a"), "test"});
  acks("b");
  pass(Seconds(1));
  EXPECT_TRUE(nodes.take().empty());
  tell("a", 11);
  EXPECT_EQ(device("a").wireguard_key, key(11)) << "it turned before it heard: that is its key";
}

TEST_F(Keys, AKeyThatNobodyExpectedIsTheKeyAndAnotherDevicesIsNot) {
  tell("a", 21);
  EXPECT_EQ(device("a").wireguard_key, key(21));
  for (int i = 0; i < 100; ++i) {
    tell("b", 21);
    pass(Seconds(1));
  }
  EXPECT_EQ(device("b").wireguard_key, key(2));
  tell("b", 2, 21);
  EXPECT_FALSE(device("b").next_wireguard_key);
  EXPECT_LE(log.actors.size(), 25u) << "who tells nonsense again and again isn't judged again and again";
}

TEST_F(Keys, ANextKeyThatChangesIsOfferedAnew) {
  nodes.behind = {"b"};
  tell("a", 1, 11);
  tell("a", 1, 12);
  EXPECT_EQ(device("a").next_wireguard_key, key(12));
  acks("b");
  EXPECT_EQ(nodes.take().back(), "a turns to 12");
}

// ---- over TLS ----

ToController hello_with_keys(const FakeNode& node) {
  auto hello = node.hello_message();
  hello.mutable_hello()->add_features(std::string(wire::kFeatureKeys1));
  return hello;
}

ToController keys_told(const WireguardKey& now, std::optional<WireguardKey> next = {}) {
  ToController message;
  message.mutable_tunnel_keys()->set_public_key(std::string(as_text(now)));
  if (next) message.mutable_tunnel_keys()->set_next_public_key(std::string(as_text(*next)));
  return message;
}

const policy::PeerValue* peer_of(const policy::NodeState& state, const char* device) {
  const auto found = state.entries.find(policy::PeerKey{DeviceId(device)});
  return found == state.entries.end() ? nullptr : std::get_if<policy::PeerValue>(&found->second);
}

struct WireRig : ControllerRig {
  FakeDevice ledger = add_device("ledger", {"settlement"});
  FakeDevice web = add_device("web", {"web"});
  WireRig() { apply_policy(kWebToLedger); }
  WireguardKey key_of(const char* name) {
    return on_strand([&] { return log->world().devices.at(DeviceId(name)).wireguard_key; });
  }
};

TEST(KeysOnTheWire, APeerLearnsTheNextKeyThenWatchesAndTheDeviceTurns) {
  WireRig rig;
  FakeNode ledger(rig.port(), &rig.ledger), web(rig.port(), &rig.web);
  ASSERT_TRUE(ledger.send(hello_with_keys(ledger)) && ledger.take_state());
  ASSERT_TRUE(web.send(hello_with_keys(web)) && web.take_state());
  const WireguardKey before = rig.key_of("ledger");
  rig.add(kinds::KeyRotationAsked{DeviceId("ledger")});
  ASSERT_TRUE(ledger.send(keys_told(before)));
  const auto order = ledger.receive_kind(ToNode::kKeyOrder);
  ASSERT_TRUE(order);
  EXPECT_TRUE(order->key_order().turn_to().empty());
  ASSERT_TRUE(ledger.send(keys_told(before, key(11))));
  ASSERT_TRUE(web.take_until([](const auto& state) {
    const auto* peer = peer_of(state, "ledger");
    return peer != nullptr && peer->next_key == key(11);
  }));
  EXPECT_TRUE(web.digest_right());
  EXPECT_EQ(peer_of(web.state(), "ledger")->public_key, before);
  const auto turns = web.receive_kind(ToNode::kKeyTurns);
  ASSERT_TRUE(turns);
  EXPECT_EQ(turns->key_turns().devices(0), "ledger");
  const auto turn = ledger.receive_kind(ToNode::kKeyOrder);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->key_order().turn_to(), as_text(key(11)));
  ASSERT_TRUE(ledger.send(keys_told(key(11))));
  ASSERT_TRUE(web.take_until([](const auto& state) {
    const auto* peer = peer_of(state, "ledger");
    return peer->public_key == key(11) && !peer->next_key;
  }));
  EXPECT_TRUE(web.digest_right());
}

TEST(KeysOnTheWire, AnOlderNodeIsToldNoNextKeysAndHoldsNobodyUp) {
  WireRig rig;
  FakeNode ledger(rig.port(), &rig.ledger), web(rig.port(), &rig.web);
  ASSERT_TRUE(ledger.send(hello_with_keys(ledger)) && ledger.take_state());
  ASSERT_TRUE(web.hello() && web.take_state());
  ASSERT_TRUE(ledger.send(keys_told(rig.key_of("ledger"), key(11))));
  const auto turn = ledger.receive_kind(ToNode::kKeyOrder);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->key_order().turn_to(), as_text(key(11)));
  EXPECT_FALSE(peer_of(web.state(), "ledger")->next_key);
  {
    FakeNode again(rig.port(), &rig.web);  // a whole state while a key is offered
    ASSERT_TRUE(again.hello() && again.take_state());
    EXPECT_TRUE(again.digest_right());
    EXPECT_FALSE(peer_of(again.state(), "ledger")->next_key);
  }
  FakeNode newer(rig.port(), &rig.web);
  ASSERT_TRUE(newer.send(hello_with_keys(newer)) && newer.take_state());
  EXPECT_EQ(peer_of(newer.state(), "ledger")->next_key, key(11));
}

TEST(KeysOnTheWire, PresharedKeysComeAheadOfTheirPeersToBothEndsAlone) {
  WireRig rig;
  FakeNode ledger(rig.port(), &rig.ledger), web(rig.port(), &rig.web);
  ASSERT_TRUE(ledger.send(hello_with_keys(ledger)) && ledger.take_state());
  const WireguardKey web_key = rig.key_of("web"), ledger_key = rig.key_of("ledger");
  // Both devices enrolled without a word of preshared keys: a pair has one when both its keys were offered
  // since.
  ASSERT_TRUE(ledger.send(keys_told(ledger_key, key(11))));
  ASSERT_TRUE(rig.eventually(
      [&] { return rig.log->world().devices.at(DeviceId("ledger")).next_wireguard_key == key(11); }));
  ASSERT_TRUE(web.send(hello_with_keys(web)));
  ASSERT_TRUE(web.receive_kind(ToNode::kWelcome));
  auto first = web.receive();
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->has_preshared_keys());
  ASSERT_TRUE(web.take_until([](const auto& state) { return peer_of(state, "ledger") != nullptr; }));
  ASSERT_TRUE(web.send(keys_told(web_key, key(12))));
  const auto at_web = web.receive_kind(ToNode::kPresharedKeys);
  const auto at_ledger = ledger.receive_kind(ToNode::kPresharedKeys);
  ASSERT_TRUE(at_web && at_ledger);
  ASSERT_EQ(at_web->preshared_keys().keys_size(), 1);
  const auto& pair = at_web->preshared_keys().keys(0);
  EXPECT_EQ(pair.own(), as_text(key(12)));
  EXPECT_EQ(pair.peer(), as_text(key(11)));
  EXPECT_EQ(at_ledger->preshared_keys().keys(0).own(), pair.peer());
  EXPECT_EQ(at_ledger->preshared_keys().keys(0).peer(), pair.own());
  EXPECT_EQ(at_ledger->preshared_keys().keys(0).key(), pair.key());
  // What ledger holds of web's next key comes after the key for it.
  EXPECT_FALSE(peer_of(ledger.state(), "web")->next_key);
  for (const Record& record : must(rig.store.read(Revision(0), 1000)))
    EXPECT_EQ(record.payload.find(to_base64(as_bytes(pair.key()))), std::string::npos);
}

TEST(Preshared, AreOfThePairAndTheInstallation) {
  const TempDir dir;
  const auto store = must(open_secret_store(dir / "secrets.db", dir / "data.key"));
  const auto source = must(PresharedSource::open(*store));
  EXPECT_EQ(source.of(key(1), key(2)), source.of(key(2), key(1)));
  EXPECT_NE(source.of(key(1), key(2)), source.of(key(1), key(3)));
  EXPECT_NE(source.of(key(1), key(2)), WireguardKey{});
  EXPECT_EQ(must(PresharedSource::open(*store)).of(key(1), key(2)), source.of(key(1), key(2)))
      << "after a restart";
  const auto other = must(open_secret_store(dir / "other.db", dir / "other.key"));
  EXPECT_NE(must(PresharedSource::open(*other)).of(key(1), key(2)), source.of(key(1), key(2)));
  // HKDF-Expand (RFC 5869) of a secret of 32 bytes 0x0b; python3: hmac.digest(b"\x0b"*32, b"cordon wireguard
  // preshared 1" + b"\x01"*32 + b"\x02"*32 + b"\x01", "sha256").
  const auto known = must(open_secret_store(dir / "known.db", dir / "known.key"));
  must(known->put("wireguard preshared", Bytes(32, 0x0b)));
  EXPECT_EQ(to_hex(must(PresharedSource::open(*known)).of(key(2), key(1))),
            "0a5c64871ea5a2d2ff8352dfa73168ab7d9f7cdbb5747af850f01de93938a3bf");
  must(known->put("wireguard preshared", Bytes(31, 0x0b)));
  EXPECT_FALSE(PresharedSource::open(*known));
}

}  // namespace distribution_keys_test
}  // namespace cordon::controller
