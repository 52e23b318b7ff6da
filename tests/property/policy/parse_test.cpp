// Laws of parse(): it always ends, and what it accepts it accepts whole.

#include "policy/parse.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/property/policy/draw.h"
#include "tests/support/describe_policy.h"

namespace cordon::test {
namespace parse_test {

/// A policy text with a few bytes changed, dropped or doubled.
std::string damaged(WorldGen& gen) {
  std::string text;
  for (const std::string& stanza : gen.definitions()) text += stanza;
  for (const std::string& stanza : gen.rules()) text += stanza;
  for (std::uint32_t n = 1 + gen.number(4); n > 0; --n) {
    const std::size_t at = gen.number(static_cast<std::uint32_t>(text.size()));
    switch (gen.number(3)) {
      case 0:
        text[at] = static_cast<char>(gen.number(256));
        break;
      case 1:
        text.erase(at, 1 + gen.number(8));
        break;
      default:
        text.insert(at, text.substr(at, 1 + gen.number(8)));
    }
    if (text.empty()) text = "x";
  }
  return text;
}

RC_GTEST_PROP(Parse, damaged_text_gives_a_policy_or_an_error_with_its_place, ()) {
  WorldGen gen(drawn(), {.conditions = true});
  const auto parsed = policy::parse({{"damaged.toml", damaged(gen)}}, system_time_zones());
  const bool failed = std::ranges::any_of(
      parsed.diagnostics, [](const policy::Diagnostic& d) { return d.severity == policy::Severity::error; });
  RC_ASSERT(parsed.ok() != failed);
  for (const policy::Diagnostic& diagnostic : parsed.diagnostics) {
    RC_ASSERT(diagnostic.place.file == "damaged.toml");
    RC_ASSERT(diagnostic.place.line > 0u);
    RC_ASSERT(diagnostic.place.column > 0u);
  }
}

/// The stanzas in an order of their own, over some files.
std::vector<SourceFile> scattered(WorldGen& gen, std::vector<std::string> stanzas) {
  for (std::uint32_t i = 0; i + 1 < stanzas.size(); ++i)
    std::swap(stanzas[i], stanzas[i + gen.number(static_cast<std::uint32_t>(stanzas.size()) - i)]);
  std::vector<SourceFile> files(1 + gen.number(4));
  for (std::size_t i = 0; i < files.size(); ++i) files[i].name = fmt::format("{}.toml", i);
  for (const std::string& stanza : stanzas)
    files[gen.number(static_cast<std::uint32_t>(files.size()))].text += stanza + "\n";
  return files;
}

std::vector<std::string> messages_of(const policy::ParseResult& parsed) {
  std::vector<std::string> out;
  for (const policy::Diagnostic& diagnostic : parsed.diagnostics) out.push_back(diagnostic.message);
  std::ranges::sort(out);
  return out;
}

// P1.
RC_GTEST_PROP(Parse, the_order_of_files_and_rules_never_matters, ()) {
  WorldGen gen(drawn(), {.conditions = true});
  std::vector<std::string> stanzas = gen.definitions();
  for (std::string& rule : gen.rules()) stanzas.push_back(std::move(rule));
  stanzas.push_back(
      "[[test]]\nname = \"t\"\nwho = { user = \"u0@acme.example\" }\naccess = \"s0/a\"\nexpect = \"deny\"\n");
  stanzas.push_back("[sessions]\nidle = \"20m\"\n");
  const auto once = policy::parse(scattered(gen, stanzas), system_time_zones());
  const auto again = policy::parse(scattered(gen, stanzas), system_time_zones());
  RC_ASSERT(once.ok() && again.ok());
  RC_ASSERT(describe(*once.policy) == describe(*again.policy));
  RC_ASSERT(messages_of(once) == messages_of(again));
}

RC_GTEST_PROP(Parse, every_generated_policy_is_accepted, ()) {
  WorldGen gen(drawn());
  const policy::World world = gen.world().world();
  RC_ASSERT(world.policy->segments.size() == 3u);
}

}  // namespace parse_test
}  // namespace cordon::test
