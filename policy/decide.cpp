#include "policy/decide.h"

#include <boost/json.hpp>

namespace cordon::policy {
namespace {

namespace json = boost::json;

/// allow < deny < forbid.
bool stricter(const Decision& a, const Decision& b) {
  if (a.verdict != b.verdict) return a.verdict > b.verdict;
  return a.deadline < b.deadline;
}

json::value or_null(const std::optional<int>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::object because_of(const Because& because) {
  json::array failed;
  for (const auto& [condition, needed, found] : because.failed)
    failed.push_back(json::object{{"condition", condition}, {"needed", needed}, {"found", found}});
  return {{"rule", because.rule}, {"holds", because.holds}, {"failed", std::move(failed)}};
}

/// Minutes east of UTC, by a suffix of RFC 3339.
std::chrono::minutes minutes_of(std::string_view offset) {
  if (offset.size() != 6) return std::chrono::minutes(0);
  const auto two_digits = [&](std::size_t at) { return (offset[at] - '0') * 10 + (offset[at + 1] - '0'); };
  const int minutes = two_digits(1) * 60 + two_digits(4);
  return std::chrono::minutes(offset[0] == '-' ? -minutes : minutes);
}

}  // namespace

Decision decide(const World& world, const FactsQuery& query, Timestamp now) {
  Decision strictest = evaluate(world, query.asks.front(), now);
  for (std::size_t i = 1; i < query.asks.size(); ++i)
    if (Decision next = evaluate(world, query.asks[i], now); stricter(next, strictest))
      strictest = std::move(next);
  return strictest;
}

std::string answer_line(const FactsQuery& query, const Decision& decision, std::string_view offset) {
  json::object line{{"principal", query.principal},
                    {"target", query.target},
                    {"access", query.access},
                    {"verdict", to_string(decision.verdict)},
                    {"rule", nullptr},
                    {"deadline", nullptr},
                    {"health", or_null(decision.health)},
                    {"trust", or_null(decision.trust)}};
  if (!decision.rule.empty()) line["rule"] = decision.rule;
  if (decision.verdict == Verdict::allow) line["deadline"] = format_with_offset(decision.deadline, offset);
  json::array because;
  for (const Because& one : decision.because) because.push_back(because_of(one));
  line["because"] = std::move(because);
  if (decision.observed) line["observed"] = true;
  if (!decision.reason.empty()) line["reason"] = decision.reason;
  return json::serialize(line);
}

std::string format_with_offset(Timestamp t, std::string_view offset) {
  std::string text = format_rfc3339(t + minutes_of(offset));
  if (t == kNever || !text.ends_with('Z')) return text;
  text.pop_back();
  return text.append(offset);
}

}  // namespace cordon::policy
