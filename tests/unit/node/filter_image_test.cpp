#include <gmock/gmock.h>

#include <bitset>

#include "node/filter/guards.h"
#include "node/filter/image.h"
#include "node/filter/people.h"

namespace cordon::node {
namespace filter_image_test {

constexpr TimeBase kBase{.sent_boot_ns = 1'000'000'000'000,
                         .controller_time = Timestamp(Seconds(1'800'000'000))};

template <class T>
T value_at(const Rows& rows, std::size_t i) {
  T out;
  std::memcpy(&out, rows.value(i), sizeof out);
  return out;
}
template <class T>
T key_at(const Rows& rows, std::size_t i) {
  T out;
  std::memcpy(&out, rows.key(i), sizeof out);
  return out;
}

TEST(Image, DeadlinesBecomeBootTime) {
  policy::NodeState state;
  policy::PrincipalValue principal;
  principal.deadlines[2] = kBase.controller_time + Seconds(5);
  principal.isolated = true;
  principal.check_owner = true;
  principal.uid = 1000;
  state.entries[policy::PrincipalKey{Address::from_v4(0x64400001)}] = principal;
  const Image image = make_image(state, kBase, {});
  const auto out = value_at<cordon_principal>(image[Table::principals], 0).now;
  EXPECT_EQ(out.deadline_ns[0], CORDON_NEVER);
  EXPECT_EQ(out.deadline_ns[2], kBase.sent_boot_ns + 5'000'000'000);
  EXPECT_EQ(out.flags, CORDON_PRINCIPAL_ISOLATED | CORDON_PRINCIPAL_CHECK_OWNER);
  EXPECT_EQ(out.uid, 1000u);
}

TEST(Image, GrantsGoToTheTableOfTheirForm) {
  policy::NodeState state;
  const policy::GrantValue value{.rule = RuleId(9), .slot = 3, .lease_s = 60};
  const auto key = [](std::uint8_t protocol, std::uint8_t bits, std::uint16_t port) {
    return policy::GrantKey{.direction = policy::Direction::egress,
                            .class_id = ClassId(7),
                            .target = TargetId(5),
                            .protocol = protocol,
                            .port_bits = bits,
                            .port = port};
  };
  for (const auto& k : {key(6, 16, 443), key(6, 4, 0x8000), key(6, 0, 0), key(0, 0, 0)})
    state.entries[k] = value;
  const Image image = make_image(state, kBase, {});
  ASSERT_EQ(image[Table::grants].size(), 3u);
  ASSERT_EQ(image[Table::ranges].size(), 1u);
  std::set<int> forms;
  for (std::size_t i = 0; i < 3; ++i)
    forms.insert(key_at<cordon_grant_key>(image[Table::grants], i).form_direction);
  EXPECT_THAT(forms, testing::ElementsAre(CORDON_FORM_EXACT | 1, CORDON_FORM_ANY_PORT | 1,
                                          CORDON_FORM_ANY_PROTOCOL | 1));
  const auto range = key_at<cordon_range_key>(image[Table::ranges], 0);
  EXPECT_EQ(range.prefix_bits, 112u + 4u);
  EXPECT_EQ(range.port[0], 0x80);
  EXPECT_EQ(value_at<cordon_grant>(image[Table::ranges], 0).slot, 3);
}

TEST(Image, HostKnowsTheDeviceAndItsOverlay) {
  policy::NodeState state;
  EXPECT_EQ(make_host(state, 0, 0).flags, 0u);
  policy::SettingsValue settings;
  settings.v4 = Address::from_v4(0x64400001);
  settings.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  settings.isolated = true;
  settings.node_lease = Seconds(60);
  state.entries[policy::SettingsKey{}] = settings;
  const HostImage device = make_host(state, 51820, 77);
  EXPECT_EQ(device.flags, CORDON_SETTINGS_READY | CORDON_SETTINGS_ISOLATED);
  EXPECT_EQ(device.node_lease_ns, 60'000'000'000u);
  EXPECT_EQ(device.host.wireguard_port, 51820);
  EXPECT_EQ(device.host.netns_cookie, 77u);
  EXPECT_EQ(from_abi(device.host.local_v4), settings.v4);

  EXPECT_EQ(from_abi(device.host.overlay_v4.network), Address::from_v4(0x64400000));
  EXPECT_EQ(from_abi(device.host.overlay_v4.mask),
            Address::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffc0:0").value());
  EXPECT_TRUE(from_abi(device.host.overlay_v6.mask).is_unspecified()) << "none: nothing is in it";

  policy::LocalSessionValue session;
  session.v4 = Address::from_v4(0x64400101);
  state.entries[policy::LocalSessionKey{SessionId("s-1")}] = session;
  EXPECT_EQ(from_abi(make_host(state, 0, 0).host.local_v4), settings.v4)
      << "a session is a person's, not the host's";
}

TEST(Image, UidRangesArePrefixesThatHoldExactlyThem) {
  EXPECT_EQ(prefixes_of({1000, 1000}), (std::vector<UidPrefix>{{1000, 32}}));
  EXPECT_EQ(prefixes_of({1000, 1003}), (std::vector<UidPrefix>{{1000, 30}}));
  EXPECT_EQ(prefixes_of({1, 0xffffffff}).size(), 32u);
  EXPECT_EQ(prefixes_of({0, 0xffffffff}), (std::vector<UidPrefix>{{0, 0}}));
  const auto usual = prefixes_of({1000, 60000});
  std::uint64_t next = 1000;
  for (const UidPrefix& prefix : usual) {
    EXPECT_EQ(prefix.uid, next) << "no gap and no overlap";
    EXPECT_EQ(prefix.uid % (1u << (32 - prefix.bits)), 0u);
    next += 1u << (32 - prefix.bits);
  }
  EXPECT_EQ(next, 60001u);
}

TEST(Image, PeopleAreTheirRangesAndWhatEachSessionHas) {
  policy::NodeState state;
  const auto log_in = [&](const char* id, std::uint32_t uid) {
    state.entries[policy::LocalSessionKey{SessionId(id)}] =
        policy::LocalSessionValue{.uid = uid, .v4 = Address::from_v4(0x64400100 + uid % 256)};
  };
  log_in("s-ann", 3001);
  log_in("s-last", 3003);  // stands at the end of the range: an entry of its own all the same
  log_in("s-root", 0);
  const Image image = make_image(state, kBase, {.people = {{3000, 3003}, {5000, 5000}}});
  std::map<std::pair<std::uint32_t, int>, Address> found;  // uid and bits
  for (std::size_t i = 0; i < image[Table::people].size(); ++i) {
    const auto key = key_at<cordon_person_key>(image[Table::people], i);
    const std::uint32_t uid = key.uid[0] << 24 | key.uid[1] << 16 | key.uid[2] << 8 | key.uid[3];
    const auto person = value_at<cordon_person>(image[Table::people], i);
    EXPECT_EQ(person.v6.word[0] | person.v6.word[1], 0u);
    found[{uid, static_cast<int>(key.prefix_bits)}] = from_abi(person.v4);
  }
  EXPECT_THAT(found, testing::ElementsAre(testing::Pair(std::pair(3000u, 30), Address{}),
                                          testing::Pair(std::pair(3001u, 32), Address::from_v4(0x644001b9)),
                                          testing::Pair(std::pair(3003u, 32), Address::from_v4(0x644001bb)),
                                          testing::Pair(std::pair(5000u, 32), Address{})))
      << "root is the device, whoever logged in";
}

TEST(Host, TheStricterModeIsTheOneThatLetsLessPass) {
  const std::array<__u8, 5> loosest_first{CORDON_UNDERLAY_OFF, CORDON_UNDERLAY_COUNT, CORDON_UNDERLAY_GUARD,
                                          CORDON_UNDERLAY_CLOSED, CORDON_UNDERLAY_CONTAINED};
  for (std::size_t a = 0; a < loosest_first.size(); ++a)
    for (std::size_t b = 0; b < loosest_first.size(); ++b)
      EXPECT_EQ(stricter_of(loosest_first[a], loosest_first[b]), loosest_first[std::max(a, b)]);
}

TEST(Host, WhereTheUnderlayMeetsTheOverlay) {
  policy::NodeState state;
  policy::SettingsValue settings;
  settings.overlay_v4 = Prefix::parse("100.64.0.0/16").value();
  settings.overlay_v6 = Prefix::parse("fd12::/48").value();
  state.entries[policy::SettingsKey{}] = settings;
  const cordon_host host = make_host(state, 0, 0).host;
  EXPECT_TRUE(guards_anything(host)) << "the overlay's own, whatever the mode";
  EXPECT_FALSE(guards_anything(make_host({}, 0, 0).host));
  const auto meets = [&](std::string_view address, unsigned bits) {
    return meets_any(host, {{Address::parse(address).value(), static_cast<std::uint8_t>(bits)}}, {});
  };
  EXPECT_TRUE(meets("100.64.7.9", 96 + 24));
  EXPECT_TRUE(meets("100.65.7.9", 96 + 10)) << "neighbours are there";
  EXPECT_TRUE(meets("fd12::7", 64));
  EXPECT_FALSE(meets("100.65.7.9", 96 + 16));
  EXPECT_FALSE(meets("192.0.2.1", 96 + 24));
  EXPECT_FALSE(meets("fd13::7", 48));
  EXPECT_FALSE(meets_any(host, {}, {Endpoint::parse("192.0.2.1:7443").value()}));
  EXPECT_TRUE(meets_any(host, {}, {Endpoint::parse("100.64.200.1:7443").value()}));
}

TEST(Guards, PrefixesSayWhatTheRangesSay) {
  policy::NodeState state;
  const auto guard = [&](std::uint16_t first, std::uint16_t last, bool count_only) {
    state.entries[policy::GuardKey{.protocol = 6, .ports = {first, last}}] =
        policy::GuardValue{.count_only = count_only};
  };
  guard(443, 443, false);
  guard(8000, 8099, false);
  guard(8050, 8200, true);
  guard(65535, 65535, true);
  std::vector<int> how(65536, 0);
  for (const GuardPrefix& prefix : guard_prefixes(state)) {
    EXPECT_EQ(prefix.protocol, 6);
    const unsigned size = 1u << (16 - prefix.port_bits);
    EXPECT_EQ(prefix.port % size, 0u);
    for (unsigned port = prefix.port; port < prefix.port + size; ++port) {
      EXPECT_EQ(how[port], 0) << "twice: " << port;
      how[port] = prefix.count_only ? 1 : 2;
    }
  }
  for (unsigned port = 0; port < 65536; ++port) {
    const bool dropped = port == 443 || (port >= 8000 && port <= 8099);
    const bool counted = !dropped && ((port >= 8050 && port <= 8200) || port == 65535);
    ASSERT_EQ(how[port], dropped ? 2 : counted ? 1 : 0) << port;
  }
}

TEST(Guards, NothingIsDroppedUnlessSomethingIsEnforced) {
  policy::NodeState state;
  policy::SettingsValue settings;
  settings.underlay = policy::Underlay::open;
  const auto mode = [&] {
    state.entries[policy::SettingsKey{}] = settings;
    return make_host(state, 0, 0).host.underlay_mode;
  };
  const auto guard = [&](std::uint16_t port, bool count_only) {
    state.entries[policy::GuardKey{.protocol = 6, .ports = {port, port}}] =
        policy::GuardValue{.count_only = count_only};
  };
  EXPECT_EQ(mode(), CORDON_UNDERLAY_OFF);
  guard(443, true);
  EXPECT_EQ(mode(), CORDON_UNDERLAY_COUNT);
  guard(8080, false);
  EXPECT_EQ(mode(), CORDON_UNDERLAY_GUARD);
  settings.underlay = policy::Underlay::closed;
  EXPECT_EQ(mode(), CORDON_UNDERLAY_CLOSED);
  settings.isolated = true;
  EXPECT_EQ(mode(), CORDON_UNDERLAY_CONTAINED);
}

TEST(Guards, AllPortsAreOnePrefix) {
  policy::NodeState state;
  state.entries[policy::GuardKey{.protocol = 0, .ports = {0, 65535}}] = policy::GuardValue{};
  EXPECT_THAT(guard_prefixes(state),
              testing::ElementsAre(GuardPrefix{.protocol = 0, .port_bits = 0, .port = 0}));
}

TEST(Rows, LastOfEqualKeysStays) {
  Rows rows{.key_size = 1, .value_size = 1, .keys = {}, .values = {}};
  for (auto [k, v] : {std::pair<std::uint8_t, std::uint8_t>{2, 1}, {1, 1}, {2, 9}}) rows.add(k, v);
  rows.make_unique();
  EXPECT_THAT(rows.keys, testing::ElementsAre(1, 2));
  EXPECT_THAT(rows.values, testing::ElementsAre(1, 9));
}

}  // namespace filter_image_test
}  // namespace cordon::node
