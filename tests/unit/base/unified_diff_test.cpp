#include "base/unified_diff.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/files.h"
#include "tests/support/temp_dir.h"

namespace cordon {
namespace {

std::string diff(std::string_view from, std::string_view to) {
  return unified_diff("a", from, "b", to);
}

TEST(UnifiedDiff, OfEqualTextsIsEmpty) {
  EXPECT_EQ(diff("", ""), "");
  EXPECT_EQ(diff("x\ny\n", "x\ny\n"), "");
}

TEST(UnifiedDiff, ShowsThreeLinesAround) {
  EXPECT_EQ(diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(UnifiedDiff, OfAFileThatComesAndOneThatGoes) {
  EXPECT_EQ(diff("", "x\ny\n"), "--- a\n+++ b\n@@ -0,0 +1,2 @@\n+x\n+y\n");
  EXPECT_EQ(diff("x\n", ""), "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n");
}

TEST(UnifiedDiff, TellsAMissingLineFeedAtTheEnd) {
  EXPECT_EQ(diff("x\ny", "x\ny\n"),
            "--- a\n+++ b\n@@ -1,2 +1,2 @@\n x\n-y\n\\ No newline at end of file\n+y\n");
}

TEST(UnifiedDiff, JoinsChangesThatAreNear) {
  EXPECT_EQ(diff("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n"),
            "--- a\n+++ b\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
  const std::string far = diff("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n");
  EXPECT_EQ(far, "--- a\n+++ b\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

TEST(UnifiedDiff, OfTextsThatHaveLittleInCommonIsBounded) {
  std::string from, to;
  for (int i = 0; i < 50'000; ++i) {
    from += std::to_string(i) + "\n";
    to += "x" + std::to_string(i) + "\n";
  }
  EXPECT_GT(diff(from, to).size(), from.size() + to.size());
}

/// patch(1) makes the second text of the first and the difference.
TEST(UnifiedDiff, IsWhatPatchTakes) {
  if (std::system("command -v patch >/dev/null") != 0) GTEST_SKIP() << "patch isn't installed";
  const test::TempDir dir;
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const auto text = [&] {
      std::string out;
      for (unsigned lines = random() % 30; lines > 0; --lines) out += std::to_string(random() % 6) + "\n";
      return out;
    };
    const std::string from = "begin\n" + text(), to = "begin\n" + text();
    if (from == to) continue;
    ASSERT_TRUE(write_file(dir / "file", from));
    ASSERT_TRUE(write_file(dir / "diff", diff(from, to)));
    const std::string command = "patch -s " + (dir / "file").string() + " " + (dir / "diff").string();
    ASSERT_EQ(std::system(command.c_str()), 0) << diff(from, to);
    EXPECT_EQ(read_file(dir / "file").value(), to);
  }
}

}  // namespace
}  // namespace cordon
