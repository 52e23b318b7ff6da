#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "controller/core/fold_log.h"
#include "controller/log/sqlite.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_runner.h"
#include "tests/support/private_mount.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace log_store_test {

using namespace test;
using namespace kinds;

const TestAuthority& authority() {
  static const TestAuthority authority;
  return authority;
}

struct Store : testing::Test {
  TempDir dir;
  auto open() { return open_log_store(dir / "log.db"); }
};

History three() {
  History h;
  h.add(installation());
  h.add(join_token("t-1"));
  h.add(TimeAdvanced{});
  return h;
}

TEST_F(Store, KeepsEveryByte) {
  const auto all = three().records;
  {
    auto store = must(open());
    EXPECT_EQ(must(store->head()), std::pair(Revision(0), Sha256{}));
    EXPECT_EQ(must(store->last_signed_head()), std::nullopt);
    must(store->commit(std::span(all).first(1), authority().sign(all[0])));
    must(store->commit(std::span(all).subspan(1), authority().sign(all[2])));
  }
  auto store = must(open());
  EXPECT_EQ(must(store->head()), std::pair(Revision(3), all[2].hash));
  EXPECT_EQ(must(store->read(Revision(0), 100)), all);
  EXPECT_EQ(must(store->read(Revision(1), 1)), std::vector{all[1]});
  EXPECT_TRUE(must(store->read(Revision(3), 1)).empty());
  EXPECT_EQ(must(store->signed_head_at(Revision(1)))->revision, Revision(1));
  EXPECT_EQ(must(store->signed_head_at(Revision(2))).value().revision, Revision(3));
  EXPECT_EQ(must(store->signed_head_at(Revision(2)))->signer_pem, authority().chain_pem);
  EXPECT_EQ(must(store->signed_head_at(Revision(4))), std::nullopt);
  EXPECT_EQ(must(store->last_signed_head())->hash, all[2].hash);
}

TEST_F(Store, WritesOnlyOnTheHeadThatIsThere) {
  const auto all = three().records;
  auto a = must(open());
  auto b = must(open());
  must(a->commit(std::span(all).first(1), authority().sign(all[0])));
  const auto late = b->commit(std::span(all).first(1), authority().sign(all[0]));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::conflict);
  must(b->commit(std::span(all).subspan(1, 1), authority().sign(all[1])));
  EXPECT_EQ(must(a->head()).first, Revision(2));
  EXPECT_FALSE(a->commit(std::span(all).subspan(2), authority().sign(all[1]))) << "a head of another record";
}

TEST_F(Store, IsForItsOwner) {
  must(open());
  struct stat status{};
  ASSERT_EQ(::stat((dir / "log.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Store, SaysThatAFileIsDamagedOrMissing) {
  must(write_file(dir / "log.db", std::string(8192, 'x')));
  const auto broken = open();
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::io);
  EXPECT_NE(broken.error().what.find("damaged"), std::string::npos) << broken.error().message();
  const auto nowhere = open_log_store(dir / "no" / "log.db");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().what.find("can't be opened"), std::string::npos) << nowhere.error().message();
}

TEST_F(Store, RefusesANewerFormat) {
  must(open());
  {
    auto db = must(Sqlite::open(dir / "log.db"));
    must(db.execute("PRAGMA user_version = 2"));
  }
  const auto store = open();
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().what.find("format 2"), std::string::npos);
}

TEST_F(Store, AReadOnlyDatabaseIsUnavailableAndSaysSo) {
  if (!mount_small(dir.path(), 4u << 20)) GTEST_SKIP() << "needs root";
  const auto all = three().records;
  {
    auto store = must(open());
    must(store->commit(all, authority().sign(all[2])));
  }
  ASSERT_TRUE(make_read_only(dir.path()));
  const auto store = open();
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::unavailable);
  EXPECT_NE(store.error().what.find("read-only"), std::string::npos) << store.error().message();
  unmount(dir.path());
}

TEST_F(Store, ADatabaseThatRefusesAWriteChangesNothing) {
  auto store = must(open());
  ManualClock clock;
  LogRunner log(*store, authority(), clock);
  ASSERT_TRUE(log.propose(installation()));
  auto blocker = must(Sqlite::open(dir / "log.db"));
  must(blocker.execute(
      "CREATE TRIGGER no_more BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'no'); END"));
  const auto before = describe(log->world());
  const auto refused = log.propose(TimeAdvanced{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(describe(log->world()), before);
  must(blocker.execute("DROP TRIGGER no_more"));
  EXPECT_TRUE(log.propose(TimeAdvanced{}));
}

TEST_F(Store, AFullDiskRefusesAndRecovers) {
  if (!mount_small(dir.path(), 1u << 20)) GTEST_SKIP() << "needs root";
  {
    auto store = must(open());
    ManualClock clock;
    LogRunner log(*store, authority(), clock);
    ASSERT_TRUE(log.propose(installation()));
    ASSERT_TRUE(log.propose(join_token("t-1")));
    ASSERT_TRUE(log.propose(enrolled("web", "t-1", 1)));
    must(write_file(dir / "ballast", std::string(256 * 1024, 'x')));
    // Fill what is left, by the log itself.
    Result<Committed> last = fail(ErrorCode::internal, "nothing proposed");
    std::uint64_t written = 0;
    for (int i = 0; i < 2000; ++i) {
      last = log.propose(DeviceIsolated{DeviceId("web"), std::string(1000, 'r')});
      if (last) last = log.propose(DeviceReleased{DeviceId("web")});
      if (!last) break;
      ++written;
    }
    ASSERT_FALSE(last) << "never full";
    EXPECT_GT(written, 10u);
    EXPECT_EQ(last.error().code, ErrorCode::unavailable);
    EXPECT_NE(last.error().what.find("the disk is full"), std::string::npos) << last.error().message();
    const auto revision = log->world().revision;
    EXPECT_EQ(must(store->head()).first, revision) << "reading goes on";
    EXPECT_TRUE(log->storage_is_fresh());

    std::filesystem::remove(dir / "ballast");
    const auto again = log.propose(join_token("t-2"));
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->record.revision, Revision(revision.value + 1));
    wire::HeadVerifier verifier(authority().root_pem);
    EXPECT_EQ(describe(must(fold_log(*store, verifier, plain_name, system_time_zones())).world),
              describe(log->world()));
  }
  unmount(dir.path());
}

/// The child tells each revision through a pipe once it was answered for; it is killed in the middle of it
/// all.
[[noreturn]] void commit_for_ever(const std::filesystem::path& file, int tell) {
  auto store = must(open_log_store(file));
  ManualClock clock;
  LogRunner log(*store, authority(), clock);
  if (log->world().revision.value == 0) must(log.propose(installation()));
  for (;;) {
    const auto committed = must(log.propose(TimeAdvanced{}));
    const auto revision = committed.record.revision.value;
    if (::write(tell, &revision, sizeof revision) != sizeof revision) ::_exit(1);
  }
}

TEST_F(Store, NoAcknowledgedRecordIsLostByAKill) {  // I8
  (void)authority();
  std::uint64_t told = 0;
  for (int round = 0; round < 3; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      try {
        commit_for_ever(dir / "log.db", ends[1]);
      } catch (...) {
        ::_exit(2);  // never back into the parent's tests
      }
    }
    ::close(ends[1]);
    const auto enough = told + 30 + static_cast<unsigned>(round) * 7;
    std::uint64_t revision = 0;
    while (told < enough && ::read(ends[0], &revision, sizeof revision) == sizeof revision) told = revision;
    ::kill(child, SIGKILL);
    // What it still told before it died counts too.
    while (::read(ends[0], &revision, sizeof revision) == sizeof revision) told = revision;
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);

    auto store = must(open());
    wire::HeadVerifier verifier(authority().root_pem);
    const auto folded = fold_log(*store, verifier, plain_name, system_time_zones());
    ASSERT_TRUE(folded) << folded.error().message();
    EXPECT_GE(folded->world.revision.value, told);
    EXPECT_GE(told, enough);
  }
}

}  // namespace log_store_test
}  // namespace cordon::controller
