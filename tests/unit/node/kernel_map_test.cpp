// Tables of the kernel by batch calls. Needs CAP_BPF, else skipped.

#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <set>

#include "node/filter/descriptor.h"
#include "node/filter/kernel_map.h"
#include "node/filter/parallel.h"
#include "node/filter/row_index.h"

namespace cordon::node {
namespace kernel_map_test {

struct TestKey {
  std::uint64_t a;
  std::uint32_t b, c;
};

Rows rows_from(std::uint64_t first, std::uint64_t end, std::uint32_t value) {
  Rows rows{.key_size = sizeof(TestKey), .value_size = sizeof value, .keys = {}, .values = {}};
  for (std::uint64_t i = first; i < end; ++i) rows.add(TestKey{.a = i, .b = 7, .c = 0}, value);
  return rows;
}

/// Many: written and asked for by several threads, read in several batches.
class KernelMapTest : public testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override {
    bpf_map_create_opts options{};
    options.sz = sizeof options;
    options.map_flags = BPF_F_NO_PREALLOC;
    fd_ =
        Descriptor(bpf_map_create(BPF_MAP_TYPE_HASH, "cordon_test", sizeof(TestKey), 4, kEntries, &options));
    if (!fd_) GTEST_SKIP() << "can't make a BPF map here";
  }
  KernelMap map() const { return {.fd = fd_.get(), .name = "cordon_test", .is_trie = false}; }

  static constexpr std::uint32_t kEntries = 300'000;
  Descriptor fd_;
};
INSTANTIATE_TEST_SUITE_P(FewAndMany, KernelMapTest, testing::Values(10, 250'000));

TEST_P(KernelMapTest, HoldsWhatWasWrittenAndNothingThatWasRemoved) {
  const std::uint64_t n = GetParam();
  const Rows all = rows_from(0, n, 1), half = rows_from(0, n / 2, 1), rest = rows_from(n / 2, n, 1);
  ASSERT_TRUE(map().write(all));
  EXPECT_EQ(map().read(all).value().size(), n);
  EXPECT_TRUE(map().holds(all, true).value());
  EXPECT_FALSE(map().holds(all, false).value());
  EXPECT_FALSE(map().holds(rows_from(0, n, 2), true).value()) << "another value";
  EXPECT_FALSE(map().holds(rows_from(1, n + 1, 1), true).value()) << "one is missing";

  ASSERT_TRUE(map().remove(half));
  EXPECT_TRUE(map().remove(half)) << "gone already";
  EXPECT_TRUE(map().holds(half, false).value());
  EXPECT_FALSE(map().holds(rows_from(0, n / 2 + 1, 1), false).value()) << "one is left";
  EXPECT_TRUE(map().holds(rest, true).value());
  const RowsDifference left = difference(map().read(all).value(), rest);
  EXPECT_TRUE(left.added.empty() && left.overwritten.empty() && left.removed.empty());
}

/// Where one part was read past its end, the next begins: no row counts twice.
TEST_P(KernelMapTest, TheSumOfAllRowsIsTheSameInParts) {
  const Rows all = rows_from(0, GetParam(), 1);
  const auto sum_up = [](const Rows& part) { return RowSum(part); };
  EXPECT_EQ(map().sum(all.shape(), sum_up, 3).value(), RowSum(all.shape())) << "an empty map";
  ASSERT_TRUE(map().write(all));
  for (const std::size_t parts : {1, 2, 3, 8})
    EXPECT_EQ(map().sum(all.shape(), sum_up, parts).value(), RowSum(all)) << parts;
  EXPECT_TRUE(map().says(RowSum(all), all.shape(), sum_up).value());
  EXPECT_FALSE(map().says(RowSum(rows_from(1, GetParam(), 1)), all.shape(), sum_up).value())
      << "one too many";
}

TEST_P(KernelMapTest, AMapThatIsFullSaysSo) {
  const auto full = map().write(rows_from(0, kEntries + GetParam(), 1));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::exhausted);
  EXPECT_NE(full.error().message().find("map 'cordon_test' is full"), std::string::npos);
}

TEST(InParallel, TheWholeIsCoveredOnceAndAFailureIsTold) {
  for (const std::size_t rows : {0u, 1u, 100'000u, 1'000'000u}) {
    std::vector<std::uint8_t> seen(rows);
    EXPECT_TRUE(in_parallel(rows, [&](std::size_t at, std::size_t end) -> Result<> {
      for (; at < end; ++at) ++seen[at];
      return {};
    }));
    EXPECT_TRUE(std::ranges::all_of(seen, [](auto times) { return times == 1; }));
    if (rows == 0) continue;
    const auto failed = in_parallel(rows, [&](std::size_t, std::size_t end) -> Result<> {
      if (end == rows) return fail(ErrorCode::io, "the last part");
      return {};
    });
    ASSERT_FALSE(failed);
  }
}

/// Whichever bits keys differ in (addresses: the last ones), or finding rows takes for ever. By chance 0.79
/// of the slots are different.
TEST(RowIndex, SpreadsKeysThatDifferInOnePlace) {
  constexpr std::uint32_t kKeys = 1u << 14;
  for (unsigned place = 0; place + 1 < 16; ++place) {
    std::set<std::uint64_t> slots;
    for (std::uint32_t i = 0; i < kKeys; ++i) {
      std::array<std::uint8_t, 16> key{};
      key[place] = static_cast<std::uint8_t>(i >> 8);
      key[place + 1] = static_cast<std::uint8_t>(i);
      slots.insert(RowIndex::hash(key.data(), key.size()) % (2 * kKeys));
    }
    EXPECT_GT(slots.size(), kKeys * 7 / 10) << place << ": " << slots.size() << " of " << kKeys;
  }
}

/// Values that change places between rows, and single bits, are what sums of weak hashes don't see.
TEST(RowSum, DiffersWhereRowsDo) {
  const auto sum = [](std::initializer_list<std::array<std::uint64_t, 2>> rows) {
    Rows out{.key_size = 8, .value_size = 8, .keys = {}, .values = {}};
    for (const auto& [key, value] : rows) out.add(key, value);
    return RowSum(out);
  };
  EXPECT_EQ(sum({{1, 2}, {3, 4}}), sum({{3, 4}, {1, 2}})) << "the order tells nothing";
  RowSum parts = sum({{1, 2}});
  parts += sum({{3, 4}});
  EXPECT_EQ(parts, sum({{1, 2}, {3, 4}}));
  EXPECT_NE(sum({{1, 2}, {3, 4}}), sum({{1, 4}, {3, 2}})) << "values that changed places";
  EXPECT_NE(sum({{1, 2}, {3, 4}}), sum({{2, 1}, {4, 3}})) << "keys and values";
  EXPECT_NE(sum({{0, 0}}), sum({})) << "zeros are a row too";
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t one = std::uint64_t{1} << bit;
    EXPECT_NE(sum({{5, one}, {6, 0}}), sum({{5, 0}, {6, one}})) << bit;
    EXPECT_NE(sum({{5 ^ one, 7}}), sum({{5, 7}})) << bit;
  }
}

TEST(RowsDifference, LeadsFromOneToTheOther) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const Rows shape{.key_size = 3, .value_size = 1, .keys = {}, .values = {}};
    const auto some = [&] {
      Rows rows = shape;
      for (unsigned i = 0; i < random() % 40; ++i) {
        const std::array<std::uint8_t, 3> key{1, static_cast<std::uint8_t>(random() % 20), 2};
        rows.add(key, static_cast<std::uint8_t>(random() % 3));
      }
      rows.make_unique();
      return rows;
    };
    const auto as_map = [](const Rows& rows) {
      std::map<int, int> out;
      for (std::size_t i = 0; i < rows.size(); ++i)
        EXPECT_TRUE(out.emplace(rows.key(i)[1], rows.value(i)[0]).second) << "a key twice";
      return out;
    };
    const Rows have = some(), want = round % 10 == 0 ? have : some();
    const RowsDifference d = difference(have, want);
    auto now = as_map(have);
    for (const auto& [key, value] : as_map(d.removed)) {
      EXPECT_EQ(now.at(key), value);
      now.erase(key);
    }
    for (const auto& [key, value] : as_map(d.before)) EXPECT_EQ(now.at(key), value);
    for (const auto& [key, value] : as_map(d.added)) EXPECT_TRUE(now.emplace(key, value).second);
    for (const auto& [key, value] : as_map(d.overwritten)) {
      EXPECT_NE(now.at(key), value);
      now[key] = value;
    }
    EXPECT_EQ(now, as_map(want));
    EXPECT_EQ(d.before.keys, d.overwritten.keys);
  }
}

}  // namespace kernel_map_test
}  // namespace cordon::node
