#pragma once
// A policy as text, everything but its places, for comparing two of them.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "policy/model.h"

namespace cordon::test {

template <class List>
std::string describe_list(const List& list) {
  std::string out;
  for (const auto& item : list) out += fmt::format("{};", item.to_string());
  return out;
}

inline std::string describe(const std::vector<policy::Access>& accesses) {
  std::string out;
  for (const policy::Access& access : accesses) out += to_string(access) + ";";
  return out;
}

inline std::string describe(const policy::Conditions& c) {
  std::string out = fmt::format(
      "{} {} {} {} [{}] {} {} {} [{}] [{}]", c.assurance ? static_cast<int>(*c.assurance) : 0,
      c.auth_age_max ? c.auth_age_max->count() : -1, c.trust_min.value_or(-1), c.health_min.value_or(-1),
      fmt::join(c.require, ","), c.attestation ? to_string(*c.attestation) : "-",
      c.valid_from ? to_us(*c.valid_from) : -1, c.valid_until ? to_us(*c.valid_until) : -1,
      describe_list(c.source_networks), fmt::join(c.countries, ","));
  if (c.hours)
    for (const policy::HoursWindow& window : c.hours->windows)
      out += fmt::format(" {}:{}-{} {}", window.days, window.start, window.end, c.hours->zone->name());
  return out;
}

inline std::string describe(const policy::Rule& rule) {
  const policy::Subject& from = rule.from;
  std::string out = fmt::format("{} {} {} from {} {} {} {} {} lease {} {}\n",
                                rule.effect == policy::Effect::allow ? "allow" : "forbid", rule.name,
                                rule.description, fmt::join(from.users, ","), fmt::join(from.groups, ","),
                                fmt::join(from.device_classes, ","), fmt::join(from.segments, ","),
                                fmt::join(from.tags, ","), rule.lease.count(), rule.responders);
  for (const policy::Destination& to : rule.to)
    out += fmt::format("  to {} {} {}\n", to.segment, to.service, describe(to.accesses));
  out += fmt::format("  when {}\n", describe(rule.when));
  if (rule.unless) out += fmt::format("  unless {}\n", describe(*rule.unless));
  return out;
}

inline std::string describe(const policy::Segment& segment) {
  std::string out = fmt::format(
      "{} {} {} {} {}\n", static_cast<int>(segment.mode), static_cast<int>(segment.underlay),
      segment.sensitivity ? static_cast<int>(*segment.sensitivity) : -1, segment.owner, segment.description);
  for (const policy::Member& member : segment.members)
    out += fmt::format("  member {} {}\n", static_cast<int>(member.kind), member.name);
  for (const auto& [name, accesses] : segment.services)
    out += fmt::format("  service {} {}\n", name, describe(accesses));
  return out;
}

inline std::string describe(const policy::DeviceClass& c) {
  std::string out = fmt::format("[{}] {} [{}] {}", fmt::join(c.tags, ","), c.health_min.value_or(-1),
                                fmt::join(c.require, ","), c.attestation ? to_string(*c.attestation) : "-");
  for (const policy::Ownership ownership : c.ownership) out += fmt::format(" {}", to_string(ownership));
  return out;
}

inline std::string describe(const policy::TrustSettings& trust) {
  std::string out =
      fmt::format("{} {} {} {} [{}] {} {} {}\n", static_cast<int>(trust.method), trust.weights.identity,
                  trust.weights.device, trust.weights.behaviour, fmt::join(trust.identity, ","),
                  trust.tpm_points, trust.unattested_health_max, trust.hysteresis_tenths);
  for (const auto& [check, weight] : trust.health) out += fmt::format("  {} {}\n", check, weight);
  return out;
}

inline std::string describe(const policy::Policy& policy) {
  std::string out;
  for (const auto& [name, group] : policy.groups)
    out +=
        fmt::format("group {} [{}] [{}]\n", name, fmt::join(group.users, ","), fmt::join(group.claims, ","));
  for (const auto& [name, device_class] : policy.device_classes)
    out += fmt::format("class {} {}\n", name, describe(device_class));
  for (const auto& [name, segment] : policy.segments)
    out += fmt::format("segment {} {}", name, describe(segment));
  for (const policy::Rule& rule : policy.rules) out += describe(rule);
  out += fmt::format("trust {}", describe(policy.trust));
  out +=
      fmt::format("sessions {} {}\n", policy.sessions.reauthenticate.count(), policy.sessions.idle.count());
  out += fmt::format("health {} [{}]\n", policy.health.report_timeout.count(),
                     fmt::join(policy.health.checks, ","));
  for (const policy::PolicyTest& test : policy.tests)
    out += fmt::format("test {} {} {} {} {} {}\n", test.name, test.device.id.value, test.user, test.segment,
                       test.service.value_or("-"), to_us(test.at));
  return out;
}

}  // namespace cordon::test
