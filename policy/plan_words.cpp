#include "policy/plan_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace cordon::policy {
namespace {

constexpr std::size_t kMostApart = 4;  ///< principals that get lines of their own
constexpr std::size_t kMostNamesInWords = 3;
constexpr std::size_t kMostAccesses = 6;

std::vector<std::string> texts(const std::vector<Access>& accesses) {
  const bool others = accesses.size() > 1;
  std::vector<std::string> out;
  out.reserve(accesses.size());
  for (const Access& access : accesses)
    out.push_back(access.protocol || !others ? to_string(access) : "every other protocol");
  return out;
}

std::string cut_words(std::size_t cut) {
  return cut == 0 ? "" : fmt::format("; {} cut", counted(cut, "live flow is", "live flows are"));
}

std::string reason_of(const AccessChange& change) {
  return change.forbid.empty() ? "" : fmt::format(" (forbidden by \"{}\")", change.forbid);
}

}  // namespace

std::string with_commas(std::size_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  if (count == 1) return fmt::format("1 {}", one);
  return many.empty() ? fmt::format("{} {}s", with_commas(count), one)
                      : fmt::format("{} {}", with_commas(count), many);
}

std::string crowd(std::size_t people, std::size_t machines) {
  if (machines == 0) return counted(people, "person", "people");
  if (people == 0) return counted(machines, "machine");
  return fmt::format("{} and {}", counted(people, "person", "people"), counted(machines, "machine"));
}

std::string listed(const std::vector<std::string>& names, std::size_t total, std::size_t most) {
  const std::size_t shown = std::min({names.size(), most, total});
  const std::vector<std::string> first(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown));
  if (shown == total) return fmt::format("{}", fmt::join(first, ", "));
  return fmt::format("{} and {} more", fmt::join(first, ", "), with_commas(total - shown));
}

std::string in_words(const PlanPrincipal& who) {
  return who.person.empty() ? fmt::format("machine {}", who.device.value)
                            : fmt::format("{} on {}", who.person, who.device.value);
}

std::string in_words(const AccessChange& change) {
  const auto accesses = texts(change.accesses);
  std::string out =
      change.service.empty() ? change.segment : fmt::format("{}/{}", change.segment, change.service);
  out += " " + listed(accesses, accesses.size(), kMostAccesses);
  if (change.whole_segment) return out;
  std::vector<std::string> names;
  names.reserve(change.targets.size());
  for (const DeviceId& device : change.targets) names.push_back(device.value);
  return out + " at " + listed(names, change.target_count, kMostNamesInWords);
}

std::string in_words(const World& world, const ObservedFlow& flow) {
  std::string person = flow.person.value;
  if (const auto user = world.users.find(flow.person);
      user != world.users.end() && !user->second.name.empty())
    person = user->second.name;
  return fmt::format("{} to {} {}: {}, last {}",
                     in_words(PlanPrincipal{.person = person, .device = flow.source, .session = {}}),
                     flow.target.value,
                     to_string(Access{.protocol = flow.protocol, .ports = {flow.port, flow.port}}),
                     counted(flow.count, "flow"), format_rfc3339(flow.last).substr(0, 10));
}

std::vector<std::string> lines_of(const PlanEntry& entry) {
  std::vector<std::string> out;
  const bool apart = entry.principal_count <= kMostApart && entry.principal_count == entry.principals.size();
  for (std::size_t i = 0; apart && i < entry.principals.size(); ++i)
    for (const AccessChange& change : entry.changes) {
      const auto cut = change.cut_flows.find(i);
      out.push_back(fmt::format("{} {} {}{}{}", in_words(entry.principals[i]),
                                change.gained ? "gains" : "loses", in_words(change), reason_of(change),
                                cut_words(cut == change.cut_flows.end() ? 0 : cut->second)));
    }
  if (apart) return out;
  std::vector<std::string> names;
  for (const PlanPrincipal& who : entry.principals) {
    names.push_back(in_words(who));
    if (names.size() == kMostNamesInWords) break;
  }
  for (const AccessChange& change : entry.changes) {
    std::size_t cut = 0;
    for (const auto& [who, count] : change.cut_flows) cut += count;
    out.push_back(fmt::format("{} {} {}{}{}: {}", with_commas(entry.principal_count),
                              change.gained ? "gain" : "lose", in_words(change), reason_of(change),
                              cut_words(cut), listed(names, entry.principal_count, kMostNamesInWords)));
  }
  return out;
}

std::string in_words(const Plan::Totals& totals) {
  std::string out;
  const auto add = [&](std::size_t people, std::size_t machines, std::string_view one,
                       std::string_view many) {
    if (people + machines == 0) return;
    out += fmt::format("{}{} {} access", out.empty() ? "" : ", ", crowd(people, machines),
                       people + machines == 1 ? one : many);
  };
  add(totals.people_losing, totals.machines_losing, "loses", "lose");
  add(totals.people_gaining, totals.machines_gaining, "gains", "gain");
  const bool loosens = totals.devices_observing + totals.underlays_opened != 0;
  if (out.empty())
    out = loosens ? "no rule gives or takes access" : "nobody who is here now gains or loses access";
  out += cut_words(totals.flows_cut);
  if (totals.devices_observing != 0)
    out +=
        fmt::format("; {} will accept everything and report it", counted(totals.devices_observing, "device"));
  if (totals.underlays_opened != 0)
    out += fmt::format("; the underlay of {} opens", counted(totals.underlays_opened, "device"));
  return out;
}

}  // namespace cordon::policy
