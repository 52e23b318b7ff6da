#include "controller/api/policy_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "controller/api/plan_gateways.h"
#include "controller/api/policy_admission.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/flows/flows.h"
#include "policy/plan_words.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostPlanRecords = 200'000;  ///< of flows that are looked at
constexpr std::size_t kMostOverflows = 10;
constexpr std::size_t kMostLines = 50;  ///< of a summary

/// Everything that the work aside needs, taken on the strand at a cost that doesn't grow with what there is:
/// the world and the nodes are shared with it until either side changes something.
struct Work {
  policy::World world;
  Distribution::Told nodes;
  std::string controller_name;
  std::vector<Address> controller_addresses;
  policy::PolicyPtr next;
  policy::PlanQuestion question;
  Timestamp open_since{};
  std::optional<Timestamp> observed_since;  ///< none: no segment observes
  std::vector<FlowRecord> open;
  bool saw_all_flows = true;
  Timestamp now{};
};

/// The device that this controller runs on, if it is one of those it controls.
DeviceId controller_host(const Work& work) {
  const auto& addresses = work.controller_addresses;
  for (const auto& [id, device] : work.world.devices) {
    if (!device.is_node()) continue;
    const bool seen_there = device.source && std::ranges::find(addresses, *device.source) != addresses.end();
    if (id.value == work.controller_name || seen_there) return id;
  }
  return {};
}

std::map<DeviceId, policy::MapSizes> plan_map_sizes(const Distribution::Told& nodes) {
  std::map<DeviceId, policy::MapSizes> out;
  for (const auto& [id, node] : nodes)
    if (!node.map_sizes.empty()) out.emplace(id, policy::MapSizes::of(node.map_sizes));
  return out;
}

bool observes(const policy::Policy& policy) {
  return std::ranges::any_of(
      policy.segments, [](const auto& segment) { return segment.second.mode == policy::Mode::observe; });
}

/// The person behind an actor: "operator:u-1/a-2" to "u-1".
std::string person_of(const std::string& actor) {
  const std::size_t colon = actor.find(':');
  if (colon == std::string::npos) return {};
  return actor.substr(colon + 1, std::min(actor.find('/', colon), actor.size()) - colon - 1);
}

std::shared_ptr<Work> gather(Services& services, policy::PolicyPtr next, const std::string& actor) {
  auto work = std::make_shared<Work>();
  work->now = services.clock.now();
  work->open_since = work->now - services.config.flows_keep;
  if (observes(*services.log.world().policy)) work->observed_since = work->now - services.config.flows_keep;
  work->question.author = person_of(actor);
  work->controller_name = services.config.name;
  work->controller_addresses = services.config.advertise_addresses;
  work->next = std::move(next);
  work->world = services.log.world();
  work->nodes = services.distribution->told();
  return work;
}

Result<> look_at_flows(FlowStore& store, Work& work) {
  CORDON_ASSIGN(work.open, store.open(work.open_since, kMostPlanRecords));
  CORDON_ASSIGN(work.saw_all_flows, store.fits(work.open_since, kMostPlanRecords));
  if (!work.observed_since) return {};
  CORDON_ASSIGN(work.question.observed, store.observed(*work.observed_since, kMostPlanRecords));
  return {};
}

policy::PlanWarning flows_not_seen() {
  return {.kind = policy::PlanWarning::Kind::flows_not_seen,
          .text = fmt::format("only the latest {} flow records were looked at: older flows may be cut too",
                              kMostPlanRecords),
          .lines = {}};
}

/// The worst in full, as it tells what to do.
policy::PlanWarning drops_while_turning(const std::vector<policy::Overflow>& nodes) {
  policy::PlanWarning warning{.kind = policy::PlanWarning::Kind::drops_while_turning,
                              .text = policy::turning_in_words(nodes.front()),
                              .lines = {}};
  if (nodes.size() > 1) warning.text += fmt::format(" (and {} more)", nodes.size() - 1);
  for (const policy::Overflow& node : nodes)
    if (warning.lines.size() < kMostOverflows) warning.lines.push_back(policy::turning_in_words(node));
  return warning;
}

/// Who sends from which address now.
void name_flows(Work& work) {
  std::unordered_map<Address, policy::PrincipalRef> owners;
  const auto add = [&](const policy::OverlayAddresses& addresses, const policy::PrincipalRef& who) {
    for (const Address& address : {addresses.v4, addresses.v6})
      if (!address.is_unspecified()) owners.emplace(address, who);
  };
  if (work.open.empty()) return;
  for (const auto& [id, device] : work.world.devices) add(device.addresses, id);
  for (const auto& [id, session] : work.world.sessions) add(session.addresses, id);
  for (const FlowRecord& flow : work.open) {
    const auto owner = owners.find(flow.source);
    if (owner == owners.end()) continue;
    work.question.live.push_back({.principal = owner->second,
                                  .target = DeviceId(flow.destination_device),
                                  .protocol = flow.protocol,
                                  .port = flow.destination_port});
  }
}

template <class Texts>
json::array plan_texts(const Texts& all) {
  json::array out;
  for (const auto& text : all) out.emplace_back(text);
  return out;
}

json::object plan_view(const policy::AccessChange& change) {
  json::array accesses, targets;
  for (const policy::Access& access : change.accesses) accesses.emplace_back(policy::to_string(access));
  for (const DeviceId& device : change.targets) targets.emplace_back(device.value);
  std::size_t cut = 0;
  for (const auto& [who, count] : change.cut_flows) cut += count;
  return {{"change", change.gained ? "gains" : "loses"},
          {"segment", change.segment},
          {"service", change.service},
          {"accesses", std::move(accesses)},
          {"targets", std::move(targets)},
          {"target_count", change.target_count},
          {"whole_segment", change.whole_segment},
          {"rule", change.rule},
          {"forbidden_by", change.forbid},
          {"flows_cut", cut}};
}

json::object plan_view(const policy::PlanEntry& entry) {
  json::array principals, changes;
  for (const policy::PlanPrincipal& who : entry.principals) {
    principals.push_back(
        json::object{{"person", who.person}, {"device", who.device.value}, {"session", who.session.value}});
  }
  for (const policy::AccessChange& change : entry.changes) changes.push_back(plan_view(change));
  return {{"principals", std::move(principals)},
          {"principal_count", entry.principal_count},
          {"changes", std::move(changes)},
          {"lines", plan_texts(policy::lines_of(entry))}};
}

json::array plan_view(const std::vector<policy::PlanWarning>& warnings) {
  json::array out;
  for (const policy::PlanWarning& warning : warnings) {
    out.push_back(json::object{{"kind", policy::to_string(warning.kind)},
                               {"text", warning.text},
                               {"lines", plan_texts(warning.lines)}});
  }
  return out;
}

}  // namespace

void plan_aside(Services& services, policy::PolicyPtr policy, const std::string& actor,
                std::function<void(Result<PlanOutcome>)> then) {
  services.flows.read([strand = services.strand, pool = services.pool,
                       work = gather(services, std::move(policy), actor),
                       then = std::move(then)](FlowStore& store) {
    if (auto seen = look_at_flows(store, *work); !seen)
      return boost::asio::post(strand, [error = seen.error(), then] { then(std::unexpected(error)); });
    boost::asio::post(pool, [strand, work, then] {
      name_flows(*work);
      work->question.controller_host = controller_host(*work);
      auto outcome = std::make_shared<PlanOutcome>();
      outcome->plan = policy::plan(work->world, *work->next, work->question, work->now);
      if (!work->saw_all_flows) outcome->plan.warnings.push_back(flows_not_seen());
      outcome->enforceable = check_enforceable(work->world, *work->next, work->nodes);
      const policy::World next = policy::with_policy(work->world, work->next);
      policy::Fit fit = policy::fit(work->world, next, plan_map_sizes(work->nodes), work->now);
      if (!fit.turning.empty()) outcome->plan.warnings.push_back(drops_while_turning(fit.turning));
      outcome->overflows = std::move(fit.never);
      for (policy::PlanWarning& warning : gateway_warnings(next, work->nodes, work->now))
        outcome->plan.warnings.push_back(std::move(warning));
      boost::asio::post(strand, [outcome, then] { then(std::move(*outcome)); });
    });
  });
}

std::vector<std::string> plan_lines(const policy::Plan& plan, std::size_t most) {
  std::vector<std::string> out{policy::in_words(plan.totals)};
  for (const policy::PlanWarning& warning : plan.warnings) out.push_back("warning: " + warning.text);
  std::size_t shown = 0, all = 0;
  for (const policy::PlanEntry& entry : plan.entries)
    for (const std::string& line : policy::lines_of(entry)) {
      ++all;
      if (shown < most) {
        out.push_back("  " + line);
        ++shown;
      }
    }
  if (all > shown)
    out.push_back(fmt::format("  and {}; `cordon policy plan --json` tells all",
                              policy::counted(all - shown, "line more", "lines more")));
  return out;
}

json::object plan_summary(const policy::Plan& plan) {
  return {{"summary", policy::in_words(plan.totals)},
          {"lines", plan_texts(plan_lines(plan, kMostLines))},
          {"warnings", plan_view(plan.warnings)}};
}

json::object plan_json(const policy::Plan& plan) {
  const auto& totals = plan.totals;
  json::array changes;
  for (const policy::PlanEntry& entry : plan.entries) changes.push_back(plan_view(entry));
  return {{"summary", policy::in_words(totals)},
          {"totals", json::object{{"people_losing", totals.people_losing},
                                  {"people_gaining", totals.people_gaining},
                                  {"machines_losing", totals.machines_losing},
                                  {"machines_gaining", totals.machines_gaining},
                                  {"losses", totals.losses},
                                  {"gains", totals.gains},
                                  {"flows_cut", totals.flows_cut},
                                  {"devices_observing", totals.devices_observing},
                                  {"underlays_opened", totals.underlays_opened},
                                  {"changes_left_out", totals.entries_left_out}}},
          {"warnings", plan_view(plan.warnings)},
          {"changes", std::move(changes)}};
}

Result<> check_fits(const std::vector<policy::Overflow>& overflows) {
  if (overflows.empty()) return {};
  std::string what = "the policy doesn't fit:";
  for (std::size_t i = 0; i < std::min(overflows.size(), kMostOverflows); ++i)
    what += "\n" + policy::in_words(overflows[i]);
  if (overflows.size() > kMostOverflows)
    what += fmt::format("\nand {} more", overflows.size() - kMostOverflows);
  return fail(ErrorCode::exhausted, std::move(what),
              "the policy in force is unchanged; [filter.maps] in node.toml sets what a node's maps hold");
}

}  // namespace cordon::controller::api
