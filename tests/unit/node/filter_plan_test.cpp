#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "node/filter/plan.h"

namespace cordon::node {
namespace filter_plan_test {

using Kind = Step::Kind;

constexpr TimeBase kBase{.sent_boot_ns = 1'000'000'000'000,
                         .controller_time = Timestamp(Seconds(1'800'000'000))};

policy::NodeState small_state() {
  policy::NodeState state;
  policy::SettingsValue settings;
  settings.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  state.entries[policy::SettingsKey{}] = settings;
  policy::PrincipalValue principal;
  principal.class_id = ClassId(1);
  state.entries[policy::PrincipalKey{Address::from_v4(0x64400001)}] = principal;
  state.entries[policy::TargetKey{Prefix::host(Address::from_v4(0x64400002))}] =
      policy::TargetValue{.id = TargetId(1)};
  state.entries[policy::GrantKey{.class_id = ClassId(1), .target = TargetId(1), .protocol = 6, .port = 443}] =
      policy::GrantValue{.rule = RuleId(1), .lease_s = 900};
  return state;
}

std::vector<std::pair<Kind, Table>> order_of(const Plan& plan) {
  std::vector<std::pair<Kind, Table>> out;
  for (const Step& step : plan.steps) out.emplace_back(step.kind, step.table);
  return out;
}

TEST(Plan, AddsGrantsAndTargetsBeforeThePrincipalsThatUseThem) {
  const Plan plan = make_plan(empty_image(), make_image(small_state(), kBase, {}));
  EXPECT_THAT(order_of(plan),
              testing::ElementsAre(std::pair(Kind::add, Table::grants), std::pair(Kind::add, Table::targets),
                                   std::pair(Kind::add, Table::principals)));
  EXPECT_FALSE(plan.takes_away);
  EXPECT_EQ(plan.written, 4u);  // with the overlay's own prefix
}

TEST(Plan, MovesAPrincipalToANewClassBetweenItsGrantsComingAndTheOldOnesGoing) {
  const auto before = small_state();
  auto after = before;
  std::erase_if(after.entries,
                [](const auto& e) { return std::holds_alternative<policy::GrantKey>(e.first); });
  after.entries[policy::GrantKey{.class_id = ClassId(2), .target = TargetId(1), .protocol = 6, .port = 80}] =
      policy::GrantValue{.rule = RuleId(2), .lease_s = 900};
  std::get<policy::PrincipalValue>(after.entries[policy::PrincipalKey{Address::from_v4(0x64400001)}])
      .class_id = ClassId(2);
  const Plan plan = make_plan(make_image(before, kBase, {}), make_image(after, kBase, {}));
  EXPECT_THAT(order_of(plan), testing::ElementsAre(std::pair(Kind::add, Table::grants),
                                                   std::pair(Kind::overwrite, Table::principals),
                                                   std::pair(Kind::remove, Table::grants)));
  EXPECT_TRUE(plan.takes_away);
}

TEST(Plan, EqualStatesNeedNothing) {
  const Image image = make_image(small_state(), kBase, {});
  const Plan plan = make_plan(image, image);
  EXPECT_TRUE(plan.steps.empty());
  EXPECT_FALSE(plan.takes_away);
}

/// The maps as a plan leaves them.
using Maps = std::array<std::map<std::vector<std::uint8_t>, std::vector<std::uint8_t>>, kTables>;
std::vector<std::uint8_t> bytes(const std::uint8_t* at, std::size_t size) {
  return {at, at + size};
}
void run(Maps& maps, const Step& step) {
  auto& map = maps[static_cast<std::size_t>(step.table)];
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    const auto key = bytes(step.rows.key(i), step.rows.key_size);
    if (step.kind == Kind::remove)
      map.erase(key);
    else
      map[key] = bytes(step.rows.value(i), step.rows.value_size);
  }
}
Maps maps_of(const Image& image) {
  Maps maps;
  for (std::size_t t = 0; t < kTables; ++t)
    run(maps, {.kind = Kind::add, .table = static_cast<Table>(t), .rows = image.tables[t], .before = {}});
  return maps;
}

policy::NodeState random_state(std::mt19937& random) {
  policy::NodeState state = small_state();
  for (unsigned i = 0; i < 20; ++i) {
    policy::PrincipalValue principal;
    principal.class_id = ClassId(random() % 4);
    state.entries[policy::PrincipalKey{
        Address::from_v4(0x64400000u + static_cast<std::uint32_t>(random() % 16))}] = principal;
    const auto bits = static_cast<std::uint8_t>(random() % 17);
    const auto port = static_cast<std::uint16_t>(bits == 0 ? 0 : (random() & (0xffffu << (16 - bits))));
    state.entries[policy::GrantKey{.class_id = ClassId(random() % 4),
                                   .target = TargetId(1),
                                   .protocol = 6,
                                   .port_bits = bits,
                                   .port = port}] =
        policy::GrantValue{.rule = RuleId(1 + static_cast<std::uint32_t>(random() % 3)), .lease_s = 60};
  }
  return state;
}

TEST(Plan, LeadsToWhatIsWantedAndUndoLeadsBackFromAnyStep) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const Image have = make_image(random_state(random), kBase, {}),
                want = make_image(random_state(random), kBase, {});
    const Plan plan = make_plan(have, want);
    Maps maps = maps_of(have);
    for (std::size_t done = 0; done <= plan.steps.size(); ++done) {
      Maps back = maps;
      for (const Step& step : undo(plan, done).steps) run(back, step);
      EXPECT_EQ(back, maps_of(have));
      if (done < plan.steps.size()) run(maps, plan.steps[done]);
    }
    EXPECT_EQ(maps, maps_of(want));
  }
}

TEST(Plan, ACutTakesAllThatGoesAndTheRestLeadsToWhatIsWanted) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    const Image have = make_image(random_state(random), kBase, {}),
                want = make_image(random_state(random), kBase, {});
    const Plan plan = make_plan(have, want);
    Maps maps = maps_of(have);
    for (const Step& step : cut(plan).steps) {
      EXPECT_TRUE(step.kind != Step::Kind::add || step.table == Table::guards);
      run(maps, step);
    }
    for (const Step& step : plan.steps) {
      if (step.kind == Step::Kind::add || step.table == Table::guards) continue;
      Maps removed = maps;
      if (step.kind == Step::Kind::remove) run(removed, step);
      EXPECT_EQ(removed, maps) << "nothing that goes is left";
    }
    for (const Step& step : rest(plan).steps) run(maps, step);
    EXPECT_EQ(maps, maps_of(want));
  }
}

TEST(Plan, CapacityIsToldWithTheNumbers) {  // I11
  std::array<std::size_t, kTables> capacity{};
  EXPECT_TRUE(check_capacity(make_image(small_state(), kBase, {}), capacity));
  capacity[static_cast<std::size_t>(Table::targets)] = 1;
  const auto checked = check_capacity(make_image(small_state(), kBase, {}), capacity);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::exhausted);
  EXPECT_THAT(checked.error().message(), testing::HasSubstr("2 entries for map 'targets', which holds 1"));
}

}  // namespace filter_plan_test
}  // namespace cordon::node
