#include "policy/node_state.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace cordon::policy {
namespace node_state_test {

Address address(const char* text) {
  return Address::parse(text).value();
}
Prefix host(const char* text) {
  return Prefix::host(address(text));
}

const GrantKey kGrantKey{.direction = Direction::egress,
                         .class_id = ClassId{0x0102030405060708},
                         .target = TargetId{9},
                         .protocol = kTcp,
                         .port_bits = 16,
                         .port = 443};

// Receipts sign these bytes: a change here is a change of the wire.
TEST(NodeState, EncodesEachKindAsItsGrammarSays) {
  const auto hex = [](const Key& key, const Value& value) { return to_hex(encode(key, value)); };
  const std::string v4 = "00000000000000000000ffff64400001", v6 = "fd000000000000000000000000000001";
  const std::string never = "7fffffffffffffff";

  EXPECT_EQ(hex(SettingsKey{}, SettingsValue{.device = DeviceId{"web"},
                                             .isolated = true,
                                             .node_lease = Seconds(900),
                                             .v4 = address("100.64.0.1"),
                                             .v6 = address("fd00::1"),
                                             .overlay_v4 = Prefix::parse("100.64.0.0/10").value(),
                                             .overlay_v6 = Prefix::parse("fd00::/48").value(),
                                             .underlay = Underlay::guard}),
            "01"
            "01"
            "00000003776562"
            "01"
            "0000000000000384" +
                v4 + v6 +
                "00000000000000000000ffff6440000"
                "06a"
                "fd000000000000000000000000000000"
                "30"
                "01");
  EXPECT_EQ(hex(PeerKey{DeviceId{"a"}}, PeerValue{.public_key = {0xaa}, .allowed_ips = {host("fd00::1")}}),
            "02"
            "0000000161"
            "02"
            "aa" +
                std::string(62, '0') + "00000001" + v6 + "80");
  EXPECT_EQ(hex(PeerKey{DeviceId{"a"}},
                PeerValue{.public_key = {0xaa}, .allowed_ips = {}, .next_key = WireguardKey{0xbb}}),
            "02"
            "0000000161"
            "02"
            "aa" +
                std::string(62, '0') + "00000000" + "bb" + std::string(62, '0'));
  PrincipalValue principal{.class_id = ClassId{1}, .isolated = false, .uid = 1000, .check_owner = true};
  principal.deadlines[0] = from_us(1);
  std::string deadlines = "0000000000000001";
  for (int i = 1; i < 8; ++i) deadlines += never;
  EXPECT_EQ(hex(PrincipalKey{address("100.64.0.1")}, principal), "03" + v4 +
                                                                     "03"
                                                                     "0000000000000001"
                                                                     "00"
                                                                     "000003e8"
                                                                     "01" +
                                                                     deadlines);
  EXPECT_EQ(hex(TargetKey{host("fd00::1")}, TargetValue{.id = TargetId{7}, .observe = true}), "04" + v6 +
                                                                                                  "80"
                                                                                                  "04"
                                                                                                  "00000007"
                                                                                                  "01");
  EXPECT_EQ(hex(kGrantKey,
                GrantValue{.rule = RuleId{3}, .deny = false, .responder = true, .slot = 2, .lease_s = 900}),
            "05"
            "01"
            "0102030405060708"
            "00000009"
            "06"
            "10"
            "01bb"
            "05"
            "00000003"
            "00"
            "01"
            "02"
            "00000384");
  EXPECT_EQ(hex(RuleKey{RuleId{3}}, RuleValue{.name = "r"}),
            "06"
            "00000003"
            "06"
            "0000000172");
  EXPECT_EQ(hex(GuardKey{.protocol = kUdp, .ports = {1, 2}}, GuardValue{.count_only = true}),
            "07"
            "11"
            "0001"
            "0002"
            "07"
            "01");
  EXPECT_EQ(hex(LocalSessionKey{SessionId{"s"}}, LocalSessionValue{.user = "u",
                                                                   .uid = 1,
                                                                   .v4 = address("100.64.0.1"),
                                                                   .v6 = address("fd00::1"),
                                                                   .ends_at = kNever}),
            "08"
            "0000000173"
            "08"
            "0000000175"
            "00000001" +
                v4 + v6 + never);
}

TEST(NodeState, DigestIsTheSumOverEntriesAndZeroForNone) {
  NodeState state;
  EXPECT_EQ(digest(state), SetDigest{});
  state.entries.emplace(RuleKey{RuleId{1}}, RuleValue{"a"});
  state.entries.emplace(RuleKey{RuleId{2}}, RuleValue{"b"});
  SetDigest sum;
  sum.add(encode(RuleKey{RuleId{2}}, RuleValue{"b"}));
  sum.add(encode(RuleKey{RuleId{1}}, RuleValue{"a"}));
  EXPECT_EQ(digest(state), sum);
}

TEST(NodeState, DifferenceIsRemovalsFirstThenUpsertsByKey) {
  NodeState from, to;
  from.entries = {{RuleKey{RuleId{1}}, RuleValue{"same"}},
                  {RuleKey{RuleId{2}}, RuleValue{"old"}},
                  {RuleKey{RuleId{4}}, RuleValue{"gone"}}};
  to.entries = {{RuleKey{RuleId{1}}, RuleValue{"same"}},
                {RuleKey{RuleId{2}}, RuleValue{"new"}},
                {RuleKey{RuleId{3}}, RuleValue{"more"}}};
  const std::vector<Change> expected{{.key = RuleKey{RuleId{4}}, .value = std::nullopt},
                                     {.key = RuleKey{RuleId{2}}, .value = RuleValue{"new"}},
                                     {.key = RuleKey{RuleId{3}}, .value = RuleValue{"more"}}};
  EXPECT_EQ(difference(from, to), expected);
  apply(from, expected);
  EXPECT_EQ(from, to);
  EXPECT_TRUE(difference(to, to).empty());
}

TEST(NodeState, SettingsAreThereOnceAStateIs) {
  NodeState state;
  EXPECT_EQ(state.settings(), nullptr);
  state.entries.emplace(SettingsKey{}, SettingsValue{.device = DeviceId{"web"}});
  ASSERT_NE(state.settings(), nullptr);
  EXPECT_EQ(state.settings()->device, DeviceId{"web"});
}

/// An upsert from one value to another of the same key.
bool loses(const Key& key, const Value& was, const Value& is) {
  return takes_away(&was, {.key = key, .value = is});
}

TEST(TakesAway, ATargetThatComesIntoAWiderOneNarrowsIt) {
  const auto target = [](std::string_view prefix) { return TargetKey{Prefix::parse(prefix).value()}; };
  NodeState state;
  for (const char* prefix : {"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "192.0.2.7", "2001:db8::/32",
                             "2001:db8:1::/64", "2001:db8:2::/64"})
    state.entries[target(prefix)] = TargetValue{.id = TargetId{1}};
  const auto comes = [&](std::string_view prefix) {
    return narrows(state, {.key = target(prefix), .value = TargetValue{.id = TargetId{2}}});
  };
  for (const char* inside : {"10.1.2.128/25", "10.1.2.3", "10.1.3.0/24", "10.200.0.1", "10.0.0.0/9",
                             "2001:db8:1::/65", "2001:db8:1::5", "2001:db8:7::/48", "2001:db8:2::/63"})
    EXPECT_TRUE(comes(inside)) << inside;
  for (const char* outside : {"11.0.0.0/16", "9.255.255.255", "0.0.0.0/1", "192.0.2.6", "192.0.2.8",
                              "192.0.2.0/24", "2001:db7::/32", "2001:db9::1", "::/0", "ff00::/8"})
    EXPECT_FALSE(comes(outside)) << outside;
  EXPECT_FALSE(comes("10.1.2.0/24")) << "it is there";
  EXPECT_FALSE(narrows(state, {.key = target("10.1.2.3"), .value = std::nullopt}));
  EXPECT_FALSE(narrows({}, {.key = target("10.1.2.3"), .value = TargetValue{}}));
}

TEST(TakesAway, Grants) {
  const GrantValue allow{.rule = RuleId{1}, .lease_s = 900}, deny{.rule = RuleId{2}, .deny = true};
  const Value was = allow, stop = deny;
  EXPECT_FALSE(takes_away(nullptr, {.key = kGrantKey, .value = allow}));
  EXPECT_TRUE(takes_away(nullptr, {.key = kGrantKey, .value = deny})) << "cut out of a wider allow";
  EXPECT_TRUE(takes_away(&was, {.key = kGrantKey, .value = std::nullopt}));
  EXPECT_FALSE(takes_away(&stop, {.key = kGrantKey, .value = std::nullopt}));
  EXPECT_FALSE(takes_away(nullptr, {.key = kGrantKey, .value = std::nullopt})) << "nothing was there";
  EXPECT_TRUE(loses(kGrantKey, allow, deny));
  EXPECT_FALSE(loses(kGrantKey, deny, allow));
  GrantValue shorter = allow, longer = allow, renamed = allow, moved = allow;
  shorter.lease_s = 60;
  longer.lease_s = 3600;
  renamed.rule = RuleId{5};
  moved.slot = 1;
  EXPECT_TRUE(loses(kGrantKey, allow, shorter));
  EXPECT_FALSE(loses(kGrantKey, allow, longer));
  EXPECT_FALSE(loses(kGrantKey, allow, renamed));
  EXPECT_TRUE(loses(kGrantKey, allow, moved));
}

TEST(TakesAway, Principals) {
  const PrincipalKey key{address("fd00::1")};
  const PrincipalValue value{.class_id = ClassId{1}};
  const Value was = value;
  EXPECT_FALSE(takes_away(nullptr, {.key = key, .value = value}));
  EXPECT_TRUE(takes_away(&was, {.key = key, .value = std::nullopt}));
  EXPECT_FALSE(loses(key, value, value));
  PrincipalValue other = value;
  other.class_id = ClassId{2};
  EXPECT_TRUE(loses(key, value, other)) << "what the other class holds can't be told from here";
  EXPECT_FALSE(loses(key, PrincipalValue{}, other)) << "the empty class has nothing to lose";
  other = value;
  other.deadlines[3] = from_us(1);
  EXPECT_TRUE(loses(key, value, other));
  EXPECT_FALSE(loses(key, other, value));
  other = value;
  other.isolated = true;
  EXPECT_TRUE(loses(key, value, other));
  other = value;
  other.check_owner = true;
  EXPECT_TRUE(loses(key, value, other));
}

TEST(TakesAway, PeersTargetsSettingsAndGuards) {
  const PeerKey peer{DeviceId{"a"}};
  const PeerValue one{.allowed_ips = {host("fd00::1")}},
      two{.allowed_ips = {host("fd00::1"), host("fd00::2")}};
  EXPECT_FALSE(loses(peer, one, two));
  EXPECT_TRUE(loses(peer, two, one));
  EXPECT_TRUE(loses(peer, one, PeerValue{.public_key = {1}, .allowed_ips = one.allowed_ips}));
  EXPECT_FALSE(loses(peer, one, PeerValue{.allowed_ips = one.allowed_ips, .next_key = WireguardKey{1}}));

  const TargetKey target{host("fd00::1")};
  EXPECT_TRUE(loses(target, TargetValue{.id = TargetId{1}, .observe = true}, TargetValue{.id = TargetId{1}}));
  EXPECT_FALSE(
      loses(target, TargetValue{.id = TargetId{1}}, TargetValue{.id = TargetId{1}, .observe = true}));
  EXPECT_TRUE(loses(target, TargetValue{.id = TargetId{1}}, TargetValue{.id = TargetId{2}}));

  const SettingsValue settings{.device = DeviceId{"a"}, .underlay = Underlay::guard};
  SettingsValue isolated = settings;
  isolated.isolated = true;
  EXPECT_TRUE(loses(SettingsKey{}, settings, isolated));
  EXPECT_FALSE(loses(SettingsKey{}, isolated, settings));
  SettingsValue open = settings;
  open.underlay = Underlay::open;
  EXPECT_FALSE(loses(SettingsKey{}, settings, open));
  EXPECT_TRUE(loses(SettingsKey{}, open, settings));

  const GuardKey guard{.protocol = kTcp, .ports = {443, 443}};
  const Value dropping = GuardValue{};
  EXPECT_TRUE(takes_away(nullptr, {.key = guard, .value = GuardValue{}}));
  EXPECT_FALSE(takes_away(nullptr, {.key = guard, .value = GuardValue{.count_only = true}}));
  EXPECT_FALSE(takes_away(&dropping, {.key = guard, .value = std::nullopt}));
  EXPECT_FALSE(loses(RuleKey{RuleId{1}}, RuleValue{"a"}, RuleValue{"b"}));
}

}  // namespace node_state_test
}  // namespace cordon::policy
