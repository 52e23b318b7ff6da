#include <gtest/gtest.h>

#include "controller/core/fold_log.h"
#include "proto/signer.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_runner.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/world_builder.h"

namespace cordon::controller {
namespace core_change_log_test {

using namespace test;
using namespace kinds;

class ChangeLogTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { authority_ = std::make_unique<TestAuthority>(); }
  static void TearDownTestSuite() { authority_.reset(); }
  static std::unique_ptr<TestAuthority> authority_;
  ManualClock clock_;
  MemoryLogStore store_;

  void fill(LogRunner& log) {
    ASSERT_TRUE(log.propose(installation()));
    ASSERT_TRUE(log.propose(join_token("t-1")));
    ASSERT_TRUE(log.propose(enrolled("trader", "t-1", 1)));
    ASSERT_TRUE(log.propose(user("u-1", "trader@acme.example")));
  }
  Timestamp in_an_hour() const { return clock_.now() + std::chrono::hours(1); }
};
std::unique_ptr<TestAuthority> ChangeLogTest::authority_;

TEST_F(ChangeLogTest, AnswersWhenTheRecordIsDurableAndFolded) {
  LogRunner log(store_, *authority_, clock_);
  const auto committed = log.propose(installation());
  ASSERT_TRUE(committed) << committed.error().message();
  EXPECT_EQ(committed->record.revision, Revision(1));
  EXPECT_EQ(committed->record.at, clock_.now());
  EXPECT_EQ(committed->head.hash, committed->record.hash);
  EXPECT_EQ(log->world().revision, Revision(1));
  EXPECT_EQ(log->head(), committed->head);
  EXPECT_EQ(must(store_.head()).second, committed->record.hash);
  wire::HeadVerifier verifier(authority_->root_pem);
  EXPECT_TRUE(verifier.verify(committed->head, committed->record.at));
}

TEST_F(ChangeLogTest, TimesRiseWhenTheClockStandsStill) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  const auto records = must(store_.read(Revision(0), 10));
  for (std::size_t i = 1; i < records.size(); ++i)
    EXPECT_EQ(records[i].at - records[i - 1].at, std::chrono::microseconds(1));
}

TEST_F(ChangeLogTest, RefusesWhatTheWorldForbidsWithoutARecord) {
  LogRunner log(store_, *authority_, clock_);
  EXPECT_EQ(log.propose(TimeAdvanced{}).error().code, ErrorCode::conflict);
  fill(log);
  EXPECT_EQ(log.propose(enrolled("trader", "t-1", 2)).error().code, ErrorCode::conflict);
  EXPECT_EQ(log.propose(user("u-2", "trader@acme.example")).error().code, ErrorCode::conflict);
  EXPECT_EQ(log->world().revision, Revision(4));
  std::optional<Result<Committed>> answer;
  log->propose({.actor = "x", .kind = "device exploded", .version = 1, .payload = "{}"},
               [&](auto result) { answer = std::move(result); });
  EXPECT_FALSE(answer) << "never from within propose";
  ASSERT_TRUE(log.until([&] { return answer.has_value(); }));
  EXPECT_EQ(answer->error().code, ErrorCode::invalid);
}

TEST_F(ChangeLogTest, APolicyThatWasParsedAsideIsNotParsedAgain) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  const std::vector<SourceFile> files{{"a.toml", "[segments.web]\nmembers = [\"tag:web\"]\n"}};
  const policy::PolicyPtr parsed = policy_of(files);
  Proposal proposal = encode("root@local", PolicyApplied{.files = files, .confirm_by = {}, .tzdata = ""});
  proposal.parsed = parsed;
  std::optional<Result<Committed>> answer;
  log->propose(std::move(proposal), [&](auto result) { answer = std::move(result); });
  ASSERT_TRUE(log.until([&] { return answer.has_value(); }));
  ASSERT_TRUE(*answer) << answer->error().message();
  EXPECT_EQ(log->world().policy, parsed);
  LogRunner again(store_, *authority_, clock_);
  EXPECT_NE(again->world().policy, parsed);
  EXPECT_TRUE(again->world().policy->segments.contains("web")) << "the record holds the text";
}

TEST_F(ChangeLogTest, WhatNeedsANewerFormatIsWrittenOnlyAfterARecordThatRaisesIt) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  const DeviceFacts facts{.device = DeviceId("trader"), .checks = std::set<std::string>{"os_updates"}};
  auto presharing = enrolled("ledger", "t-1", 2);
  presharing.presharing = true;  // version 2
  EXPECT_EQ(log->format(), 1u);
  for (const Kind& kind : {Kind(facts), Kind(presharing), Kind(KeyRotationAsked{DeviceId("trader")})}) {
    const auto early = log.propose(kind);
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::conflict);
    EXPECT_NE(early.error().what.find("needs a log of format 2, and this one has 1"), std::string::npos)
        << early.error().what;
  }
  EXPECT_TRUE(log.propose(enrolled("web", "t-1", 3))) << "version 1 needs nothing";
  ASSERT_TRUE(log.propose(FormatRaised{}));
  EXPECT_EQ(log->format(), kNewestFormat);
  EXPECT_TRUE(log.propose(facts));
  EXPECT_TRUE(log.propose(presharing));
  LogRunner again(store_, *authority_, clock_);
  EXPECT_EQ(again->format(), kNewestFormat) << "read back";
}

TEST_F(ChangeLogTest, ALogOfANewerFormatStopsTheFoldAtTheRecordThatRaisedIt) {
  const auto text = R"({"format":4})";
  {
    LogRunner log(store_, *authority_, clock_);
    fill(log);
    std::optional<Result<Committed>> answer;
    log->propose({.actor = "x", .kind = "format raised", .version = 1, .payload = text},
                 [&](auto result) { answer = std::move(result); });
    ASSERT_TRUE(log.until([&] { return answer.has_value(); }));
    EXPECT_EQ(answer->error().code, ErrorCode::invalid) << "nobody raises it past what they know";
    const auto record =
        next_record(log->world(), {.actor = "x", .kind = "format raised", .version = 1, .payload = text},
                    log->world().at + std::chrono::microseconds(1));
    must(store_.commit(std::span(&record, 1), authority_->sign(record)));  // as a later release would
  }
  wire::HeadVerifier verifier(authority_->root_pem);
  const auto folded = fold_log(store_, verifier, plain_name, system_time_zones());
  ASSERT_FALSE(folded);
  EXPECT_NE(folded.error().message().find("folding revision 5"), std::string::npos)
      << folded.error().message();
  EXPECT_NE(folded.error().message().find("raised to format 4, and this release knows formats up to 3"),
            std::string::npos)
      << folded.error().message();
}

TEST_F(ChangeLogTest, GroupsWhatDoesNotMeet) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  const auto batches = store_.batches();
  unsigned done = 0;
  for (int i = 0; i < 50; ++i) {
    log->propose(encode("root@local", join_token("t-x" + std::to_string(i))), [&](auto result) {
      EXPECT_TRUE(result);
      ++done;
    });
  }
  ASSERT_TRUE(log.until([&] { return done == 50; }));
  EXPECT_EQ(store_.batches(), batches + 1);
  EXPECT_EQ(log->world().revision, Revision(54));
}

TEST_F(ChangeLogTest, JudgesWhatMeetsOneByOneAndInOrder) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  std::vector<std::string> told;
  const auto note = [&](std::string name) {
    return
        [&told, name](const Result<Committed>& result) { told.push_back(name + (result ? " yes" : " no")); };
  };
  log->propose(encode("x", DeviceIsolated{DeviceId("trader"), ""}), note("isolate"));
  log->propose(encode("x", session("s-1", "u-1", "trader", 1, in_an_hour())), note("open"));
  log->propose(encode("x", DeviceReleased{DeviceId("trader")}), note("release"));
  log->propose(encode("x", session("s-2", "u-1", "trader", 1, in_an_hour())), note("open again"));
  log->propose(encode("x", TimeAdvanced{}), note("time"));
  ASSERT_TRUE(log.until([&] { return told.size() == 5; }));
  EXPECT_EQ(told, (std::vector<std::string>{"isolate yes", "open no", "release yes", "open again yes",
                                            "time yes"}));
}

TEST_F(ChangeLogTest, TheLastAddressGoesToOne) {
  LogRunner log(store_, *authority_, clock_);
  ASSERT_TRUE(log.propose(installation("100.64.0.0/30")));  // two addresses
  ASSERT_TRUE(log.propose(join_token("t-1")));
  unsigned yes = 0, no = 0;
  for (unsigned i = 0; i < 4; ++i) {
    log->propose(encode("x", enrolled("d" + std::to_string(i), "t-1", i)),
                 [&](auto result) { ++(result ? yes : no); });
  }
  ASSERT_TRUE(log.until([&] { return yes + no == 4; }));
  EXPECT_EQ(yes, 2u);
  EXPECT_EQ(log->world().devices.size(), 2u);
}

TEST_F(ChangeLogTest, TellsListenersInOrderBeforeTheCaller) {
  LogRunner log(store_, *authority_, clock_);
  std::vector<std::string> told;
  log->on_record([&](const Record& record, const policy::World& world) {
    EXPECT_EQ(world.revision, record.revision);
    told.push_back(record.kind);
    // What a listener asks for waits for its turn.
    if (record.kind == "installation created") {
      log->propose(encode("controller", TimeAdvanced{}),
                   [&](auto result) { told.push_back(result ? "time" : "no"); });
    }
  });
  log->propose(encode("x", installation()), [&](auto) { told.push_back("done"); });
  ASSERT_TRUE(log.until([&] { return told.size() == 4; }));
  EXPECT_EQ(told, (std::vector<std::string>{"installation created", "done", "time advanced", "time"}));
}

TEST_F(ChangeLogTest, AStorageThatDoesNotWriteChangesNothingAndIsTriedAgain) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  const auto before = describe(log->world());
  store_.set_trouble(Error{.code = ErrorCode::unavailable, .what = "the disk is full", .hint = "free space"});
  const auto refused = log.propose(TimeAdvanced{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(refused.error().message(), "the change was not recorded: the disk is full; free space");
  EXPECT_EQ(describe(log->world()), before);
  store_.set_trouble(std::nullopt);
  EXPECT_TRUE(log.propose(TimeAdvanced{}));
}

TEST_F(ChangeLogTest, DoesNotQueueWithoutBound) {
  LogRunner log(store_, *authority_, clock_);
  unsigned refused = 0;
  for (int i = 0; i < 20'001; ++i) {
    log->propose(encode("x", TimeAdvanced{}), [&](auto result) {
      if (!result && result.error().code == ErrorCode::exhausted) ++refused;
    });
  }
  EXPECT_TRUE(log.until([&] { return refused == 1; }));
}

TEST_F(ChangeLogTest, AHeadThatCanNotBeReadGoesStale) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  EXPECT_TRUE(log->storage_is_fresh());
  clock_.advance(Seconds(4));
  ASSERT_TRUE(log.until([&, seen = store_.heads_read()] { return store_.heads_read() >= seen + 2; }));
  clock_.advance(Seconds(4));
  EXPECT_TRUE(log->storage_is_fresh());
  store_.set_trouble(Error{.code = ErrorCode::io, .what = "gone"});
  ASSERT_TRUE(log.until([&, seen = store_.heads_read()] { return store_.heads_read() >= seen + 2; }));
  clock_.advance(Seconds(5));
  EXPECT_FALSE(log->storage_is_fresh());
  store_.set_trouble(std::nullopt);
  EXPECT_TRUE(log.until([&] { return log->storage_is_fresh(); }));
}

TEST_F(ChangeLogTest, TwoControllersFoldOneLog) {
  LogRunner a(store_, *authority_, clock_);
  fill(a);
  LogRunner b(store_, *authority_, clock_);
  EXPECT_EQ(describe(a->world()), describe(b->world()));
  // Each finds the other's records at its commit or by looking, folds them and goes on.
  for (int i = 0; i < 10; ++i) {
    clock_.advance(Seconds(1));
    ASSERT_TRUE(a.propose(join_token("t-a" + std::to_string(i))));
    const auto committed = b.propose(join_token("t-b" + std::to_string(i)));
    ASSERT_TRUE(committed) << committed.error().message();
  }
  ASSERT_TRUE(a.until([&] { return a->world().revision == Revision(24); }));
  EXPECT_EQ(describe(a->world()), describe(b->world()));
  EXPECT_EQ(a->head(), b->head());
}

TEST_F(ChangeLogTest, AStoreThatWentBackIsNoticedAndNotWrittenOn) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  store_.edit([](auto& records, auto& heads) {
    records.pop_back();
    heads.pop_back();
  });
  const auto refused = log.propose(TimeAdvanced{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_NE(refused.error().what.find("rewritten"), std::string::npos) << refused.error().what;
  clock_.advance(Seconds(6));
  EXPECT_FALSE(log->storage_is_fresh());
}

TEST_F(ChangeLogTest, StartsWithTheWorldThatItLeft) {
  std::string before;
  SignedHead head;
  {
    LogRunner log(store_, *authority_, clock_);
    fill(log);
    before = describe(log->world());
    head = log->head();
  }
  LogRunner log(store_, *authority_, clock_);
  EXPECT_EQ(describe(log->world()), before);
  EXPECT_EQ(log->head(), head);
}

TEST_F(ChangeLogTest, ReadsPartsThatEndAtASignedHead) {
  LogRunner log(store_, *authority_, clock_);
  fill(log);
  unsigned done = 0;
  for (int i = 0; i < 5; ++i) {
    log->propose(encode("x", join_token("t-x" + std::to_string(i))), [&](auto) { ++done; });
  }
  ASSERT_TRUE(log.until([&] { return done == 5; }));
  wire::HeadVerifier verifier(authority_->root_pem);
  const auto first = must(read_part(store_, Revision(0), {}, verifier, 5));
  EXPECT_EQ(first.records.size(), 9u) << "the batch of revisions 5 to 9 reaches over the limit";
  EXPECT_EQ(first.head.revision, Revision(9));
  EXPECT_TRUE(must(read_part(store_, Revision(9), first.head.hash, verifier)).records.empty());
  EXPECT_FALSE(read_part(store_, Revision(4), {}, verifier)) << "another previous hash";
}

TEST_F(ChangeLogTest, DoesNotStartOnALogThatWasChanged) {
  {
    LogRunner log(store_, *authority_, clock_);
    fill(log);
  }
  const auto start = [&] { return LogRunner(store_, *authority_, clock_)->world().revision; };
  std::vector<Record> records;
  std::vector<SignedHead> heads;
  store_.edit([&](auto& r, auto& h) { records = r, heads = h; });
  const auto with = [&](const std::function<void(std::vector<Record>&, std::vector<SignedHead>&)>& edit) {
    store_.edit([&](auto& r, auto& h) {
      r = records, h = heads;
      edit(r, h);
    });
  };
  with([](auto& r, auto&) { r[1].actor = "someone else"; });
  EXPECT_THROW(start(), std::runtime_error);
  with([](auto& r, auto&) { r.erase(r.begin() + 1); });
  EXPECT_THROW(start(), std::runtime_error);
  with([](auto&, auto& h) { h.back().signature[8] ^= 1; });
  EXPECT_THROW(start(), std::runtime_error);
  with([](auto&, auto& h) { h.pop_back(); });
  EXPECT_THROW(start(), std::runtime_error);
  with([](auto& r, auto&) { r.pop_back(); });
  EXPECT_THROW(start(), std::runtime_error);
  const TestAuthority other;
  with([&](auto& r, auto& h) { h.back() = other.sign(r.back()); });
  EXPECT_THROW(start(), std::runtime_error);
  with([](auto&, auto&) {});
  EXPECT_EQ(start(), Revision(4));
}

}  // namespace core_change_log_test
}  // namespace cordon::controller
