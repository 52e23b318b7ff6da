#include "node/netlink/people_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace cordon::node::netlink {
namespace {

/// Behind the kernel's own addresses (0), before the main table (32766).
constexpr std::uint32_t kSessionPriority = 20001, kNoSessionPriority = 20002;

/// The tables of sessions by uid: those that they have, and the lowest that nothing uses.
Result<std::map<std::uint32_t, std::uint32_t>> choose_tables(const HeldPeople& held,
                                                             const PeopleRouting& wanted,
                                                             std::uint32_t block) {
  std::set<std::uint32_t> used;
  std::map<std::uint32_t, std::uint32_t> had, out;
  for (const TableRoute& route : held.routes) used.insert(route.table);
  for (const Rule& rule : held.rules) {
    used.insert(rule.table);
    if (rule.action == RuleAction::lookup && rule.uids.first == rule.uids.last)
      had.emplace(rule.uids.first, rule.table);
  }
  std::uint32_t next = block + 1;
  for (const SessionRoute& session : wanted.sessions) {
    if (const auto it = had.find(session.uid); it != had.end()) {
      out.insert(*it);
      continue;
    }
    while (used.contains(next)) ++next;
    if (next - block >= kTablesInBlock)
      return fail(ErrorCode::exhausted, "no routing table is left for another session");
    out.emplace(session.uid, next);
    used.insert(next);
  }
  return out;
}

class PeoplePlanner {
 public:
  PeoplePlanner(const HeldPeople& held, const PeopleRouting& wanted, std::uint32_t block,
                std::map<std::uint32_t, std::uint32_t> tables)
      : held_(held), wanted_(wanted), block_(block), tables_(std::move(tables)) {
    held_rules_.insert(held.rules.begin(), held.rules.end());
    held_routes_.insert(held.routes.begin(), held.routes.end());
    for (const TableRoute& route : held.routes) held_places_.insert(place_of(route));
  }

  std::vector<PeopleStep> plan() {
    std::vector<Prefix> all = wanted_.behind;
    for (const Prefix& overlay : {wanted_.overlay_v4, wanted_.overlay_v6})
      if (!overlay.address.is_unspecified()) all.push_back(overlay);
    for (const Prefix& to : all)
      for (const UidRange& uids : wanted_.people)
        want_rule({RuleAction::unreachable, kNoSessionPriority, block_, uids, to});
    for (const SessionRoute& session : wanted_.sessions)
      for (const Prefix& to : all)
        want_session(session.uid, to, to.address.is_v4() ? session.v4 : session.v6);
    remove_rest();
    return std::move(steps_);
  }

 private:
  /// A table has one route to a destination.
  using Place = std::pair<std::uint32_t, Prefix>;
  static Place place_of(const TableRoute& route) { return {route.table, route.route.destination}; }

  void want_session(std::uint32_t uid, const Prefix& to, const Address& source) {
    if (source.is_unspecified()) return;
    const std::uint32_t table = tables_.at(uid);
    want_route({.table = table, .route = {.destination = to, .source = source}});
    want_rule({RuleAction::lookup, kSessionPriority, table, {uid, uid}, to});
  }

  void want_rule(const Rule& rule) {
    const bool fresh = rules_.insert(rule).second;
    if (fresh && !held_rules_.contains(rule))
      steps_.push_back({.kind = PeopleChange::add_rule, .rule = rule, .route = {}});
  }

  void want_route(const TableRoute& route) {
    places_.insert(place_of(route));
    if (held_routes_.contains(route)) return;
    const bool other = held_places_.contains(place_of(route));
    steps_.push_back(
        {.kind = other ? PeopleChange::replace_route : PeopleChange::add_route, .rule = {}, .route = route});
  }

  void remove_rest() {
    std::set<Rule> left = rules_;  // each is kept once: a second of the same goes
    for (const RuleAction action : {RuleAction::lookup, RuleAction::unreachable})
      for (const Rule& rule : held_.rules)
        if (rule.action == action && left.erase(rule) == 0)
          steps_.push_back({.kind = PeopleChange::remove_rule, .rule = rule, .route = {}});
    for (const TableRoute& route : held_.routes)
      if (!places_.contains(place_of(route)))
        steps_.push_back({.kind = PeopleChange::remove_route, .rule = {}, .route = route});
  }

  const HeldPeople& held_;
  const PeopleRouting& wanted_;
  std::uint32_t block_;
  std::map<std::uint32_t, std::uint32_t> tables_;
  std::set<Rule> held_rules_, rules_;
  std::set<TableRoute> held_routes_;
  std::set<Place> held_places_, places_;
  std::vector<PeopleStep> steps_;
};

}  // namespace

std::uint32_t table_block(std::string_view interface) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : interface) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619u;
  // Far from what people number by hand; 15 bits tell instances on one host apart.
  return 0x80000000u | ((hash ^ hash >> 15) & 0x7fffu) << 16;
}

std::uint32_t last_metric(std::string_view interface) {
  return 0xffff0000u | table_block(interface) >> 16;
}

Result<std::vector<PeopleStep>> plan_people(const HeldPeople& held, const PeopleRouting& wanted,
                                            std::uint32_t block) {
  CORDON_ASSIGN(auto tables, choose_tables(held, wanted, block));
  return PeoplePlanner(held, wanted, block, std::move(tables)).plan();
}

}  // namespace cordon::node::netlink
