#include "base/shared_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>

namespace cordon {
namespace shared_map_test {

using Map = SharedMap<int, std::string>;
using Oracle = std::map<int, std::string>;

bool same(const Map& map, const Oracle& oracle) {
  return map.size() == oracle.size() && std::equal(map.begin(), map.end(), oracle.begin(), oracle.end());
}

/// The same done to both, as the numbers have it.
void change(Map& map, Oracle& oracle, std::mt19937& random) {
  const int key = static_cast<int>(random() % 1'500);
  const std::string value = std::to_string(random());
  switch (random() % 5) {
    case 0:
      map[key] = oracle[key] = value;
      break;
    case 1: {
      const auto [at, fresh] = map.try_emplace(key, value);
      EXPECT_EQ(fresh, oracle.try_emplace(key, value).second);
      EXPECT_EQ(at->first, key);
      break;
    }
    case 2:
    case 3:
      EXPECT_EQ(map.erase(key), oracle.erase(key));
      break;
    default:
      if (!map.contains(key)) break;
      map.at(key) += "+";
      oracle.at(key) += "+";
  }
}

TEST(SharedMap, IsAnOrderedMapWhateverCopiesAreMade) {
  std::mt19937 random(1);
  Map map;
  Oracle oracle;
  std::vector<std::pair<Map, Oracle>> copies;
  for (int i = 0; i < 60'000; ++i) {
    // A copy may be changed too, and be copied from.
    const bool of_copy = !copies.empty() && random() % 4 == 0;
    auto& one = copies.empty() ? map : copies[random() % copies.size()].first;
    if (of_copy) {
      auto& [copy, copy_oracle] = copies[random() % copies.size()];
      change(copy, copy_oracle, random);
    } else {
      change(map, oracle, random);
    }
    if (random() % 1'000 == 0 && copies.size() < 20) copies.emplace_back(map, oracle);
    if (random() % 5'000 == 0 && copies.size() > 1) copies.erase(copies.begin());
    if (random() % 10'000 == 0) one = Map(one);
  }
  EXPECT_TRUE(same(map, oracle));
  for (const auto& [copy, copy_oracle] : copies) EXPECT_TRUE(same(copy, copy_oracle));
  for (int key = -1; key <= 1'500; ++key) {
    const auto expected = oracle.lower_bound(key);
    const auto found = map.lower_bound(key);
    ASSERT_EQ(found == map.end(), expected == oracle.end());
    if (expected != oracle.end()) {
      EXPECT_EQ(found->first, expected->first);
    }
    const auto behind = map.upper_bound(key);
    const auto expected_behind = oracle.upper_bound(key);
    ASSERT_EQ(behind == map.end(), expected_behind == oracle.end());
    if (expected_behind != oracle.end()) {
      EXPECT_EQ(behind->first, expected_behind->first);
    }
  }
  auto at = map.end();
  for (auto expected = oracle.rbegin(); expected != oracle.rend(); ++expected)
    EXPECT_EQ((--at)->first, expected->first);
  EXPECT_EQ(at, map.begin());
}

TEST(SharedMap, WhatIsSharedStaysAsItWas) {
  Map map;
  for (int i = 0; i < 1'000; ++i) map[i] = "as it was";
  const std::string* place = &std::as_const(map).at(500);
  map.at(500) = "in place";
  EXPECT_EQ(&std::as_const(map).at(500), place) << "nobody else has it";
  const auto held = map.share(500);
  const Map copy = map;
  map.at(500) = "other";
  map.erase(501);
  EXPECT_EQ(copy.at(500), "in place");
  EXPECT_EQ(*held, "in place");
  EXPECT_TRUE(copy.contains(501));
  EXPECT_EQ(&copy.at(502), &std::as_const(map).at(502)) << "shared as long as neither changes it";
  EXPECT_EQ(map.share(501), nullptr);
}

TEST(SharedMap, ACopyIsReadAsideWhileTheMapChanges) {
  Map map;
  for (int i = 0; i < 20'000; ++i) map[i] = "0";
  for (int round = 1; round <= 5; ++round) {
    std::thread reader([copy = map, before = std::to_string(round - 1)] {
      for (const auto& [key, value] : copy) ASSERT_EQ(value, before);
    });
    for (int i = 0; i < 20'000; ++i) map.at(i) = std::to_string(round);
    reader.join();
  }
}

}  // namespace shared_map_test
}  // namespace cordon
