// A map that refuses a write half way: what a plan leaves then, wherever it happens.

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "node/filter/run_plan.h"
#include "node/filter/sides.h"

namespace cordon::node {
namespace filter_failure_test {

constexpr TimeBase kFailureBase{.sent_boot_ns = 1'000'000'000'000,
                                .controller_time = Timestamp(Seconds(1'800'000'000))};

using Bytes = std::vector<std::uint8_t>;
using Held = std::array<std::map<Bytes, Bytes>, kTables>;

/// Tables in memory that take so many rows and then refuse: for good, or once.
class FailingTables final : public TableWriter {
 public:
  FailingTables(const Image& image, std::size_t rows_left, bool once) : rows_left_(rows_left), once_(once) {
    for (std::size_t t = 0; t < kTables; ++t)
      for (std::size_t i = 0; i < image.tables[t].size(); ++i) put(static_cast<Table>(t), image.tables[t], i);
  }
  Result<> write(Table table, const Rows& rows) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!failed_once_or_not() && rows_left_ == 0) {
        failed_ = true;
        return fail(ErrorCode::io, "can't write: no memory");
      }
      rows_left_ -= rows_left_ > 0 ? 1 : 0;
      put(table, rows, i);
    }
    return {};
  }
  Result<> remove(Table table, const Rows& rows) override {
    for (std::size_t i = 0; i < rows.size(); ++i) held_[static_cast<std::size_t>(table)].erase(key(rows, i));
    return {};
  }
  Result<> turn() override {
    ++generation_;
    return {};
  }
  void raise_epoch() override { ++epochs_; }

  static Bytes key(const Rows& rows, std::size_t i) { return {rows.key(i), rows.key(i) + rows.key_size}; }
  static Bytes value(const Rows& rows, std::size_t i) {
    return {rows.value(i), rows.value(i) + rows.value_size};
  }
  const Held& held() const { return held_; }
  /// What they say, whichever side it stands on; nothing is left that would come or go with a later turn.
  Held settled() const {
    Held out = held_;
    for (const Table table : {Table::targets, Table::principals}) {
      Rows rows = empty_image()[table];
      auto& map = out[static_cast<std::size_t>(table)];
      for (const auto& [k, v] : map) rows.add_raw(k.data(), v.data());
      const SettledRows settled = settle(table, rows, generation_);
      EXPECT_TRUE(settled.unmade.empty() && settled.absent.empty());
      map.clear();
      for (std::size_t i = 0; i < settled.rows.size(); ++i)
        map[key(settled.rows, i)] = value(settled.rows, i);
    }
    return out;
  }
  int epochs() const { return epochs_; }
  bool failed() const { return failed_; }

 private:
  bool failed_once_or_not() const { return once_ && failed_; }
  void put(Table table, const Rows& rows, std::size_t i) {
    held_[static_cast<std::size_t>(table)][key(rows, i)] = value(rows, i);
  }
  Held held_;
  std::size_t rows_left_;
  bool once_, failed_ = false;
  int epochs_ = 0;
  std::uint64_t generation_ = 0;
};

policy::NodeState random_small_state(std::mt19937& random) {
  policy::NodeState state;
  for (unsigned i = 0; i < 12; ++i) {
    policy::PrincipalValue principal;
    principal.class_id = ClassId(random() % 4);
    state.entries[policy::PrincipalKey{
        Address::from_v4(0x64400000u + static_cast<std::uint32_t>(random() % 10))}] = principal;
    state.entries[policy::TargetKey{
        Prefix::host(Address::from_v4(0x64400100u + static_cast<std::uint32_t>(random() % 6)))}] =
        policy::TargetValue{.id = TargetId(1 + static_cast<std::uint32_t>(random() % 3))};
    state.entries[policy::GrantKey{.class_id = ClassId(random() % 4),
                                   .target = TargetId(1 + static_cast<std::uint32_t>(random() % 3)),
                                   .protocol = 6,
                                   .port = static_cast<std::uint16_t>(1 + random() % 5)}] =
        policy::GrantValue{.rule = RuleId(1 + static_cast<std::uint32_t>(random() % 3)), .lease_s = 60};
  }
  return state;
}

struct Change {
  Image have, want;
  Plan plan;
};
Change random_change(std::mt19937& random) {
  Image have = make_image(random_small_state(random), kFailureBase, {});
  Image want = make_image(random_small_state(random), kFailureBase, {});
  Plan plan = make_plan(have, want);
  return {.have = std::move(have), .want = std::move(want), .plan = std::move(plan)};
}

TEST(FilterFailure, NothingThatWasToComeStandsAndAllThatWasToGoIsGone) {
  std::mt19937 random(3);
  int failures = 0;
  for (int round = 0; round < 40; ++round) {
    const Change change = random_change(random);
    for (std::size_t rows = 0;; ++rows) {
      FailingTables tables(change.have, rows, false);
      const FailingTables before(change.have, 0, false);
      const auto done = run_plan(change.plan, 1, tables);
      if (!tables.failed()) break;  // room for all of it
      if (done) continue;           // what went made the failure good
      ++failures;
      EXPECT_NE(done.error().message().find("no memory"), std::string::npos);
      EXPECT_GE(tables.epochs(), 1) << "flows that stand on what went are asked again";
      const Held left = tables.settled();
      for (const Step& step : change.plan.steps) {
        const auto& held = left[static_cast<std::size_t>(step.table)];
        for (std::size_t i = 0; i < step.rows.size(); ++i) {
          const auto it = held.find(FailingTables::key(step.rows, i));
          if (step.kind != Step::Kind::overwrite) {
            EXPECT_EQ(it, held.end()) << "neither what was to come nor what was to go";
          } else if (step.table == Table::principals) {
            EXPECT_EQ(it, held.end()) << "who was to change has nothing until the next state";
          }
        }
      }
      for (std::size_t t = 0; t < kTables; ++t)
        for (const auto& [key, value] : left[t])
          EXPECT_TRUE(before.held()[t].contains(key)) << "a row of neither state";
    }
  }
  EXPECT_GT(failures, 500);
}

TEST(FilterFailure, WhatFailsOnceIsDoneAllTheSame) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const Change change = random_change(random);
    for (std::size_t rows = 0;; ++rows) {
      FailingTables tables(change.have, rows, true);
      const auto done = run_plan(change.plan, 1, tables);
      if (!tables.failed()) break;
      if (!done) continue;  // while it was taken away: told, and nothing added
      EXPECT_EQ(tables.settled(), FailingTables(change.want, 0, false).held());
    }
  }
}

}  // namespace filter_failure_test
}  // namespace cordon::node
