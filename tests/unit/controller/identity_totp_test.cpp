#include <gtest/gtest.h>

#include "controller/identity/passwords.h"
#include "controller/identity/slow_down.h"
#include "controller/identity/totp.h"
#include "controller/identity/user_name.h"

namespace cordon::controller {
namespace identity_totp_test {

const Bytes kSecret = [] {
  const std::string_view text = "12345678901234567890";
  return Bytes(text.begin(), text.end());
}();

Timestamp at(std::int64_t seconds) {
  return from_us(seconds * 1'000'000);
}

TEST(Totp, HasTheVectorsOfRfc6238) {
  const std::pair<std::int64_t, const char*> vectors[] = {
      {59, "94287082"},         {1111111109, "07081804"}, {1111111111, "14050471"},
      {1234567890, "89005924"}, {2000000000, "69279037"}, {20000000000, "65353130"}};
  for (const auto& [seconds, code] : vectors)
    EXPECT_EQ(totp_code(kSecret, totp_step(at(seconds)), 8), code) << seconds;
}

TEST(Totp, TakesTheStepBeforeAndAfterAndNoOther) {
  const Timestamp now = at(1'000'000'000);
  const std::uint64_t step = totp_step(now);
  for (const std::uint64_t near : {step - 1, step, step + 1}) {
    EXPECT_EQ(totp_match(kSecret, totp_code(kSecret, near), now, 0), near);
  }
  EXPECT_FALSE(totp_match(kSecret, totp_code(kSecret, step - 2), now, 0));
  EXPECT_FALSE(totp_match(kSecret, totp_code(kSecret, step + 2), now, 0));
}

TEST(Totp, AStepServesOnce) {
  const Timestamp now = at(1'000'000'000);
  const std::uint64_t step = totp_step(now);
  EXPECT_FALSE(totp_match(kSecret, totp_code(kSecret, step), now, step));
  EXPECT_FALSE(totp_match(kSecret, totp_code(kSecret, step - 1), now, step));
  EXPECT_TRUE(totp_match(kSecret, totp_code(kSecret, step + 1), now, step));
}

TEST(Totp, RefusesWhatIsNoCode) {
  for (const char* code : {"", "12345", "1234567", "abcdef", "      "}) {
    EXPECT_FALSE(totp_match(kSecret, code, at(1'000'000'000), 0)) << code;
  }
}

TEST(Totp, UriIsWhatAuthenticatorsRead) {
  EXPECT_EQ(otpauth_uri("ann@acme.example", kSecret),
            "otpauth://totp/Cordon:ann%40acme.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Cordon"
            "&algorithm=SHA1&digits=6&period=30");
  EXPECT_EQ(to_base32(as_bytes("foobar")), "MZXW6YTBOI");  // RFC 4648, section 10
}

TEST(Passwords, HashVerifiesOnlyItsPassword) {
  const auto hash = hash_password("correct horse battery", {.operations = 1, .memory_bytes = 8192});
  ASSERT_TRUE(hash);
  EXPECT_TRUE(hash->starts_with("$argon2id$"));
  EXPECT_TRUE(verify_password(*hash, "correct horse battery"));
  EXPECT_FALSE(verify_password(*hash, "correct horse batterz"));
  EXPECT_FALSE(verify_password("not a hash", "correct horse battery"));
  EXPECT_FALSE(verify_password(std::string(500, 'x'), "correct horse battery"));
}

TEST(Passwords, PolicyCountsCharactersAndNeverQuotes) {
  EXPECT_TRUE(check_password_policy("twelve chars"));
  EXPECT_TRUE(check_password_policy("ééééééé ééééé"));
  EXPECT_FALSE(check_password_policy("éééééé"));  // 12 bytes, 6 characters
  EXPECT_FALSE(check_password_policy("\xff\xfe bytes that are no text"));
  EXPECT_FALSE(check_password_policy(std::string(1025, 'a')));
  EXPECT_TRUE(check_password_policy(std::string(1024, 'a')));
  const auto refused = check_password_policy("hunter2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message().find("hunter2"), std::string::npos);
}

TEST(UserName, IsLikeAMailAddress) {
  for (const char* good : {"ann@acme.example", "a.b+c_d-e@x", "9@9.9"})
    EXPECT_TRUE(check_user_name(good)) << good;
  for (const char* bad :
       {"", "ann", "@acme", "ann@", "a@b@c", ".a@b", "a.@b", "a@-b", "a@b..c", "a b@c", "a@b/c"}) {
    EXPECT_FALSE(check_user_name(bad)) << bad;
  }
  const auto capitals = check_user_name("Ann@Acme.example");
  ASSERT_FALSE(capitals);
  EXPECT_EQ(capitals.error().hint, "write \"ann@acme.example\"");
  EXPECT_EQ(normalized_user_name(" Ann@ACME.example "), "ann@acme.example");
}

TEST(SlowDown, GrowsAfterFiveFailuresUpToFiveMinutes) {
  SlowDown slow;
  const DeviceId device("laptop");
  Timestamp now = at(1'000'000);
  std::vector<long> delays;
  unsigned begins = 0;
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(slow.wait("u-1", device, now), Seconds{0});
    slow.begin("u-1", device, now);
    const auto failure = slow.failed("u-1", device, now);
    delays.push_back(failure.retry_after.count());
    begins += failure.begins_slow_down;
    EXPECT_EQ(slow.wait("u-1", device, now), failure.retry_after);
    now += failure.retry_after;
  }
  EXPECT_EQ(delays, (std::vector<long>{0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}));
  EXPECT_EQ(begins, 1u);
  EXPECT_EQ(slow.wait("u-1", DeviceId("other"), at(1'000'000)), Seconds{0});
  EXPECT_EQ(slow.wait("u-2", device, at(1'000'000)), Seconds{0});
}

TEST(SlowDown, OneAttemptAtATimeAndSuccessForgets) {
  SlowDown slow;
  const DeviceId device("laptop");
  slow.begin("u-1", device, at(0));
  EXPECT_GT(slow.wait("u-1", device, at(0)), Seconds{0});
  slow.abandoned("u-1", device);
  EXPECT_EQ(slow.wait("u-1", device, at(0)), Seconds{0});
  for (int i = 0; i < 8; ++i) slow.failed("u-1", device, at(0));
  slow.succeeded("u-1", device);
  EXPECT_EQ(slow.wait("u-1", device, at(0)), Seconds{0});
  EXPECT_EQ(slow.failed("u-1", device, at(0)).failures, 1u);
}

TEST(SlowDown, IsBoundedAndForgetsAfterQuiet) {
  SlowDown slow({.entries = 3});
  for (int i = 0; i < 10; ++i) slow.failed("u-" + std::to_string(i), DeviceId("d"), at(i));
  EXPECT_EQ(slow.size(), 3u);
  EXPECT_EQ(slow.wait("u-9", DeviceId("d"), at(9 + 3601)), Seconds{0});
  EXPECT_EQ(slow.size(), 2u);
}

}  // namespace identity_totp_test
}  // namespace cordon::controller
