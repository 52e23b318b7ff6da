#include "policy/learn_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostLearntNames = 5;
constexpr std::size_t kMostLeftOut = 100;

/// A basic string of TOML.
std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

/// A key as people write it: bare where that is allowed.
std::string toml_key(const std::string& name) {
  const bool bare = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  return bare ? name : toml_text(name);
}

template <class Names>
std::string toml_list(const Names& names) {
  std::vector<std::string> out;
  out.reserve(names.size());
  for (const std::string& name : names) out.push_back(toml_text(name));
  return fmt::format("[{}]", fmt::join(out, ", "));
}

/// Lines of a comment; control characters, which a comment can't hold, as '?'.
std::string comment(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return "# " + text + "\n";
}

std::string some(const std::set<std::string>& names) {
  return listed({names.begin(), names.end()}, names.size(), kMostLearntNames);
}

std::string from_text(const Subject& from) {
  std::vector<std::string> parts;
  const auto add = [&](const char* key, const std::set<std::string>& names) {
    if (!names.empty()) parts.push_back(fmt::format("{} = {}", key, toml_list(names)));
  };
  add("groups", from.groups);
  add("users", from.users);
  add("segments", from.segments);
  add("tags", from.tags);
  return fmt::format("{{ {} }}", fmt::join(parts, ", "));
}

std::string rule_text(const LearnedRule& rule) {
  std::vector<std::string> who;
  if (!rule.people.empty())
    who.push_back(fmt::format("{} ({})", counted(rule.people.size(), "person", "people"), some(rule.people)));
  if (!rule.machines.empty())
    who.push_back(fmt::format("{} ({})", counted(rule.machines.size(), "machine"), some(rule.machines)));
  std::string out =
      comment(fmt::format("{} by {} on {}, last on {}.", counted(rule.flows, "flow"), fmt::join(who, " and "),
                          counted(rule.days.size(), "day"), rule.days.empty() ? "-" : *rule.days.rbegin()));
  if (!rule.beyond.empty())
    out += comment(fmt::format("It also lets in {} not seen doing so: {}.",
                               counted(rule.beyond.size(), rule.people.empty() ? "machine" : "person",
                                       rule.people.empty() ? "machines" : "people"),
                               some(rule.beyond)));
  return out + fmt::format("[[allow]]\nname = {}\nfrom = {}\nto = {}\n\n", toml_text(rule.name),
                           from_text(rule.from), toml_list(rule.to));
}

std::string left_out_text(const World& world, const Lesson& lesson) {
  if (lesson.left_out.empty()) return "";
  std::string out = comment(fmt::format("Left out, {}:", counted(lesson.flows_left_out, "flow")));
  std::size_t shown = 0;
  for (const LeftOut& left : lesson.left_out) {
    if (shown++ == kMostLeftOut) break;
    out += comment(fmt::format("  {} ({})", in_words(world, left.flow), left.why));
  }
  if (lesson.left_out.size() > kMostLeftOut)
    out += comment(fmt::format("  and {} more", with_commas(lesson.left_out.size() - kMostLeftOut)));
  return out;
}

}  // namespace

std::string text_of(const World& world, const LearnQuestion& question, const Lesson& lesson,
                    const LearnedSegments& segments) {
  std::string out = comment(fmt::format("Proposed for segment {}: {} covers {} that the policy didn't allow.",
                                        question.segment, counted(lesson.rules.size(), "rule"),
                                        counted(lesson.flows_covered, "recorded flow")));
  if (lesson.rules.size() != 1) out.replace(out.find(" covers "), 8, " cover ");
  if (lesson.flows_allowed > 0)
    out += comment(fmt::format("{} more are allowed already.", with_commas(lesson.flows_allowed)));
  if (!lesson.rules.empty())
    out += comment(
        "Read it, put it beside the policy's other files, plan and apply that; then let the segment "
        "enforce.");
  out += "\n";
  for (const auto& [name, devices] : segments) {
    std::vector<std::string> members;
    for (const std::string& device : devices) members.push_back("device:" + device);
    out += comment("Machines without a tag or a segment; a tag would read better.");
    out += fmt::format("[segments.{}]\nmembers = {}\nunderlay = \"open\"\n\n", toml_key(name),
                       toml_list(members));
  }
  for (const LearnedRule& rule : lesson.rules) out += rule_text(rule);
  return out + left_out_text(world, lesson);
}

}  // namespace cordon::policy
