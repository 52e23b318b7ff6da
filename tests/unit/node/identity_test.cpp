#include "node/agent/identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace identity_test {

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST(Identity, MakesKeysOnceAndKeepsThemPrivate) {
  const test::TemporaryDirectory directory;
  const IdentityStore store(directory.path());
  const auto first = store.load_or_make_keys();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(mode_of(directory.path() / "device.key"), 0600u);
  EXPECT_EQ(mode_of(directory.path() / "wireguard.key"), 0600u);
  const auto second = store.load_keys();
  ASSERT_TRUE(second);
  EXPECT_EQ(first->device.public_key_der(), second->device.public_key_der());
  EXPECT_EQ(first->wireguard, second->wireguard);
}

TEST(Identity, RefusesKeysThatOthersMayRead) {
  const test::TemporaryDirectory directory;
  const IdentityStore store(directory.path());
  ASSERT_TRUE(store.load_or_make_keys());
  ASSERT_EQ(::chmod((directory.path() / "wireguard.key").c_str(), 0640), 0);
  const auto keys = store.load_keys();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().code, ErrorCode::forbidden);
  EXPECT_NE(keys.error().hint.find("chmod 600"), std::string::npos);
}

TEST(Identity, RefusesALinkInPlaceOfAKey) {
  const test::TemporaryDirectory directory;
  const IdentityStore store(directory.path());
  ASSERT_TRUE(store.load_or_make_keys());
  std::filesystem::rename(directory.path() / "device.key", directory.path() / "elsewhere");
  std::filesystem::create_symlink(directory.path() / "elsewhere", directory.path() / "device.key");
  EXPECT_FALSE(store.load_keys());
}

TEST(Identity, SavesAndLoads) {
  const test::TemporaryDirectory directory;
  const IdentityStore store(directory.path());
  ASSERT_TRUE(store.load());
  EXPECT_FALSE(store.load()->has_value()) << "not enrolled";
  ASSERT_TRUE(store.save({.device = DeviceId{"ledger"}, .pending = true, .trust_pem = "roots"}));
  EXPECT_TRUE((*store.load())->pending);
  ASSERT_TRUE(store.save({.device = DeviceId{"ledger"}, .certificate_pem = "chain", .trust_pem = "roots"}));
  const auto identity = store.load();
  ASSERT_TRUE(identity && *identity);
  EXPECT_FALSE((*identity)->pending);
  EXPECT_EQ((*identity)->certificate_pem, "chain");
}

TEST(Identity, DamageIsTold) {
  const test::TemporaryDirectory directory;
  const IdentityStore store(directory.path());
  ASSERT_TRUE(write_file(directory.path() / "identity.json", "{\"device\":3}"));
  EXPECT_FALSE(store.load());
  ASSERT_TRUE(store.load_or_make_keys());
  ASSERT_TRUE(write_file(directory.path() / "wireguard.key", "short", 0600));
  const auto keys = store.load_keys();
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().what.find("short"), std::string::npos) << "a secret is never quoted";
}

}  // namespace identity_test
}  // namespace cordon::node
