// Every message and hint of the policy's diagnostics stands in a golden file: the text is looked for in the
// sources, so that a new diagnostic without one fails here.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace cordon::policy {
namespace golden_coverage_test {

namespace fs = std::filesystem;

const fs::path kSource = CORDON_SOURCE_DIR;

/// What no small text of a policy can bring about; see parse_test.cpp and the tests of facts files.
constexpr std::array kElsewhere{
    "the file holds {} bytes; at most {} are read",
    "split it into several files",
    "the file can't be read: {}",
    "a policy holds at most {} values, and here are more",
    "{} more are not told",
    "Error while parsing ",  // of the parser
    "invalid TOML: {}",      // should the parser begin otherwise one day
    "\"hours\" holds {} windows; at most {} are read",
    "this machine has no time zones: install tzdata",
    "a value",    // of no kind that there is
    "a session",  // of facts files
};

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

bool speaks(const fs::path& path) {
  const std::string name = path.filename().string();
  if (path.extension() != ".cpp") return false;
  return std::ranges::any_of(std::array{"parse", "read", "resolve", "warn", "toml_"},
                             [&](const char* start) { return name.starts_with(start); });
}

/// The texts of a source file that are made of words, neighbours joined as the compiler joins them.
std::vector<std::string> texts_of(const std::string& source) {
  static const std::regex comments(R"(//[^\n]*)"),
      kText(R"re("((?:[^"\\\n]|\\.)*)"(?:\s*"((?:[^"\\\n]|\\.)*)")*)re"), kWords(R"re([a-z}"] [a-z{"\[])re"),
      piece(R"re("((?:[^"\\\n]|\\.)*)")re");
  const std::string code = std::regex_replace(source, comments, "");
  std::vector<std::string> texts;
  for (std::sregex_iterator it(code.begin(), code.end(), kText), end; it != end; ++it) {
    const std::string whole = it->str();
    std::string text;
    for (std::sregex_iterator part(whole.begin(), whole.end(), piece); part != end; ++part)
      text += (*part)[1].str();
    for (std::size_t at = 0; (at = text.find('\\', at)) != std::string::npos; ++at) text.erase(at, 1);
    if (std::regex_search(text, kWords)) texts.push_back(text);
  }
  return texts;
}

/// Does the line hold the text, with anything for its placeholders?
bool holds(const std::string& line, const std::string& text) {
  std::size_t at = 0, from = 0;
  while (from <= text.size()) {
    const std::size_t open = std::min(text.find('{', from), text.size());
    std::string fixed = text.substr(from, open - from);
    at = line.find(fixed, at);
    if (at == std::string::npos) return false;
    at += fixed.size();
    from = std::min(text.find('}', open), text.size()) + 1;
  }
  return true;
}

TEST(GoldenCoverage, EveryMessageStandsInAGoldenFile) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::directory_iterator(kSource / "tests/unit/policy/golden")) {
    if (entry.path().extension() != ".expected") continue;
    std::istringstream in(content_of(entry.path()));
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "policy")) {
    if (!speaks(entry.path())) continue;
    for (const std::string& text : texts_of(content_of(entry.path()))) {
      ++count;
      if (std::ranges::find(kElsewhere, text) != kElsewhere.end()) continue;
      EXPECT_TRUE(std::ranges::any_of(lines, [&](const std::string& line) { return holds(line, text); }))
          << entry.path().filename().string() << ": no golden file shows \"" << text << "\"";
    }
  }
  EXPECT_GT(count, 100u) << "the texts were not found";
}

}  // namespace golden_coverage_test
}  // namespace cordon::policy
