#include "base/folding_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace cordon {
namespace folding_queue_test {

struct Report {
  int source = 0;
  bool denied = true;
  std::uint64_t suppressed = 0;
};

struct ReportFold {
  using Key = int;
  using Hash = std::hash<int>;
  static std::optional<int> key(const Report& report) {
    return report.denied ? std::optional(report.source) : std::nullopt;
  }
  static void add(Report& into, const Report& report) { into.suppressed += count(report); }
  static void make_other(Report& report) { report.source = -1; }
  static std::uint64_t count(const Report& report) { return report.suppressed + 1; }
};
using Queue = FoldingQueue<Report, ReportFold>;

TEST(FoldingQueue, GivesBackInOrderWhatHasRoom) {
  Queue queue(8);
  for (int i = 1; i <= 6; ++i) queue.push({.source = i, .denied = i % 2 == 0});
  for (int i = 1; i <= 6; ++i) EXPECT_EQ(queue.pop().source, i);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.lost(), 0u);
}

TEST(FoldingQueue, WhenHalfIsTakenADenialIsAddedToTheLatestOfItsSource) {
  Queue queue(4);
  queue.push({.source = 1});
  queue.push({.source = 1});
  queue.push({.source = 1, .suppressed = 4});
  queue.push({.source = 2});
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.pop().suppressed, 0u);
  EXPECT_EQ(queue.pop().suppressed, 5u) << "itself and the four that it stands for";
  EXPECT_EQ(queue.pop().source, 2);
}

TEST(FoldingQueue, WhenAllAreTakenADenialOfAnotherSourceIsOneOfTheOthers) {
  Queue queue(4);
  for (int i = 1; i <= 4; ++i) queue.push({.source = i});
  for (int i = 5; i <= 9; ++i) queue.push({.source = i, .suppressed = 9});
  queue.push({.source = 2});
  for (int i = 1; i <= 4; ++i) {
    const Report report = queue.pop();
    EXPECT_EQ(report.source, i);
    EXPECT_EQ(report.suppressed, i == 2 ? 1u : 0u);
  }
  const Report others = queue.pop();
  EXPECT_EQ(others.source, -1);
  EXPECT_EQ(ReportFold::count(others), 50u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.lost(), 0u);
}

TEST(FoldingQueue, WhatStandsForItselfAloneGoesTheOldestFirst) {
  Queue queue(2);
  for (int i = 1; i <= 3; ++i) queue.push({.source = i, .denied = false});
  EXPECT_EQ(queue.lost(), 1u);
  EXPECT_EQ(queue.pop().source, 2);
}

TEST(FoldingQueue, AFloodOfOneSortLeavesTheOtherAlone) {
  Queue queue(4);
  queue.push({.source = 1, .suppressed = 7});
  queue.push({.source = 2, .denied = false});
  for (int i = 0; i < 100; ++i) queue.push({.source = 100 + i, .denied = false});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(queue.pop().source, i == 0 ? 1 : 196);
  EXPECT_EQ(queue.lost(), 97u);
}

/// The law that reports live by: what was told, what those stand for, and what is counted as lost are all
/// there was; of denials nothing is lost, and none of their sources while there are no more than half of the
/// places.
TEST(FoldingQueue, ToldAndSuppressedAndLostAreAllThatWas) {
  std::mt19937 random(17);
  for (int round = 0; round < 200; ++round) {
    const std::size_t places = 1 + random() % 80;
    const int sources = 1 + static_cast<int>(random() % 60);
    Queue queue(places);
    std::map<int, std::uint64_t> happened, told;
    std::uint64_t all = 0, all_told = 0, denials = 0, denials_told = 0;
    const auto take = [&](std::size_t n) {
      for (; n > 0 && !queue.empty(); --n) {
        const Report report = queue.pop();
        all_told += ReportFold::count(report);
        if (!report.denied) continue;
        told[report.source] += ReportFold::count(report);
        denials_told += ReportFold::count(report);
      }
    };
    for (int i = 0; i < 2'000; ++i) {
      const bool denied = random() % 4 != 0;
      const Report report{.source = static_cast<int>(random() % static_cast<unsigned>(sources)),
                          .denied = denied,
                          .suppressed = denied ? random() % 3 : 0};
      queue.push(report);
      all += ReportFold::count(report);
      if (denied) {
        happened[report.source] += ReportFold::count(report);
        denials += ReportFold::count(report);
      }
      ASSERT_LE(queue.size(), 2 * places + 1);
      if (random() % 50 == 0) take(random() % 30);
    }
    take(SIZE_MAX);
    ASSERT_EQ(all_told + queue.lost(), all);
    ASSERT_EQ(denials_told, denials);
    if (static_cast<std::size_t>(2 * sources) <= places) {
      ASSERT_EQ(told, happened) << "by source";
    }
  }
}

}  // namespace folding_queue_test
}  // namespace cordon
