#pragma once
// Rules for what a segment in observe mode let through: the fewest that people would write, and none wider
// than it need be.

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "policy/plan.h"
#include "policy/world.h"

namespace cordon::policy {

struct LearnQuestion {
  std::string segment;
  std::vector<ObservedFlow> flows;  ///< those to other segments' devices are passed over
  std::uint64_t one_off = 1;        ///< what one source did at most so often on a port is left out
};

/// A proposed rule and what it stands for.
struct LearnedRule {
  std::string name;
  Subject from;
  std::vector<std::string> to;  ///< as in the language: "lab/web", "lab tcp/22"
  std::uint64_t flows = 0;
  std::set<std::string> people, machines;  ///< seen
  std::set<std::string> days;              ///< "2026-01-05", UTC
  std::set<std::string> beyond;            ///< people or machines it lets in that weren't seen there
};

/// Flows that no proposed rule is for, and why.
struct LeftOut {
  ObservedFlow flow;
  std::string why;
};

struct Lesson {
  std::string text;  ///< TOML: parses beside the policy's own files; empty of rules when there are none
  std::vector<LearnedRule> rules;
  std::vector<LeftOut> left_out;
  std::uint64_t flows_covered = 0, flows_left_out = 0;
  std::uint64_t flows_allowed = 0;  ///< the policy allows them as it is
};

/// Every flow that isn't left out is allowed by the world's policy with `text` added, as of `now`. Fails when
/// the policy has no such segment.
Result<Lesson> learn(const World& world, const LearnQuestion& question, Timestamp now);

}  // namespace cordon::policy
