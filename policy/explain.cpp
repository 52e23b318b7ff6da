#include "policy/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "policy/coverage.h"
#include "policy/plan_words.h"
#include "policy/recorded_askers.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostAnswers = 100;
constexpr std::size_t kMostParts = 1'000;  ///< of one access that are judged
const DeviceId kImagined{"a-new-member"};

/// One access that is asked about, and what people call it.
struct ExplainGoal {
  std::string service;  ///< "" for an ad-hoc access
  Access access;
};

std::string suggestion(std::string_view text, const auto& named, std::string_view otherwise) {
  std::vector<std::string_view> names;
  names.reserve(named.size());
  for (const auto& [name, value] : named) names.push_back(name);
  const std::string near = nearest(text, names);
  return near.empty() ? std::string(otherwise) : fmt::format("did you mean \"{}\"?", near);
}

Result<std::vector<ExplainGoal>> goals_of(const Segment& segment, const std::string& name,
                                          std::string_view service) {
  std::vector<ExplainGoal> goals;
  for (const auto& [known, accesses] : segment.services)
    if (service == "*" || service == known)
      for (const Access& access : accesses) goals.push_back({.service = known, .access = access});
  if (!goals.empty()) return goals;
  if (service == "*")
    return fail(ErrorCode::not_found, fmt::format("segment {} has no services", in_quotes(name)),
                fmt::format("ask for a port: \"{} tcp/443\"", name));
  return fail(ErrorCode::not_found,
              fmt::format("segment {} has no service {}", in_quotes(name), in_quotes(service)),
              suggestion(service, segment.services, fmt::format("or ask for a port: \"{} tcp/443\"", name)));
}

struct ExplainTo {
  std::string segment;
  std::vector<ExplainGoal> goals;
};

Result<ExplainTo> parse_to(const Policy& policy, const std::string& to) {
  const std::size_t end = to.find_first_of("/ ");
  if (end == std::string::npos || end + 1 == to.size())
    return fail(ErrorCode::invalid, fmt::format("{} names no service", in_quotes(to)),
                "write \"SEGMENT/SERVICE\", \"SEGMENT/*\" or \"SEGMENT tcp/443\"");
  ExplainTo asked{.segment = to.substr(0, end), .goals = {}};
  const std::string rest = to.substr(end + 1);
  const auto segment = policy.segments.find(asked.segment);
  if (segment == policy.segments.end())
    return fail(ErrorCode::not_found, fmt::format("the policy has no segment {}", in_quotes(asked.segment)),
                suggestion(asked.segment, policy.segments, "`cordon policy show` shows them"));
  if (to[end] == '/') {
    CORDON_ASSIGN(asked.goals, goals_of(segment->second, asked.segment, rest));
    return asked;
  }
  CORDON_ASSIGN(const auto accesses, parse_access(rest));
  for (const Access& access : accesses) asked.goals.push_back({.service = "", .access = access});
  return asked;
}

/// Only what evaluate() looks at for this question.
class Explainer {
 public:
  Explainer(const World& world, const ExplainQuestion& question, Timestamp now)
      : world_(world), question_(question), now_(now) {
    small_.policy = world.policy;
  }

  Result<Explanation> explain() {
    CORDON_TRY(add_asker());
    CORDON_ASSIGN(const ExplainTo asked, parse_to(*world_.policy, question_.to));
    for (const auto& [target, alike] : targets_in(asked.segment))
      for (const ExplainGoal& goal : asked.goals) answer(asked.segment, goal, target, alike);
    return std::move(out_);
  }

 private:
  Result<> add_asker() {
    const auto device = world_.devices.find(question_.device);
    if (device == world_.devices.end())
      return fail(ErrorCode::not_found,
                  fmt::format("there is no device {}", in_quotes(question_.device.value)));
    if (device->second.is_behind())
      return fail(ErrorCode::invalid,
                  fmt::format("{} stands behind {} and begins nothing", in_quotes(question_.device.value),
                              in_quotes(device->second.gateway.value)),
                  "ask about a device with a daemon");
    small_.devices.emplace(device->first, device->second);
    principal_ = question_.device;
    out_.who = in_words(PlanPrincipal{.person = "", .device = question_.device, .session = {}});
    if (question_.user.value.empty()) return {};
    const auto user = world_.users.find(question_.user);
    if (user == world_.users.end())
      return fail(ErrorCode::not_found, fmt::format("there is no user {}", in_quotes(question_.user.value)));
    small_.users.emplace(user->first, user->second);
    out_.who =
        in_words(PlanPrincipal{.person = user->second.name.empty() ? user->first.value : user->second.name,
                               .device = question_.device,
                               .session = {}});
    const Session* open = nullptr;  // the latest login, if there are several
    for (const SessionId& id : world_.sessions.on(question_.device)) {
      const Session& session = world_.sessions.at(id);
      if (session.user == question_.user && now_ < session.ends_at &&
          (open == nullptr || open->authenticated_at < session.authenticated_at))
        open = &session;
    }
    if (open != nullptr) {
      out_.session = open->id;
    } else {
      out_.imagined = question_.assurance;
    }
    const Session session =
        open ? *open : would_be_session(world_, user->second, question_.device, question_.assurance, now_);
    principal_ = session.id;
    small_.sessions.put(session);
    return {};
  }

  /// One device of each kind: what is decided depends on a target's segments and isolation alone.
  std::map<DeviceId, std::size_t> targets_in(const std::string& segment) {
    std::map<std::pair<std::set<std::string>, bool>, std::pair<DeviceId, std::size_t>> kinds;
    const std::vector<Member>& members = world_.policy->segments.at(segment).members;
    for (const auto& [id, device] : world_.devices) {
      const bool member = std::ranges::any_of(members, [&](const Member& m) {
        return m.kind == Member::Kind::tag ? device.tags.contains(m.name) : id.value == m.name;
      });
      if (!member || !device.is_target()) continue;
      auto segments = segments_of(world_, device);
      auto [kind, fresh] = kinds.try_emplace({std::move(segments), device.cut_off()}, id, 0);
      ++kind->second.second;
    }
    std::map<DeviceId, std::size_t> out;
    for (const auto& [kind, devices] : kinds) {
      out.insert(devices);
      small_.devices.emplace(devices.first, world_.devices.at(devices.first));
    }
    if (!out.empty()) return out;
    Device plain{.id = kImagined, .state = DeviceState::active};
    for (const Member& member : members) {
      if (member.kind == Member::Kind::tag) plain.tags.insert(member.name);
      if (member.kind == Member::Kind::device) plain.id = DeviceId(member.name);
      break;
    }
    out.emplace(plain.id, 0);
    small_.devices.emplace(plain.id, plain);
    return out;
  }

  /// A range of ports may be decided by several rules: each part of it is answered by itself.
  void answer(const std::string& segment, const ExplainGoal& goal, const DeviceId& target,
              std::size_t alike) {
    const std::string what = goal.service.empty() ? segment : fmt::format("{}/{}", segment, goal.service);
    std::optional<Access> open;  // the part that the last answer is about
    std::size_t asked = 0;
    for (const Access& part : parts_of(goal.access)) {
      if (++asked > kMostParts) {
        ++out_.left_out;
        return;
      }
      const Query query{.principal = principal_,
                        .target = target,
                        .protocol = part.protocol.value_or(kTcp),
                        .port = part.protocol ? part.ports.first : std::uint16_t{1}};
      Decision decision = evaluate(small_, query, now_);
      if (open && same_answer(out_.answers.back().decision, decision)) {
        open->ports.last = part.ports.last;
      } else if (out_.answers.size() == kMostAnswers) {
        ++out_.left_out;
        return;
      } else {
        open = part;
        out_.answers.push_back({.target = target,
                                .alike = std::max<std::size_t>(alike, 1),
                                .imagined = alike == 0,
                                .what = {},
                                .query = query,
                                .decision = std::move(decision)});
      }
      out_.answers.back().what = fmt::format("{} {}", what, to_string(*open));
    }
  }

  static bool same_answer(const Decision& a, const Decision& b) {
    return a.verdict == b.verdict && a.rule == b.rule && a.reason == b.reason && a.deadline == b.deadline;
  }

  /// Within each of these parts no rule names one port and not another.
  std::vector<Access> parts_of(const Access& access) const {
    if (!access.protocol || access.ports.first == access.ports.last) return {access};
    std::set<std::uint32_t> starts{access.ports.first};
    for (const Rule& rule : small_.policy->rules)
      for (const Destination& to : rule.to)
        for (const Access& named : accesses_of(*small_.policy, to)) {
          if (named.protocol != access.protocol) continue;
          for (const std::uint32_t start : {named.ports.first + 0u, named.ports.last + 1u})
            if (start > access.ports.first && start <= access.ports.last) starts.insert(start);
        }
    std::vector<Access> parts;
    for (auto start = starts.begin(); start != starts.end(); ++start) {
      const auto next = std::next(start);
      const std::uint32_t last = next == starts.end() ? access.ports.last : *next - 1;
      parts.push_back({.protocol = access.protocol,
                       .ports = {static_cast<std::uint16_t>(*start), static_cast<std::uint16_t>(last)}});
    }
    return parts;
  }

  const World& world_;
  const ExplainQuestion& question_;
  const Timestamp now_;
  World small_;
  PrincipalRef principal_;
  Explanation out_;
};

std::string reason_in_words(const std::string& reason) {
  if (reason == "isolated") return "its device is isolated";
  if (reason == "disabled user") return "the user is disabled";
  if (reason == "session ended") return "the session has ended";
  if (reason == "unknown principal") return "the device is not active";
  return reason;
}

std::string verdict_in_words(const Decision& decision) {
  switch (decision.verdict) {
    case Verdict::allow:
      return fmt::format("rule \"{}\" allows it until {}", decision.rule, format_rfc3339(decision.deadline));
    case Verdict::forbid:
      return fmt::format("rule \"{}\" forbids it", decision.rule);
    case Verdict::deny:
      break;
  }
  if (!decision.reason.empty()) return reason_in_words(decision.reason);
  return decision.because.empty() ? "no rule speaks of it" : "no rule that speaks of it holds";
}

std::string where(const Explanation::Answer& answer) {
  if (answer.imagined) return "a device of it (there is none yet)";
  if (answer.alike == 1) return answer.target.value;
  return fmt::format("{} and {} like it", answer.target.value, with_commas(answer.alike - 1));
}

}  // namespace

Result<Explanation> explain(const World& world, const ExplainQuestion& question, Timestamp now) {
  return Explainer(world, question, now).explain();
}

std::vector<std::string> lines_of(const Explanation& explanation) {
  std::vector<std::string> out;
  if (explanation.imagined)
    out.push_back(fmt::format("{} is not signed in; this is what a login at {} would give now:",
                              explanation.who, to_string(*explanation.imagined)));
  for (const auto& answer : explanation.answers) {
    const Decision& decision = answer.decision;
    std::string line = fmt::format("{} {} reach {} at {}: {}", explanation.who,
                                   decision.verdict == Verdict::allow ? "may" : "may not", answer.what,
                                   where(answer), verdict_in_words(decision));
    if (decision.observed && decision.verdict != Verdict::allow)
      line += "; it is let through all the same, for the segment only observes";
    out.push_back(std::move(line));
    for (const Because& because : decision.because) {
      if (because.holds && because.rule != decision.rule)
        out.push_back(fmt::format("  \"{}\" holds too", because.rule));
      for (const FailedCondition& failed : because.failed)
        out.push_back(fmt::format("  \"{}\" needs {} {}, found {}", because.rule, failed.condition,
                                  failed.needed, failed.found));
    }
  }
  if (explanation.left_out > 0) out.push_back(fmt::format("and {} more", with_commas(explanation.left_out)));
  return out;
}

}  // namespace cordon::policy
