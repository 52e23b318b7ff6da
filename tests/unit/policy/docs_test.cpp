// What docs/POLICY.md shows is the language: every example is read, and only names that it leaves to the
// reader are unknown.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "policy/parse.h"

namespace cordon::policy {
namespace docs_test {

struct Example {
  std::string text;
  bool whole = false;  ///< fenced as TOML: a policy of its own
};

std::vector<Example> examples() {
  std::ifstream in(std::string(CORDON_SOURCE_DIR) + "/docs/POLICY.md");
  std::vector<Example> out;
  bool fenced = false, toml = false, indented = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("```")) {
      fenced = !fenced;
      toml = line == "```toml";
      if (toml) out.push_back({.text = {}, .whole = true});
    } else if (fenced) {
      if (toml) out.back().text += line + "\n";
    } else if (line.starts_with("    ")) {
      if (!indented) out.push_back({});
      out.back().text += line.substr(4) + "\n";
      indented = true;
    } else if (!line.empty()) {
      indented = false;
    }
  }
  return out;
}

/// A few lines of a rule as a rule.
std::string completed(const std::string& text) {
  if (text.starts_with("[")) return text;
  std::string rule = "[[allow]]\nname = \"example\"\nfrom = { users = [\"u\"] }\n";
  if (!text.starts_with("to ")) rule += "to = [\"example/*\"]\n";
  return rule + text;
}

bool leaves_to_the_reader(const std::string& message) {
  return std::ranges::any_of(
      std::array{"unknown group", "unknown segment", "unknown device class", "unknown rule"},
      [&](const char* start) { return message.starts_with(start); });
}

TEST(Docs, ExamplesAreTheLanguage) {
  const std::vector<Example> all = examples();
  EXPECT_GT(all.size(), 15u) << "the examples were not found";
  for (const Example& example : all) {
    const ParseResult result = parse({{"POLICY.md", completed(example.text)}}, system_time_zones());
    for (const Diagnostic& diagnostic : result.diagnostics)
      EXPECT_TRUE(diagnostic.severity == Severity::warning || leaves_to_the_reader(diagnostic.message))
          << render(diagnostic) << "\n"
          << example.text;
    if (example.whole) {
      EXPECT_TRUE(result.ok() && result.diagnostics.empty()) << example.text;
    }
  }
}

}  // namespace docs_test
}  // namespace cordon::policy
