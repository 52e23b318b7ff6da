// The device's own key turns: what a crash at any point leaves, and when it is time.

#include "node/agent/rotation.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"
#include "proto/cordon.pb.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace rotation_test {

WireguardKey key(std::uint8_t n) {
  WireguardKey out{};
  out.fill(n);
  return out;
}

wire::PresharedKeys told(const WireguardKey& own, const WireguardKey& peer, const WireguardKey& preshared) {
  wire::PresharedKeys out;
  auto& pair = *out.add_keys();
  pair.set_own(std::string(as_text(own)));
  pair.set_peer(std::string(as_text(peer)));
  pair.set_key(std::string(as_text(preshared)));
  return out;
}

class RotationTest : public testing::Test {
 protected:
  RotationTest() { EXPECT_TRUE(store.load_or_make_keys()); }
  std::filesystem::path file(const char* name) const { return directory.path() / name; }
  Keys load() {
    auto keys = store.load_keys();
    EXPECT_TRUE(keys) << keys.error().message();
    return std::move(*keys);
  }
  Rotation rotation(Keys& keys, std::optional<Seconds> every = {}, double early = 0) {
    return Rotation({.store = store, .tunnel = tunnel, .clock = clock, .every = every, .early = early}, keys,
                    preshared);
  }

  test::TemporaryDirectory directory;
  IdentityStore store{directory.path()};
  test::FakeClock clock;
  test::Steps steps;
  test::FakeTunnel tunnel{steps};
  PresharedKeys preshared = *PresharedKeys::open(directory.path() / "preshared.keys");
};

TEST_F(RotationTest, ANextKeyIsKeptBeforeItIsToldAndTurnedToWhenItIsOrdered) {
  Keys keys = load();
  Rotation turn = rotation(keys);
  const WireguardKey before = turn.own();
  wire::TunnelKeys told_keys;
  turn.tell(told_keys);
  EXPECT_TRUE(told_keys.next_public_key().empty());
  ASSERT_TRUE(turn.make_next());
  struct stat info{};
  ASSERT_EQ(::stat(file("wireguard.next.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  turn.tell(told_keys);
  EXPECT_EQ(told_keys.public_key(), as_text(before));
  const WireguardKey next = crypto::wireguard_public(*keys.next_wireguard);
  EXPECT_EQ(told_keys.next_public_key(), as_text(next));
  ASSERT_TRUE(turn.make_next());
  EXPECT_EQ(crypto::wireguard_public(*keys.next_wireguard), next) << "a second order makes no second key";
  EXPECT_FALSE(*turn.turn_to(key(9))) << "an order for a key that isn't ours";
  EXPECT_EQ(turn.own(), before);

  ASSERT_TRUE(*preshared.take(told(next, key(5), key(6)), turn.all()));
  ASSERT_TRUE(*turn.turn_to(next));
  EXPECT_TRUE(turn.unsettled());
  EXPECT_TRUE(steps.empty()) << "the tunnel gets it a moment later";
  ASSERT_TRUE(turn.settle());
  EXPECT_EQ(turn.own(), next);
  EXPECT_EQ(tunnel.private_key, keys.wireguard);
  EXPECT_EQ(tunnel.preshared, (PresharedByPeer{{key(5), key(6)}}));
  EXPECT_FALSE(std::filesystem::exists(file("wireguard.next.key")));
  EXPECT_EQ(load().wireguard, keys.wireguard);
  EXPECT_FALSE(load().half_turned);
}

TEST_F(RotationTest, AKillAtAnyPointLeavesAKeyThatTheControllerKnows) {
  Keys keys = load();
  const WireguardKey old_key = keys.wireguard;
  ASSERT_TRUE(rotation(keys).make_next());
  const WireguardKey next = *keys.next_wireguard;
  // After the next key was kept: it is offered again.
  keys = load();
  EXPECT_EQ(keys.wireguard, old_key);
  EXPECT_EQ(keys.next_wireguard, next);
  // After it took its place, before the tunnel had it: the turn is ended.
  ASSERT_TRUE(store.turn_to_key(next));
  keys = load();
  EXPECT_EQ(keys.wireguard, next);
  EXPECT_FALSE(keys.next_wireguard);
  EXPECT_TRUE(keys.half_turned);
  Rotation turn = rotation(keys);
  EXPECT_FALSE(turn.due());
  ASSERT_TRUE(turn.settle());
  EXPECT_EQ(steps, test::Steps{"tunnel.turn"});
  EXPECT_EQ(tunnel.private_key, next);
  EXPECT_FALSE(load().half_turned);
  // At any later start the tunnel is just given its key.
  ASSERT_TRUE(turn.settle());
  EXPECT_EQ(steps.back(), "tunnel.key");
}

TEST_F(RotationTest, ATunnelThatRefusesIsAskedAgain) {
  Keys keys = load();
  Rotation turn = rotation(keys);
  ASSERT_TRUE(turn.make_next());
  const WireguardKey next = crypto::wireguard_public(*keys.next_wireguard);
  tunnel.broken = true;
  EXPECT_TRUE(*turn.turn_to(next));
  EXPECT_FALSE(turn.settle());
  EXPECT_EQ(turn.own(), next) << "the file says so already";
  EXPECT_TRUE(turn.unsettled());
  tunnel.broken = false;
  EXPECT_TRUE(turn.settle());
  EXPECT_FALSE(turn.unsettled());
  EXPECT_EQ(tunnel.private_key, keys.wireguard);
}

TEST_F(RotationTest, AKeyServesItsTimeAndATenthLessByLot) {
  Keys keys = load();
  keys.wireguard_since = clock.now();
  EXPECT_FALSE(rotation(keys).due());
  clock.advance(std::chrono::hours(9));
  EXPECT_FALSE(rotation(keys, Seconds{10 * 3600}).due());
  EXPECT_TRUE(rotation(keys, Seconds{10 * 3600}, 1.0).due());
  clock.advance(std::chrono::hours(1));
  EXPECT_TRUE(rotation(keys, Seconds{10 * 3600}).due());
  EXPECT_FALSE(rotation(keys).due()) << "never";
  keys.next_wireguard = key(1);
  EXPECT_FALSE(rotation(keys, Seconds{10 * 3600}).due()) << "one is on its way";
}

TEST_F(RotationTest, PresharedKeysOutliveTheDaemonAndThoseOfOtherOwnKeysGo) {
  ASSERT_TRUE(*preshared.take(told(key(1), key(2), key(3)), {key(1)}));
  EXPECT_FALSE(*preshared.take(told(key(1), key(2), key(3)), {key(1)})) << "nothing new";
  EXPECT_FALSE(*preshared.take(told(key(7), key(2), key(3)), {key(1)})) << "of no key of ours";
  struct stat info{};
  ASSERT_EQ(::stat(file("preshared.keys").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  auto again = PresharedKeys::open(file("preshared.keys"));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->of(key(1)), (PresharedByPeer{{key(2), key(3)}}));
  ASSERT_TRUE(*again->take(told(key(4), key(2), key(5)), {key(4)}));
  EXPECT_TRUE(again->of(key(1)).empty());
  const auto text = read_file(file("preshared.keys"));
  EXPECT_EQ(text->find(to_base64(key(3))), std::string::npos);
}

TEST_F(RotationTest, ADamagedOrOpenPresharedFileIsRefused) {
  ASSERT_TRUE(write_file(file("preshared.keys"), "a b c\n", 0600));
  EXPECT_FALSE(PresharedKeys::open(file("preshared.keys")));
  ASSERT_TRUE(write_file(file("preshared.keys"), "", 0644));
  EXPECT_FALSE(PresharedKeys::open(file("preshared.keys")));
}

}  // namespace rotation_test
}  // namespace cordon::node
