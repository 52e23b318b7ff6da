#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "base/files.h"
#include "controller/log/sqlite.h"
#include "controller/secrets/data_key.h"
#include "controller/secrets/seal.h"
#include "controller/secrets/secret_store.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace secrets_store_test {

using namespace test;

struct Secrets : testing::Test {
  TempDir dir;
  auto open() { return open_secret_store(dir / "secrets.db", dir / "data.key"); }
};

unsigned mode_of(const std::filesystem::path& file) {
  struct stat status{};
  EXPECT_EQ(::stat(file.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(Seal, OpensOnlyWithItsKeyAndItsName) {
  const auto key = random_bytes(kSealKeyBytes);
  const auto sealed = seal(key, as_bytes("secret"), "name");
  EXPECT_EQ(open_sealed(key, sealed, "name"), Bytes({'s', 'e', 'c', 'r', 'e', 't'}));
  EXPECT_FALSE(open_sealed(key, sealed, "other"));
  EXPECT_FALSE(open_sealed(random_bytes(kSealKeyBytes), sealed, "name"));
  EXPECT_FALSE(open_sealed({}, sealed, "name"));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto changed = sealed;
    changed[i] ^= 1;
    EXPECT_FALSE(open_sealed(key, changed, "name"));
    EXPECT_FALSE(open_sealed(key, ByteView(sealed).first(i), "name"));
  }
  EXPECT_NE(seal(key, as_bytes("secret"), "name"), sealed) << "a nonce is never used twice";
}

TEST_F(Secrets, AreKeptOverwrittenAndErased) {
  {
    auto store = must(open());
    EXPECT_EQ(must(store->get("a")), std::nullopt);
    must(store->put("a", as_bytes("one")));
    must(store->put("a", as_bytes("two")));
    must(store->put("empty", {}));
  }
  auto store = must(open());
  EXPECT_EQ(as_text(must(store->get("a")).value()), "two");
  EXPECT_EQ(must(store->get("empty")), Bytes());
  must(store->erase("a"));
  must(store->erase("a"));
  EXPECT_EQ(must(store->get("a")), std::nullopt);
}

TEST_F(Secrets, AreForTheirOwnerAndNotInClear) {
  auto store = must(open());
  must(store->put("a", as_bytes("a-plain-secret")));
  EXPECT_EQ(mode_of(dir / "data.key"), 0600u);
  EXPECT_EQ(mode_of(dir / "secrets.db"), 0600u);
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    EXPECT_EQ(must(read_file(entry.path())).find("a-plain-secret"), std::string::npos) << entry.path();
  }
}

TEST_F(Secrets, AWrongKeyIsUnauthorized) {
  must(must(open())->put("a", as_bytes("one")));
  must(write_file(dir / "data.key", to_hex(random_bytes(32)), 0600));
  const auto store = open();
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::unauthorized);
}

TEST_F(Secrets, AKeyThatIsGoneIsNotMadeAnew) {
  must(must(open())->put("a", as_bytes("one")));
  std::filesystem::remove(dir / "data.key");
  EXPECT_FALSE(open());
  EXPECT_FALSE(std::filesystem::exists(dir / "data.key"));
}

TEST_F(Secrets, ABrokenOrOpenKeyFileIsRefused) {
  const std::vector<std::string> broken = {"", "abc", std::string(63, 'a'), std::string(66, 'a'),
                                           std::string(64, 'x')};
  for (const std::string& text : broken) {
    must(write_file(dir / "data.key", text, 0600));
    EXPECT_FALSE(open()) << text;
  }
  must(write_file(dir / "data.key", to_hex(random_bytes(32)), 0644));
  const auto store = open();
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().hint.find("chmod 600"), std::string::npos);
}

TEST_F(Secrets, SwappedRowsAreFound) {
  {
    auto store = must(open());
    must(store->put("a", as_bytes("one")));
    must(store->put("b", as_bytes("two")));
  }
  const auto command =
      "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'a') WHERE name = 'b'";
  auto db = must(Sqlite::open(dir / "secrets.db"));
  must(db.execute(command));
  EXPECT_EQ(must(open())->get("b").error().code, ErrorCode::unauthorized);
}

TEST_F(Secrets, OneKeyIsMadeWhenSeveralStartAtOnce) {
  std::vector<Bytes> keys(8);
  {
    std::vector<std::jthread> threads;
    for (auto& key : keys) threads.emplace_back([&] { key = must(open_data_key(dir / "race.key")); });
  }
  for (const auto& key : keys) EXPECT_EQ(key, keys[0]);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST_F(Secrets, PersonalFieldsDieWithTheirKey) {
  auto store = must(open());
  const auto sealed = must(seal_personal(*store, "u-1", "trader@acme.example"));
  EXPECT_EQ(must(open_personal(*store, "u-1", sealed)), "trader@acme.example");
  EXPECT_NE(must(seal_personal(*store, "u-1", "trader@acme.example")), sealed);
  must(seal_personal(*store, "u-2", "x"));
  EXPECT_FALSE(open_personal(*store, "u-2", sealed)) << "another person's key";
  EXPECT_FALSE(open_personal(*store, "u-1", "not base64!"));
  must(store->erase("subject/u-1"));
  EXPECT_EQ(must(open_personal(*store, "u-1", sealed)), std::nullopt);
}

TEST_F(Secrets, ANameThatIsGoneIsNotAStoreThatCannotBeRead) {
  auto store = must(open());
  const auto sealed = must(seal_personal(*store, "u-1", "alice"));
  EXPECT_EQ(must(open_personal_or_gone(*store, "u-1", sealed)), "alice");
  EXPECT_EQ(must(open_personal_or_gone(*store, "u-2", sealed)), std::nullopt) << "a key that was destroyed";
  must(store->put("subject/u-1", Bytes(32, 1)));
  EXPECT_EQ(must(open_personal_or_gone(*store, "u-1", sealed)), std::nullopt) << "sealed with another key";
  // A store that fails says so, or everybody's name would be gone after a bad moment of the disk.
  auto raw = must(Sqlite::open(dir / "secrets.db"));
  must(raw.execute("DROP TABLE secrets"));
  EXPECT_FALSE(open_personal_or_gone(*store, "u-1", sealed));
}

}  // namespace secrets_store_test
}  // namespace cordon::controller
