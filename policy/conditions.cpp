#include "policy/conditions.h"

#include <algorithm>

#include "policy/condition_keys.h"
#include "policy/week_watch.h"

namespace cordon::policy {
namespace {

/// P3: a missing fact never helps access, and neither does what the method ignores (P5).
bool counts(Truth truth, Effect effect) {
  if (effect == Effect::allow) return truth == Truth::yes || truth == Truth::ignored;
  return truth != Truth::no;
}

/// Something that is so for a while: at least until `until`.
struct Spell {
  bool holds = true;
  Timestamp until = kNever;
  Timestamp once = kNever;  ///< the next change of a condition that, unlike hours, doesn't repeat
};

/// All of them. What holds together ends with the first; what doesn't waits for the last that fails.
Spell both_spells(const Spell& a, const Spell& b) {
  const Timestamp once = std::min(a.once, b.once);
  if (a.holds && b.holds) return {true, std::min(a.until, b.until), once};
  if (a.holds != b.holds) return {false, a.holds ? b.until : a.until, once};
  return {false, std::max(a.until, b.until), once};
}

template <class Counts>
Spell all_of(const Question& question, Timestamp now, Counts count) {
  Spell all;
  for (const ConditionKey key : kKeys) {
    if (!given(question.conditions, key)) continue;
    const Timestamp until = next_change(question, key, now);
    const Timestamp once = key == ConditionKey::hours ? kNever : until;
    all = both_spells(all, {count(truth_of(question, key, now)), until, once});
  }
  return all;
}

/// `unless` is no help when its facts are missing or the method leaves it out.
bool counts_in_unless(Truth truth) {
  return truth == Truth::yes;
}

bool meets_classes(const Policy& policy, const Rule& rule, const Asker& asker) {
  return counts(in_classes(policy, rule.from, *asker.device), rule.effect);
}

/// The rule at one moment, and a time for which that surely stays so.
Spell spell(const Policy& policy, const Rule& rule, const Asker& asker, Timestamp now) {
  const Spell when =
      all_of({policy, rule.when, asker}, now, [&](Truth truth) { return counts(truth, rule.effect); });
  if (!rule.unless) return when;
  const Spell unless = all_of({policy, *rule.unless, asker}, now, counts_in_unless);
  return both_spells(when, {!unless.holds, unless.until, unless.once});
}

const TimeZone* zone_of(const Conditions& conditions) {
  return conditions.hours ? conditions.hours->zone.get() : nullptr;
}

template <class Counts>
bool all_hold(const Question& question, Timestamp now, Counts count) {
  return std::ranges::all_of(kKeys, [&](ConditionKey key) {
    return !given(question.conditions, key) || count(truth_of(question, key, now));
  });
}

}  // namespace

bool holds(const Policy& policy, const Rule& rule, const Asker& asker, Timestamp now) {
  if (!meets_classes(policy, rule, asker)) return false;
  if (!all_hold({policy, rule.when, asker}, now, [&](Truth truth) { return counts(truth, rule.effect); }))
    return false;
  return !rule.unless || !all_hold({policy, *rule.unless, asker}, now, counts_in_unless);
}

Outlook outlook(const Policy& policy, const Rule& rule, const Asker& asker, Timestamp now) {
  if (!meets_classes(policy, rule, asker)) return {.holds = false, .until = kNever};
  const Spell first = spell(policy, rule, asker, now);
  Spell last = first;
  WeekWatch weeks({zone_of(rule.when), rule.unless ? zone_of(*rule.unless) : nullptr}, now);
  for (;;) {
    const Timestamp at = weeks.next(last.until, last.once);
    if (at == kNever) return {first.holds, kNever};
    last = spell(policy, rule, asker, at);
    if (last.holds != first.holds) return {first.holds, at};
  }
}

}  // namespace cordon::policy
