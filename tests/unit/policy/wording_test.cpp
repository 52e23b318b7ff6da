#include "policy/wording.h"

#include <gtest/gtest.h>

#include "policy/diagnostic.h"

namespace cordon::policy {
namespace wording_test {

TEST(Wording, QuotesSafely) {
  EXPECT_EQ(in_quotes("traders"), "\"traders\"");
  EXPECT_EQ(in_quotes("a\x1b[31mb\n"), "\"a\\u001b[31mb\\u000a\"");
  EXPECT_EQ(in_quotes(std::string(200, 'x')), "\"" + std::string(80, 'x') + "…\"");
  EXPECT_EQ(in_quotes(std::string(79, 'x') + "éz"), "\"" + std::string(79, 'x') + "é…\"")
      << "never half a character";
}

TEST(Wording, CountsEdits) {
  EXPECT_EQ(edit_distance("traders", "traders", 3), 0u);
  EXPECT_EQ(edit_distance("tradres", "traders", 3), 1u) << "neighbours swapped";
  EXPECT_EQ(edit_distance("trader", "traders", 3), 1u);
  EXPECT_EQ(edit_distance("", "abc", 3), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(edit_distance("abcdef", "uvwxyz", 3), 4u) << "past the limit";
}

TEST(Wording, SuggestsOnlyWhatIsNear) {
  EXPECT_EQ(nearest("tradres", {"vendors", "traders"}), "traders");
  EXPECT_EQ(nearest("x", {"vendors", "traders"}), "");
  EXPECT_EQ(nearest("ab", {"ac", "aa"}), "aa") << "the lowest name among equals";
  EXPECT_EQ(nearest("abc", {}), "");
}

TEST(Diagnostic, RendersPlaceSeverityMessageHintsAndOtherPlaces) {
  EXPECT_EQ(render(Diagnostic{.place = {"settlement.toml", 14, 9},
                              .message = "unknown group \"tradres\"",
                              .hints = {"did you mean \"traders\"?"}}),
            "settlement.toml:14:9: error: unknown group \"tradres\"; did you mean \"traders\"?");
  EXPECT_EQ(render(Diagnostic{.severity = Severity::warning, .place = {"a", 0, 0}, .message = "m"}),
            "a: warning: m");
  EXPECT_EQ(render(Diagnostic{.place = {"b", 2, 1}, .message = "twice", .also = {{"a", 1, 1}}}),
            "b:2:1: error: twice (also a:1:1)");
}

}  // namespace wording_test
}  // namespace cordon::policy
