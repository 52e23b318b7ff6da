// Each golden/NAME.toml is parsed alone, each folder golden/NAME/ as one policy; what is said of it stands in
// NAME.expected. CORDON_UPDATE_GOLDEN=1 writes those files anew, to be read before they are committed.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "policy/parse.h"
#include "policy/run_tests.h"

namespace cordon::policy {
namespace golden_test {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(CORDON_SOURCE_DIR) / "tests/unit/policy/golden";

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<SourceFile> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {{path.filename().string(), content_of(path)}};
  std::vector<SourceFile> files;
  for (const auto& entry : fs::directory_iterator(path))
    files.push_back({entry.path().filename().string(), content_of(entry.path())});
  return files;
}

std::string outcome_of(const fs::path& path) {
  const ParseResult result = parse(files_of(path), system_time_zones());
  std::vector<Diagnostic> failed;
  if (result.ok()) failed = failures(run_tests(result.policy));
  std::string out;
  for (const auto& diagnostics : {result.diagnostics, failed})
    for (const Diagnostic& diagnostic : diagnostics) out += render(diagnostic) + "\n";
  return out + (result.ok() && failed.empty() ? "accepted\n" : "refused\n");
}

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(kGolden))
    if (entry.path().extension() != ".expected") out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

class Golden : public testing::TestWithParam<fs::path> {};

TEST_P(Golden, SaysWhatIsExpected) {
  fs::path expected = GetParam();
  expected.replace_extension(".expected");
  const std::string outcome = outcome_of(GetParam());
  if (std::getenv("CORDON_UPDATE_GOLDEN")) std::ofstream(expected, std::ios::binary) << outcome;
  EXPECT_EQ(outcome, content_of(expected));
}

INSTANTIATE_TEST_SUITE_P(Policy, Golden, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace golden_test
}  // namespace cordon::policy
