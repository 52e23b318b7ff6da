#include <gtest/gtest.h>

#include "controller/identity/local_identity.h"
#include "controller/identity/totp.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace identity_login_test {

constexpr const char* kPassword = "correct horse battery";

class Login : public ::testing::Test {
 protected:
  void SetUp() override {
    rig.add_device("trader");
    rig.add_device("clerk");
    user = SubjectId(rig.add_user("ann@acme.example", kPassword));
  }

  using Outcome = std::expected<policy::Session, LoginRefused>;
  Outcome log_in(const std::string& name, const std::string& password, const std::string& code,
                 const std::string& device = "trader", std::uint32_t uid = 1000) {
    std::promise<Outcome> promise;
    rig.on_strand([&] {
      rig.identity->log_in(
          {.device = DeviceId(device), .uid = uid, .user = name, .password = password, .totp = code},
          [&](Outcome outcome) { promise.set_value(std::move(outcome)); });
      return 0;
    });
    return promise.get_future().get();
  }
  std::string code() {
    const auto secret = test::must(rig.secrets->get(totp_secret(user)));
    return totp_code(*secret, totp_step(rig.clock.now()));
  }
  std::size_t sessions() {
    return rig.on_strand([&] { return rig.log->world().sessions.size(); });
  }
  std::size_t records_of(const std::string& kind) {
    const auto records = test::must(rig.store.read(Revision{}, 10'000));
    return static_cast<std::size_t>(std::ranges::count(records, kind, &Record::kind));
  }

  test::ApiRig rig;
  SubjectId user;
};

TEST_F(Login, NeedsBothAndOpensASessionAtAal2) {
  EXPECT_FALSE(log_in("ann@acme.example", kPassword, "000000"));
  EXPECT_FALSE(log_in("ann@acme.example", "wrong wrong wrong", code()));
  const auto session = log_in("Ann@Acme.Example", kPassword, code());
  ASSERT_TRUE(session) << session.error().reason;
  EXPECT_EQ(session->assurance, policy::Assurance::aal2);
  EXPECT_EQ(session->user, user);
  EXPECT_EQ(session->ends_at, session->authenticated_at.value() + Seconds{12 * 3600});
  EXPECT_FALSE(session->addresses.v4.is_unspecified());
}

TEST_F(Login, LastsAsLongAsThePolicySays) {
  rig.add(kinds::PolicyApplied{{{"p.toml", "[sessions]\nreauthenticate = \"1h\"\nidle = \"30m\"\n"}}});
  const auto session = log_in("ann@acme.example", kPassword, code());
  ASSERT_TRUE(session) << session.error().reason;
  EXPECT_EQ(session->ends_at, session->authenticated_at.value() + Seconds{3600});
  rig.add(kinds::PolicyApplied{{{"p.toml", "[sessions]\nreauthenticate = \"30m\"\nidle = \"30m\"\n"}}});
  const auto kept = rig.on_strand([&] { return rig.log->world().sessions.at(session->id).ends_at; });
  EXPECT_EQ(kept, session->ends_at);
}

TEST_F(Login, ACodeServesOnceOnAnyDevice) {
  const std::string used = code();
  ASSERT_TRUE(log_in("ann@acme.example", kPassword, used));
  EXPECT_FALSE(log_in("ann@acme.example", kPassword, used));
  EXPECT_FALSE(log_in("ann@acme.example", kPassword, used, "clerk"));
}

TEST_F(Login, ASecondOneClosesTheFirst) {
  const auto first = log_in("ann@acme.example", kPassword, code());
  rig.clock.advance(Seconds{30});
  const auto second = log_in("ann@acme.example", kPassword, code());
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->id, second->id);
  EXPECT_EQ(sessions(), 1u);
  rig.clock.advance(Seconds{30});
  ASSERT_TRUE(log_in("ann@acme.example", kPassword, code(), "trader", 1001));
  EXPECT_EQ(sessions(), 2u);
}

TEST_F(Login, OneAnswerForWhateverIsWrong) {
  const auto password = log_in("ann@acme.example", "wrong wrong wrong", code());
  const auto stranger = log_in("bob@acme.example", kPassword, code());
  const auto wrong_code = log_in("ann@acme.example", kPassword, "000000");
  ASSERT_FALSE(password || stranger || wrong_code);
  EXPECT_EQ(password.error().reason, stranger.error().reason);
  EXPECT_EQ(password.error().reason, wrong_code.error().reason);
}

TEST_F(Login, TenWrongPasswordsSlowThatAccountAndDeviceDownOnly) {
  Seconds longest{0};
  for (int i = 0; i < 10; ++i) {
    const auto refused = log_in("ann@acme.example", "wrong wrong wrong", "000000");
    ASSERT_FALSE(refused);
    longest = std::max(longest, refused.error().retry_after);
    rig.clock.advance(refused.error().retry_after);
  }
  EXPECT_EQ(longest, Seconds{32});
  ASSERT_FALSE(log_in("ann@acme.example", "wrong wrong wrong", "000000"));
  const auto slowed = log_in("ann@acme.example", kPassword, code());  // right, and too early
  ASSERT_FALSE(slowed);
  EXPECT_GT(slowed.error().retry_after, Seconds{0});
  rig.add(kinds::TimeAdvanced{});  // what was proposed before is recorded before
  EXPECT_EQ(records_of("login slowed"), 1u);
  EXPECT_EQ(rig.metrics.counted("logins", "wrong"), 11u);
  EXPECT_EQ(rig.metrics.counted("logins", "slowed"), 1u);
  EXPECT_TRUE(log_in("ann@acme.example", kPassword, code(), "clerk"));
}

TEST_F(Login, UnknownNamesSlowDownLikeKnownOnes) {
  for (int i = 0; i < 5; ++i) log_in("nobody@acme.example", "wrong wrong wrong", "000000");
  const auto slowed = log_in("nobody@acme.example", "wrong wrong wrong", "000000");
  ASSERT_FALSE(slowed);
  EXPECT_EQ(slowed.error().retry_after, Seconds{1});
  EXPECT_TRUE(log_in("ann@acme.example", kPassword, code()));
}

TEST_F(Login, DisabledPeopleAndIsolatedDevicesAreRefused) {
  rig.add(kinds::DeviceIsolated{DeviceId("clerk"), "test"});
  const auto isolated = log_in("ann@acme.example", kPassword, code(), "clerk");
  ASSERT_FALSE(isolated);
  EXPECT_NE(isolated.error().reason.find("isolated"), std::string::npos);
  EXPECT_FALSE(log_in("ann@acme.example", kPassword, code(), "no-such-device"));
  rig.add(kinds::UserDisabled{.user = user});
  EXPECT_FALSE(log_in("ann@acme.example", kPassword, code()));
}

TEST_F(Login, AStorageThatDoesNotWriteIsToldAndCountsAsNoFailure) {
  rig.store.set_trouble(Error{ErrorCode::unavailable, "the disk is full"});
  const auto refused = log_in("ann@acme.example", kPassword, code());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().reason.find("disk is full"), std::string::npos);
  EXPECT_EQ(sessions(), 0u);
  rig.store.set_trouble(std::nullopt);
  rig.clock.advance(Seconds{30});
  EXPECT_TRUE(log_in("ann@acme.example", kPassword, code()));
}

TEST_F(Login, LogOutClosesTheSession) {
  const auto session = log_in("ann@acme.example", kPassword, code());
  ASSERT_TRUE(session);
  std::promise<Result<>> promise;
  rig.on_strand([&] {
    rig.identity->log_out(session->id, "device:trader", "logged out",
                          [&](Result<> done) { promise.set_value(done); });
    return 0;
  });
  EXPECT_TRUE(promise.get_future().get());
  EXPECT_EQ(sessions(), 0u);
}

TEST_F(Login, NamesAreAddedOnceAndSecretsStayOutOfTheLog) {
  EXPECT_THROW(rig.add_user("ann@acme.example", kPassword), std::runtime_error);
  EXPECT_THROW(rig.add_user("bob", kPassword), std::runtime_error);
  EXPECT_THROW(rig.add_user("bob@acme.example", "short"), std::runtime_error);
  for (const Record& record : test::must(rig.store.read(Revision{}, 10'000))) {
    EXPECT_EQ(record.payload.find("ann@acme.example"), std::string::npos);
    EXPECT_EQ(record.payload.find("argon2"), std::string::npos);
  }
}

}  // namespace identity_login_test
}  // namespace cordon::controller
