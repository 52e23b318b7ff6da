// The examples are what people copy: they parse without a word, pass their own tests, and what their facts
// ask is answered as the lines beside them say.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/files.h"
#include "policy/decide.h"
#include "policy/parse.h"
#include "policy/run_tests.h"

namespace cordon::policy {
namespace examples_test {

namespace fs = std::filesystem;
namespace json = boost::json;

std::vector<fs::path> directories() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(fs::path(CORDON_SOURCE_DIR) / "examples"))
    if (entry.is_directory()) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

/// The situations of the requirements, in their order; other examples are about something else.
bool is_situation(const fs::path& directory) {
  const std::string name = directory.filename().string();
  return name.size() > 3 && std::isdigit(name[0]) != 0 && std::isdigit(name[1]) != 0 && name[2] == '-';
}

std::string text_of(const fs::path& file) {
  const auto text = read_file(file);
  EXPECT_TRUE(text) << text.error().message();
  return text.value_or("");
}

class Example : public testing::TestWithParam<fs::path> {
 protected:
  PolicyPtr policy() {
    const auto files = read_policy_directory(GetParam());
    EXPECT_TRUE(files) << files.error().message();
    if (!files) return nullptr;
    const ParseResult result = parse(*files, system_time_zones());
    for (const Diagnostic& diagnostic : result.diagnostics) ADD_FAILURE() << render(diagnostic);
    return result.policy;
  }
};
INSTANTIATE_TEST_SUITE_P(All, Example, testing::ValuesIn(directories()), [](const auto& info) {
  std::string name = info.param.filename().string();
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST_P(Example, ParsesWithoutErrorsOrWarnings) {
  EXPECT_TRUE(policy());
}

TEST_P(Example, PassesItsOwnTests) {
  const PolicyPtr parsed = policy();
  ASSERT_TRUE(parsed);
  const std::vector<TestResult> results = run_tests(parsed);
  for (const Diagnostic& failure : failures(results)) ADD_FAILURE() << render(failure);
  if (!is_situation(GetParam())) return;
  const auto allowed = std::ranges::count(results, Verdict::allow, &TestResult::expected);
  EXPECT_GE(allowed, 1);
  EXPECT_GE(std::ssize(results) - allowed, 3);
}

/// Each line of expected.jsonl is what the answer to the query in the same place must have, at least.
TEST_P(Example, AnswersItsFactsAsExpected) {
  if (!is_situation(GetParam())) return;
  const PolicyPtr parsed = policy();
  ASSERT_TRUE(parsed);
  const FactsResult read = read_facts({"facts.json", text_of(GetParam() / "facts.json")}, parsed);
  for (const Diagnostic& diagnostic : read.diagnostics) ADD_FAILURE() << render(diagnostic);
  ASSERT_TRUE(read.facts && read.facts->at);
  std::istringstream expected(text_of(GetParam() / "expected.jsonl"));
  std::size_t allowed = 0;
  for (const FactsQuery& query : read.facts->queries) {
    const Decision decision = decide(read.facts->world, query, *read.facts->at);
    const json::object answer = json::parse(answer_line(query, decision, read.facts->offset)).as_object();
    std::string line;
    ASSERT_TRUE(std::getline(expected, line)) << "more queries than expected answers";
    const json::object wanted = json::parse(line).as_object();
    for (const auto& [member, value] : wanted) {
      ASSERT_TRUE(answer.contains(member)) << member;
      EXPECT_EQ(answer.at(member), value) << query.principal << " to " << query.target << ": " << member;
    }
    allowed += decision.verdict == Verdict::allow ? 1u : 0u;
  }
  std::string rest;
  EXPECT_FALSE(std::getline(expected, rest)) << "more expected answers than queries: " << rest;
  EXPECT_GE(allowed, 1u);
  EXPECT_GE(read.facts->queries.size() - allowed, 3u);
}

TEST_P(Example, IsExplainedInBothLanguages) {
  const std::string readme = text_of(GetParam() / "README.md");
  EXPECT_GT(readme.size(), 200u);
  if (is_situation(GetParam())) {
    EXPECT_NE(readme.find("語言無法表達之處"), std::string::npos);
    EXPECT_NE(readme.find("What the language can't say"), std::string::npos);
  }
}

TEST(Examples, ThereIsOneForEachOfTheTwelveSituations) {
  std::set<std::string> numbers;
  for (const fs::path& directory : directories())
    if (is_situation(directory)) numbers.insert(directory.filename().string().substr(0, 2));
  EXPECT_EQ(numbers.size(), 12u);
}

}  // namespace examples_test
}  // namespace cordon::policy
