#include "base/result.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "base/ids.h"
#include "base/log.h"

namespace cordon {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(ErrorCode::invalid, "odd", "give an even one");
  return n / 2;
}
Result<int> quarter(int n) {
  CORDON_ASSIGN(const int once, half(n));
  CORDON_ASSIGN(const int twice, half(once));
  return twice;
}
Result<> must_halve(int n) {
  CORDON_TRY(half(n));
  return {};
}

TEST(Result, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().what, "odd");
  EXPECT_TRUE(must_halve(2));
  EXPECT_EQ(must_halve(3).error().code, ErrorCode::invalid);
}

TEST(Error, MessageGoesFromTheOutsideIn) {
  Error error{.code = ErrorCode::io, .what = "can't open", .hint = "run as root"};
  error = in_context(std::move(error), "reading /etc/x");
  error = in_context(std::move(error), "starting");
  EXPECT_EQ(error.message(), "starting: reading /etc/x: can't open; run as root");
  EXPECT_EQ(fail_errno("can't open", ENOENT).error().message(), "can't open: No such file or directory");
}

TEST(Error, EveryCodeHasAWordOfItsOwn) {
  EXPECT_EQ(to_string(ErrorCode::not_found), "not found");
  EXPECT_EQ(to_string(ErrorCode::protocol), "protocol");
}

TEST(Log, ForeignTextCannotStartALineOrSteerATerminal) {
  testing::internal::CaptureStderr();
  log::warning("base.test", "peer said {}", "a\nb\x1b[31m\tc");
  log::debug("base.test", "not shown at the usual level");
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_NE(out.find("warning base.test peer said a\\x0ab\\x1b[31m\\x09c\n"), std::string::npos) << out;
  EXPECT_EQ(std::ranges::count(out, '\n'), 1);
}

}  // namespace
}  // namespace cordon
