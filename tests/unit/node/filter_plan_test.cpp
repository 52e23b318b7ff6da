#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "node/filter/plan.h"
#include "node/filter/sides.h"
#include "node/filter/writes.h"

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

using Did = std::pair<Write::Kind, Table>;
constexpr auto kPut = Write::Kind::put, kPutGoing = Write::Kind::put_going, kRemove = Write::Kind::remove;
constexpr Did kTurn{Write::Kind::turn, Table{}};

std::vector<Did> order_of(const Plan& plan) {
  std::vector<Did> out;
  const auto all = for_writes(plan, 1, [&](const Write& write) -> Result<> {
    out.emplace_back(write.kind, write.table);
    return {};
  });
  EXPECT_TRUE(all);
  return out;
}

TEST(Plan, AddsGrantsBeforeTheTargetsAndPrincipalsThatUseThemAndTurnsLast) {
  const Plan plan = make_plan(empty_image(), make_image(small_state(), kBase, {}));
  EXPECT_THAT(order_of(plan), testing::ElementsAre(Did(kPut, Table::grants), Did(kPut, Table::targets),
                                                   Did(kPut, Table::principals), kTurn));
  EXPECT_FALSE(plan.takes_away);
  EXPECT_EQ(plan.written, 4u);  // with the overlay's own prefix
}

TEST(Plan, WhatGoesGoesAfterTheTurn) {
  const auto before = small_state();
  auto after = before;
  std::erase_if(after.entries, [](const auto& e) {
    return std::holds_alternative<policy::GrantKey>(e.first) ||
           std::holds_alternative<policy::TargetKey>(e.first);
  });
  after.entries[policy::GrantKey{.class_id = ClassId(2), .target = TargetId(1), .protocol = 6, .port = 80}] =
      policy::GrantValue{.rule = RuleId(2), .lease_s = 900};
  std::get<policy::PrincipalValue>(after.entries[policy::PrincipalKey{Address::from_v4(0x64400001)}])
      .class_id = ClassId(2);
  const Plan plan = make_plan(make_image(before, kBase, {}), make_image(after, kBase, {}));
  EXPECT_THAT(order_of(plan),
              testing::ElementsAre(Did(kPut, Table::grants), Did(kPutGoing, Table::targets),
                                   Did(kPut, Table::principals), kTurn, Did(kRemove, Table::grants),
                                   Did(kRemove, Table::targets)));
  EXPECT_TRUE(plan.takes_away);
}

template <class Row>
Row row_of(const Rows& rows, std::size_t i) {
  Row out;
  std::memcpy(&out, rows.value(i), sizeof out);
  return out;
}

TEST(Plan, ARowHasTwoSidesUntilItTurns) {
  policy::NodeState state = small_state();
  const Rows old_targets = make_image(state, kBase, {})[Table::targets];
  const auto target = policy::TargetKey{Prefix::host(Address::from_v4(0x64400002))};
  state.entries[target] = policy::TargetValue{.id = TargetId(9), .observe = true};
  const Rows new_targets = make_image(state, kBase, {})[Table::targets];
  ASSERT_EQ(old_targets.size(), 2u);
  const auto both = row_of<cordon_target>(changing(Table::targets, new_targets, old_targets, 5), 1);
  EXPECT_EQ(both.changed_in, 5u);
  EXPECT_EQ(both.now.id, 9u);
  EXPECT_EQ(both.now.flags, CORDON_TARGET_OBSERVE);
  EXPECT_EQ(both.before.id, 1u);
  EXPECT_EQ(both.prefix_bits, 0u);
  const auto coming_row = row_of<cordon_target>(coming(Table::targets, new_targets, 5), 1);
  EXPECT_EQ(coming_row.before.flags, CORDON_TARGET_ABSENT);
  EXPECT_EQ(coming_row.prefix_bits, 128u);
  const auto going_row = row_of<cordon_target>(going(Table::targets, new_targets, 5), 1);
  EXPECT_EQ(going_row.now.flags, CORDON_TARGET_ABSENT);
  EXPECT_EQ(going_row.before.id, 9u);

  const Rows held = changing(Table::targets, new_targets, old_targets, 5);
  EXPECT_EQ(settle(Table::targets, held, 5).rows.values, new_targets.values);
  EXPECT_TRUE(settle(Table::targets, held, 5).unmade.empty());
  EXPECT_EQ(settle(Table::targets, held, 4).rows.values, old_targets.values);
  EXPECT_EQ(settle(Table::targets, held, 4).unmade.values, old_targets.values);
  EXPECT_EQ(settle(Table::targets, coming(Table::targets, new_targets, 5), 4).absent.size(), 2u);
  EXPECT_EQ(settle(Table::targets, going(Table::targets, new_targets, 5), 5).absent.size(), 2u);
  EXPECT_EQ(settle(Table::targets, going(Table::targets, new_targets, 5), 4).rows.values, new_targets.values);
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
      const auto& held = maps[static_cast<std::size_t>(step.table)];
      if (step.kind == Step::Kind::add && has_sides(step.table)) {
        for (std::size_t i = 0; i < step.rows.size(); ++i)
          EXPECT_FALSE(held.contains(bytes(step.rows.key(i), step.rows.key_size))) << "on a side";
      }
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
  EXPECT_THAT(checked.error().hint, testing::HasSubstr("raise 'targets' in [filter.maps]"));
  capacity = {};
  capacity[static_cast<std::size_t>(Table::allow)] = 1;
  ImageConfig config;
  config.underlay_allow = {Prefix::parse("192.0.2.0/24").value(), Prefix::parse("198.51.100.0/24").value()};
  const auto sources = check_capacity(make_image(small_state(), kBase, config), capacity);
  ASSERT_FALSE(sources);
  EXPECT_THAT(sources.error().hint, testing::HasSubstr("[underlay] allow")) << "a key that node.toml has";
}

}  // namespace filter_plan_test
}  // namespace cordon::node
