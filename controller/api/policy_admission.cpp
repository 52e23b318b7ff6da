#include "controller/api/policy_admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "controller/api/answers.h"
#include "controller/api/policy_plan.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/world/validate_policy.h"
#include "policy/selectors.h"
#include "proto/features.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

/// What a node must understand to enforce any policy. Rules that need more of it add it here.
constexpr std::array kNeeded = {wire::kFeatureState1};

/// Devices that the policy's segments or rules speak of, and those that people with rules are signed in on.
std::set<DeviceId> concerned(const policy::World& world, const policy::Policy& policy) {
  const policy::Selectors selectors(policy);
  std::set<DeviceId> all;
  for (const auto& [id, device] : world.devices) {
    if (device.state != policy::DeviceState::active) continue;
    const policy::Positions segments = selectors.segments_of(device);
    if (!segments.empty() || !selectors.rules_of(device, segments).empty())
      all.insert(device.is_behind() ? device.gateway : id);
  }
  for (const auto& [id, session] : world.sessions) {
    const auto user = world.users.find(session.user);
    if (user != world.users.end() && !selectors.rules_of(session, user->second).empty())
      all.insert(session.device);
  }
  return all;
}

/// In force from its record on.
void record(Services& services, const Call& call, PolicyInput input, json::object extra,
            const Respond& respond) {
  if (const auto free = check_none_pending(services); !free) return respond(problem(free.error()));
  const Seconds within{call.number("confirm_within_s", kUsualConfirmation.count())};
  const Timestamp confirm_by = services.clock.now() + within;
  extra["confirm_by"] = format_rfc3339(confirm_by);
  extra["diagnostics"] = views(input.parsed.diagnostics);
  commit(
      services, call,
      kinds::PolicyApplied{
          .files = std::move(input.files), .confirm_by = confirm_by, .tzdata = system_time_zones().version()},
      std::move(extra), respond, input.parsed.policy);
}

}  // namespace

Result<> check_enforceable(const policy::World& world, const policy::Policy& policy,
                           const Distribution::Told& nodes) {
  const std::set<DeviceId> devices = concerned(world, policy);
  for (const auto& [id, node] : nodes) {
    if (!node.features || !devices.contains(node.device)) continue;
    for (const std::string_view needed : kNeeded) {
      if (node.features->contains(std::string(needed))) continue;
      return fail(ErrorCode::conflict,
                  fmt::format("the node of \"{}\" can't enforce this policy: it doesn't understand \"{}\"",
                              node.device.value, needed),
                  fmt::format("upgrade cordon-node on \"{}\", or take it out of the segments and rules",
                              node.device.value));
    }
  }
  return {};
}

Result<> check_none_pending(const Services& services) {
  const policy::World& world = services.log.world();
  if (!world.pending) return {};
  const std::uint64_t revision = world.policy_revision.value;
  const PolicyEntry* entry = services.log.policies().find(world.policy_revision);
  return fail(
      ErrorCode::conflict,
      fmt::format("policy revision {}, applied by {}, waits for confirmation until {}", revision,
                  entry == nullptr ? std::string("somebody") : actor_name(world, entry->applied.actor),
                  format_rfc3339(world.pending->confirm_by)),
      fmt::format("confirm it (cordon policy confirm {}) or take it back (cordon policy rollback) first",
                  revision));
}

Field confirm_within_field() {
  return {.name = "confirm_within_s",
          .type = Type::integer,
          .about = "how long it waits for its confirmation before the one before comes back (default 300)",
          .minimum = kShortestConfirmation.count(),
          .maximum = kLongestConfirmation.count()};
}

void put_in_force(Services& services, const Call& call, std::vector<SourceFile> files, json::object extra,
                  Respond respond) {
  if (const auto free = check_none_pending(services); !free) return respond(problem(free.error()));
  parse_aside(services, std::move(files), [&services, call, extra, respond](PolicyInput input) {
    if (!input.ok()) return respond(refused(input));
    const policy::PolicyPtr policy = input.parsed.policy;
    plan_aside(services, policy, call.caller.actor,
               [&services, call, extra, respond, input](Result<PlanOutcome> planned) mutable {
                 if (!planned) return respond(problem(planned.error()));
                 if (!planned->enforceable) return respond(problem(planned->enforceable.error()));
                 if (const auto fits = check_fits(planned->overflows); !fits) {
                   return respond(problem(422, fits.error()));
                 }
                 extra["plan"] = plan_summary(planned->plan);
                 record(services, call, input, extra, respond);
               });
  });
}

}  // namespace cordon::controller::api
