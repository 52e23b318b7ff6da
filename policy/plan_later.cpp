#include "policy/plan_later.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "policy/coverage.h"
#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostLaterLines = 50;

auto fields(const Conditions& c) {
  return std::tie(c.assurance, c.auth_age_max, c.trust_min, c.health_min, c.require, c.attestation,
                  c.valid_from, c.valid_until, c.source_networks, c.countries);
}

bool same_later(const std::optional<Hours>& a, const std::optional<Hours>& b) {
  if (!a || !b) return !a && !b;
  return a->windows == b->windows && a->zone->name() == b->zone->name();
}

bool same_later(const Conditions& a, const Conditions& b) {
  return fields(a) == fields(b) && same_later(a.hours, b.hours);
}

bool same_later(const TrustSettings& a, const TrustSettings& b) {
  const auto parts = [](const TrustSettings& t) {
    return std::tie(t.method, t.health, t.weights.identity, t.weights.device, t.weights.behaviour, t.identity,
                    t.tpm_points, t.unattested_health_max);
  };
  return parts(a) == parts(b);
}

bool same_offerings(const std::vector<Offering>& a, const std::vector<Offering>& b) {
  return std::ranges::equal(a, b, [](const Offering& x, const Offering& y) {
    return x.segment == y.segment && x.service == y.service && x.access == y.access;
  });
}

bool same_conditions(const Rule& a, const Rule& b) {
  if (a.effect != b.effect || a.unless.has_value() != b.unless.has_value()) return false;
  return same_later(a.when, b.when) && (!a.unless || same_later(*a.unless, *b.unless));
}

/// Rules that say the same in both policies, and as long, have one number.
struct RuleNumbers {
  std::vector<std::uint32_t> before, after;  ///< by position
};

RuleNumbers number_rules(const PlanContext& c) {
  const std::vector<Rule>&was = c.before.policy().rules, &is = c.after.policy().rules;
  const bool same_trust = same_later(c.before.policy().trust, c.after.policy().trust);
  RuleNumbers out;
  std::map<std::pair<Effect, std::string_view>, std::uint32_t> known;
  for (std::uint32_t i = 0; i < was.size(); ++i) {
    out.before.push_back(i);
    known.emplace(std::pair<Effect, std::string_view>(was[i].effect, was[i].name), i);
  }
  for (std::uint32_t i = 0; i < is.size(); ++i) {
    const auto it = known.find({is[i].effect, is[i].name});
    const bool by_trust = !same_trust && (is[i].when.trust_min || (is[i].unless && is[i].unless->trust_min));
    const bool same = it != known.end() && !by_trust && same_conditions(was[it->second], is[i]) &&
                      was[it->second].responders == is[i].responders &&
                      same_offerings(c.before.offerings(it->second), c.after.offerings(i));
    out.after.push_back(same ? it->second : static_cast<std::uint32_t>(was.size()) + i);
  }
  return out;
}

/// What one rule says of some ports.
struct Claim {
  const Offering* offering = nullptr;
  Timestamp moment{};  ///< an allow's end, a forbid's beginning
};

/// Until when a port is allowed, and by what; null: it isn't.
struct Held {
  Timestamp until;
  const Offering* by = nullptr;
};

/// A principal under one of the policies.
class LaterSide {
 public:
  LaterSide(const PlanSide& side, const Asker& asker, Timestamp now)
      : side_(side), asker_(asker), now_(now), rules_(side.rules_that_select(asker)) {}

  const Positions& rules() const { return rules_; }

  std::vector<Claim> claims(const Positions& segments, bool isolated) {
    std::vector<Claim> out;
    for (const std::uint32_t i : rules_) {
      const Rule& rule = side_.policy().rules[i];
      const bool allow = rule.effect == Effect::allow;
      if (isolated ? !rule.responders : rule.responders && allow) continue;  // P10
      const Timestamp end = asker_.session ? asker_.session->ends_at : kNever;
      for (const Offering& offering : side_.offerings(i)) {
        if (!std::ranges::binary_search(segments, side_.selectors().position_of(offering.segment))) continue;
        const Outlook& is = outlook_of_rule(i);
        if (allow && is.holds) out.push_back({&offering, std::min(is.until, end)});
        if (!allow) out.push_back({&offering, is.holds ? now_ : is.until});
      }
    }
    return out;
  }

  Held held(const std::vector<Claim>& claims, std::uint8_t protocol, std::uint16_t port) const {
    Held out{.until = now_};
    for (const auto& [offering, ends] : claims)
      if (is_allow(offering) && ends > out.until && covers(offering->access, protocol, port))
        out = {ends, offering};
    for (const auto& [offering, begins] : claims)
      if (!is_allow(offering) && covers(offering->access, protocol, port))
        out.until = std::min(out.until, begins);
    return out;
  }

 private:
  const Outlook& outlook_of_rule(std::uint32_t i) {
    const auto [it, fresh] = outlooks_.try_emplace(i);
    if (fresh) it->second = outlook(side_.policy(), side_.policy().rules[i], asker_, now_);
    return it->second;
  }

  const PlanSide& side_;
  const Asker& asker_;
  const Timestamp now_;
  const Positions rules_;
  std::map<std::uint32_t, Outlook> outlooks_;
};

/// Ports of a service that a principal keeps for less long.
struct Shortened {
  std::string segment, service;
  Timestamp until, until_now;
  auto operator<=>(const Shortened&) const = default;
};
using AllShortened = std::map<Shortened, std::vector<Access>>;

/// Where ports may begin to be told apart, by the protocols that are named; and a protocol that isn't, for
/// all the others.
std::map<std::uint8_t, std::set<std::uint32_t>> stretches(const std::vector<Claim>& a,
                                                          const std::vector<Claim>& b) {
  std::map<std::uint8_t, std::set<std::uint32_t>> out;
  for (const auto* claims : {&a, &b})
    for (const Claim& claim : *claims)
      if (const Access& access = claim.offering->access; access.protocol)
        out[*access.protocol].insert({0, access.ports.first, access.ports.last + 1u});
  std::uint8_t other = 0;
  while (out.contains(other)) ++other;
  out[other].insert(0);
  return out;
}

void compare_ends(LaterSide& before, const std::vector<Claim>& was, LaterSide& after,
                  const std::vector<Claim>& is, Timestamp now, AllShortened& out) {
  constexpr std::uint32_t kPorts = 65536;
  for (const auto& [protocol, starts] : stretches(was, is))
    for (auto start = starts.begin(); start != starts.end() && *start < kPorts; ++start) {
      const auto first = static_cast<std::uint16_t>(*start);
      const Held old = before.held(was, protocol, first), then = after.held(is, protocol, first);
      if (then.until <= now || then.until >= old.until) continue;
      const auto next = std::next(start);
      const auto last = static_cast<std::uint16_t>((next == starts.end() ? kPorts : *next) - 1);
      Access access{.protocol = protocol, .ports = {first, last}};
      if (starts.size() == 1) access = {};
      auto& accesses = out[{then.by->segment, then.by->service, then.until, old.until}];
      if (std::ranges::find(accesses, access) == accesses.end()) accesses.push_back(access);
    }
}

/// Segments of which a rule speaks that isn't the same under both policies, or doesn't select the principal
/// under both.
std::set<std::string> segments_to_compare(const PlanContext& c, const RuleNumbers& numbers,
                                          const LaterSide& before, const LaterSide& after) {
  std::map<std::uint32_t, int> sides;
  for (const std::uint32_t i : before.rules()) ++sides[numbers.before[i]];
  for (const std::uint32_t i : after.rules()) ++sides[numbers.after[i]];
  std::set<std::string> out;
  const auto add = [&](const PlanSide& side, const Positions& rules, const std::vector<std::uint32_t>& all) {
    for (const std::uint32_t i : rules)
      if (sides.at(all[i]) == 1)
        for (const Destination& to : side.policy().rules[i].to) out.insert(to.segment);
  };
  add(c.before, before.rules(), numbers.before);
  add(c.after, after.rules(), numbers.after);
  return out;
}

AllShortened shortened_for(const PlanContext& c, const RuleNumbers& numbers, const Asker& asker) {
  AllShortened out;
  LaterSide before(c.before, asker, c.now), after(c.after, asker, c.now);
  const std::set<std::string> segments = segments_to_compare(c, numbers, before, after);
  if (segments.empty()) return out;
  for (const auto& target : c.groups.target_groups()) {
    const bool concerned = std::ranges::any_of(
        target.after, [&](auto s) { return segments.contains(c.after.selectors().name_of(s)); });
    if (!concerned || target.observed_after) continue;
    compare_ends(before, before.claims(target.before, target.isolated), after,
                 after.claims(target.after, target.isolated), c.now, out);
  }
  return out;
}

std::string line_of(const Asker& asker, const Shortened& what) {
  const std::string who = in_words(PlanPrincipal{
      .person = asker.user ? asker.user->name : std::string(), .device = asker.device->id, .session = {}});
  const std::string until = format_rfc3339(what.until);
  if (what.until_now == kNever) return fmt::format("{}: until {}, where there is no end now", who, until);
  return fmt::format("{}: until {} instead of {}", who, until, format_rfc3339(what.until_now));
}

}  // namespace

std::vector<PlanWarning> later_changes(const PlanContext& c) {
  const RuleNumbers numbers = number_rules(c);
  struct Found {
    std::size_t people = 0, machines = 0;
    std::vector<std::string> lines;
  };
  std::map<std::string, Found> found;  // by the ports, in words
  for (const PlanWho& who : c.groups.principals())
    for (auto& [what, accesses] : shortened_for(c, numbers, who.asker)) {
      Found& of_ports = found[in_words(AccessChange{
          .segment = what.segment, .service = what.service, .accesses = accesses, .whole_segment = true})];
      ++(who.asker.user ? of_ports.people : of_ports.machines);
      if (of_ports.lines.size() < kMostLaterLines) of_ports.lines.push_back(line_of(who.asker, what));
    }
  std::vector<PlanWarning> out;
  for (auto& [ports, who] : found)
    out.push_back({.kind = PlanWarning::Kind::ends_earlier,
                   .text = fmt::format("{} would end earlier for {}", ports, crowd(who.people, who.machines)),
                   .lines = std::move(who.lines)});
  return out;
}

}  // namespace cordon::policy
