#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace cordon {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "cordon-files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path put(const std::string& name, std::string_view text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_), fs::directory_iterator()));
  }

  fs::path root_;
};

TEST_F(Files, ReadsWholeAndWithinTheLimit) {
  const auto path = put("a", std::string(100'000, 'x'));
  EXPECT_EQ(read_file(path)->size(), 100'000u);
  EXPECT_EQ(read_file(path, 100'000)->size(), 100'000u);
  const auto large = read_file(path, 99'999);
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().what.find(path.string()), std::string::npos);
  EXPECT_EQ(read_file(put("empty", ""), 0).value(), "");
}

TEST_F(Files, RefusesWhatIsNoFileAndNamesIt) {
  const auto missing = read_file(root_ / "missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().what.find("missing"), std::string::npos);
  EXPECT_EQ(read_file(root_).error().code, ErrorCode::invalid);
  EXPECT_FALSE(read_file("/dev/zero"));

  const auto fifo = root_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(read_file(fifo).error().code, ErrorCode::invalid);  // and doesn't wait for a writer

  fs::create_symlink("self", root_ / "self");
  EXPECT_FALSE(read_file(root_ / "self"));
}

TEST_F(Files, WritesAtomicallyWithItsModeAndLeavesNothingBeside) {
  const auto path = root_ / "key";
  ASSERT_TRUE(write_file(path, "old", 0600));
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  const auto inode = status.st_ino;
  // Who opened the old one still reads the old one, whole.
  std::ifstream open(path);
  ASSERT_TRUE(write_file(path, "new", 0600));
  std::string seen;
  open >> seen;
  EXPECT_EQ(seen, "old");
  EXPECT_EQ(read_file(path).value(), "new");
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_NE(status.st_ino, inode);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, WhatAKilledWriteLeftIsTakenAway) {
  for (const char* name : {".keys.e83a7afe05e3c4aa.tmp", ".profile", "notes.tmp", "keys"}) put(name, "x");
  remove_unfinished(root_);
  EXPECT_FALSE(fs::exists(root_ / ".keys.e83a7afe05e3c4aa.tmp"));
  EXPECT_EQ(entries(), 3u);
  remove_unfinished(root_ / "nothing");
}

TEST_F(Files, AFailedWriteLeavesTheOldAndNoTrace) {
  EXPECT_FALSE(write_file(root_ / "no" / "folder", "x"));
  fs::create_directory(root_ / "folder");
  const auto onto_folder = write_file(root_ / "folder", "x");
  ASSERT_FALSE(onto_folder);
  EXPECT_NE(onto_folder.error().what.find("folder"), std::string::npos);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, PoliciesAreReadByNameFromAllFolders) {
  put("b.toml", "2");
  put("a/z.toml", "1");
  put("a/notes.txt", "no");
  put("outside/linked.toml", "3");
  fs::create_symlink(root_ / "outside", root_ / "c");
  const auto files = read_policy_directory(root_);
  ASSERT_TRUE(files) << files.error().message();
  std::vector<std::string> names;
  for (const auto& f : *files) names.push_back(f.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a/z.toml", "b.toml", "c/linked.toml", "outside/linked.toml"}));
  EXPECT_EQ(files->front().text, "1");
}

TEST_F(Files, PolicyDirectoriesThatCannotBeReadAreErrors) {
  EXPECT_FALSE(read_policy_directory(root_ / "missing"));
  EXPECT_FALSE(read_policy_directory(put("file", "x")));
  EXPECT_EQ(read_policy_directory(root_).error().code, ErrorCode::not_found);  // no .toml in it
  put("good.toml", "");
  EXPECT_TRUE(read_policy_directory(root_));
}

TEST_F(Files, LoopsAreErrors) {
  put("good.toml", "");
  fs::create_directories(root_ / "a" / "b");
  fs::create_symlink(root_ / "a", root_ / "a" / "b" / "back");
  EXPECT_FALSE(read_policy_directory(root_));
  fs::remove(root_ / "a" / "b" / "back");
  fs::create_symlink("self", root_ / "self");
  EXPECT_FALSE(read_policy_directory(root_));
}

TEST_F(Files, PoliciesThatAreNoFilesAreErrors) {
  put("good.toml", "");
  ASSERT_EQ(::mkfifo((root_ / "pipe.toml").c_str(), 0600), 0);
  EXPECT_FALSE(read_policy_directory(root_));
  fs::remove(root_ / "pipe.toml");
  fs::create_symlink(root_ / "gone", root_ / "dangling.toml");
  EXPECT_FALSE(read_policy_directory(root_));
}

TEST_F(Files, TooMuchTogetherIsAnError) {
  for (int i = 0; i < 8; ++i) {
    put(std::to_string(i) + ".toml", "");
    fs::resize_file(root_ / (std::to_string(i) + ".toml"), kMaxPolicyBytes / 8);  // sparse
  }
  EXPECT_TRUE(read_policy_directory(root_));
  put("one-more.toml", "x");
  const auto refused = read_policy_directory(root_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("more than 8388608 bytes together"), std::string::npos)
      << refused.error().message();
}

TEST_F(Files, TooManyFilesAreAnError) {
  for (std::size_t i = 0; i < kMaxPolicyFiles; ++i) put(std::to_string(i) + ".toml", "");
  EXPECT_TRUE(read_policy_directory(root_));
  put("one-more.toml", "");
  const auto refused = read_policy_directory(root_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("holds more than 1000 policy files"), std::string::npos)
      << refused.error().message();
}

TEST_F(Files, AHugePolicyFileIsRefusedWithoutReadingIt) {
  put("huge.toml", "");
  fs::resize_file(root_ / "huge.toml", 100u << 20);
  rusage before{}, after{};
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &before), 0);
  const auto refused = read_policy_directory(root_);
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &after), 0);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().ends_with(
      "huge.toml' has more than 8388608 bytes; a policy has that many at most, in all its files"))
      << refused.error().message();
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 4096) << "KiB";
}

TEST_F(Files, WhatIsNoFileIsNamedWithItsMend) {
  ASSERT_EQ(::mkfifo((root_ / "pipe.toml").c_str(), 0600), 0);
  const auto refused = read_policy_directory(root_);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().ends_with("pipe.toml' is not a regular file; take it away"))
      << refused.error().message();
}

TEST_F(Files, ALoopIsNamedWithItsMend) {
  put("good.toml", "");
  fs::create_directory_symlink(root_, root_ / "again");
  const auto refused = read_policy_directory(root_);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().ends_with(
      "again' form a loop or are too deep; remove the symbolic link that leads back"))
      << refused.error().message();
}

}  // namespace
}  // namespace cordon
