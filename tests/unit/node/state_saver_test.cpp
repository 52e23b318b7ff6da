// The held state goes to disk beside the loop: whole, the newest last, and a disk that fails is told.

#include "node/agent/state_saver.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <optional>
#include <random>

#include "node/agent/state_file.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace state_saver_test {

policy::GrantKey grant(unsigned i) {
  return {.class_id = ClassId{i + 1}, .target = TargetId{3}, .protocol = policy::kTcp, .port = 443};
}

policy::NodeState large_state(unsigned grants) {
  policy::NodeState state = test::base_state();
  for (unsigned i = 0; i < grants; ++i)
    state.entries[grant(i)] = policy::GrantValue{.rule = RuleId{9}, .lease_s = 600};
  return state;
}

policy::NodeState all_of(const StateCopy& copy) {
  policy::NodeState out;
  EXPECT_TRUE(copy.for_each([&](const policy::Key& key, const policy::Value& value) -> Result<> {
    EXPECT_TRUE(out.entries.emplace(key, value).second) << "a key twice";
    return {};
  }));
  return out;
}

TEST(StateCopyTest, EqualsTheStateThatChangedWhileItWasCopied) {
  std::mt19937 generator(7);
  const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
  for (unsigned run = 0; run < 200; ++run) {
    policy::NodeState state = large_state(60);
    StateCopy copy;
    while (!copy.copy(state, 1 + run % 9)) {
      std::vector<policy::Change> changes;
      for (unsigned i = random() % 4; i > 0; --i) {
        policy::Change change{.key = grant(random() % 80), .value = std::nullopt};
        if (random() % 3 != 0) change.value = policy::GrantValue{.lease_s = 1 + random() % 5};
        if (random() % 9 == 0)
          change = {policy::PeerKey{DeviceId{"web"}},
                    test::peer(static_cast<std::uint8_t>(random() % 7), {})};
        changes.push_back(change);
      }
      policy::apply(state, changes);
      copy.changed(changes);
    }
    ASSERT_EQ(all_of(copy), state) << run;
  }
}

TEST(StateCopyTest, OfNothingIsWholeAndEmpty) {
  StateCopy copy;
  EXPECT_TRUE(copy.copy({}, 10));
  EXPECT_TRUE(all_of(copy).entries.empty());
}

class StateSaverTest : public testing::Test {
 protected:
  static constexpr unsigned kOfSeveralSlices = 9000;

  void become(policy::NodeState next) {
    state = std::move(next);
    ++version;
    saver->changed(nullptr);
  }
  void change(const std::vector<policy::Change>& changes) {
    policy::apply(state, changes);
    ++version;
    saver->changed(&changes);
  }
  /// As a restarted daemon finds it; the file's digest was compared with its entries then.
  std::optional<SavedState> saved() const {
    const auto loaded = load_state(file);
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded ? *loaded : std::nullopt;
  }
  void expect_saved() const {
    const auto found = saved();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->revision, Revision{version});
    EXPECT_EQ(found->state, state);
  }
  void run() {
    io.restart();
    io.run_for(std::chrono::seconds(30));
  }

  test::TemporaryDirectory directory;
  std::filesystem::path file = directory.path() / "state.bin";
  policy::NodeState state = test::base_state();
  std::uint64_t version = 1;
  boost::asio::io_context io;
  std::optional<StateSaver> saver{std::in_place, io, file, [this] {
                                    return HeldState{.state = state,
                                                     .revision = Revision{version},
                                                     .digest = policy::digest(state).value(),
                                                     .version = version};
                                  }};
};

TEST_F(StateSaverTest, WritesWhatIsHeldOnce) {
  saver->save();
  run();
  expect_saved();
  std::filesystem::remove(file);
  saver->save();
  run();
  EXPECT_FALSE(std::filesystem::exists(file)) << "the file held it already";
}

TEST_F(StateSaverTest, TheLoopGoesOnBetweenSlices) {
  become(large_state(kOfSeveralSlices));
  saver->save();
  bool heard = false;
  boost::asio::post(io, [&] { heard = true; });
  for (int i = 0; i < 2; ++i) io.run_one();
  EXPECT_TRUE(heard);
  EXPECT_FALSE(std::filesystem::exists(file));
  run();
  expect_saved();
}

TEST_F(StateSaverTest, WhatChangesWhileItIsCopiedIsInTheFile) {
  become(large_state(kOfSeveralSlices));
  saver->save();
  io.run_one();
  change({{grant(0), std::nullopt},
          {grant(1), policy::GrantValue{.lease_s = 7}},
          {grant(kOfSeveralSlices - 1), std::nullopt},
          {grant(kOfSeveralSlices + 5), policy::GrantValue{.lease_s = 8}}});
  run();
  expect_saved();
}

TEST_F(StateSaverTest, AnotherWholeStateIsCopiedAnew) {
  become(large_state(kOfSeveralSlices));
  saver->save();
  io.run_one();
  become(test::base_state());
  run();
  expect_saved();
}

TEST_F(StateSaverTest, ANewerStateIsWrittenAfterTheOneThatIsBeingWritten) {
  saver->save();  // one slice: the thread has it
  change({{grant(1), policy::GrantValue{.lease_s = 7}}});
  saver->save();
  change({{grant(2), policy::GrantValue{.lease_s = 7}}});
  saver->save();
  run();
  expect_saved();
}

TEST_F(StateSaverTest, WhatAThreadWritesDoesNotChangeWithTheState) {
  const policy::NodeState first = state;
  saver->save();
  change({{policy::PeerKey{DeviceId{"ledger"}}, std::nullopt}});
  run();
  const auto found = saved();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, first);
  EXPECT_EQ(found->revision, Revision{1});
}

TEST_F(StateSaverTest, ADiskThatFailsIsAnAlarmUntilItIsWritten) {
  std::filesystem::remove_all(directory.path());
  saver->save();
  run();
  EXPECT_TRUE(saver->alarm().starts_with("state not saved: ")) << saver->alarm();
  saver->save();
  run();
  EXPECT_FALSE(saver->alarm().empty());
  std::filesystem::create_directory(directory.path());
  saver->save();
  run();
  EXPECT_EQ(saver->alarm(), "");
  expect_saved();
}

TEST_F(StateSaverTest, TheEndWaitsForTheLast) {
  saver->save();  // the thread writes it
  change({{grant(1), policy::GrantValue{.lease_s = 7}}});
  saver->finish();
  expect_saved();
  become(large_state(kOfSeveralSlices));
  saver->save();  // begins to copy
  change({{grant(0), std::nullopt}});
  saver->finish();
  expect_saved();
  std::filesystem::remove(file);
  run();
  EXPECT_FALSE(std::filesystem::exists(file)) << "nothing is written after the end";
  change({{grant(1), std::nullopt}});
  std::filesystem::remove_all(directory.path());
  saver->finish();
  EXPECT_FALSE(saver->alarm().empty());
}

TEST_F(StateSaverTest, WhoGoesLeavesNothingInTheLoop) {
  saver->save();
  saver.reset();
  expect_saved();  // the write was waited for
  run();
}

TEST_F(StateSaverTest, WhoGoesWhileItCopiesLeavesNothingInTheLoop) {
  become(large_state(kOfSeveralSlices));
  saver->save();
  saver.reset();
  run();
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace state_saver_test
}  // namespace cordon::node
