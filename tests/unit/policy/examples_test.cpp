// The examples are what people copy: they parse without a word.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "policy/parse.h"

namespace cordon::policy {
namespace {

namespace fs = std::filesystem;

TEST(Examples, ParseWithoutErrorsOrWarnings) {
  int policies = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(CORDON_SOURCE_DIR) / "examples")) {
    if (!entry.is_directory()) continue;
    ++policies;
    const auto files = read_policy_directory(entry.path());
    ASSERT_TRUE(files) << files.error().message();
    const ParseResult result = parse(*files, system_time_zones());
    EXPECT_TRUE(result.ok()) << entry.path();
    for (const Diagnostic& diagnostic : result.diagnostics) ADD_FAILURE() << render(diagnostic);
  }
  EXPECT_GE(policies, 1);
}

}  // namespace
}  // namespace cordon::policy
