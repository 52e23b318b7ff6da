#include "policy/needs.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "policy/ordered_set.h"

namespace cordon::policy {
namespace {

constexpr std::uint32_t kNoOwnTarget = UINT32_MAX;

std::size_t addresses_in(const OverlayAddresses& addresses) {
  return std::size_t{!addresses.v4.is_unspecified()} + std::size_t{!addresses.v6.is_unspecified()};
}

std::vector<std::uint64_t> words_of_table(const std::vector<PortGrant>& table) {
  std::vector<std::uint64_t> words;
  for (const PortGrant& g : table) {
    words.push_back(std::uint64_t{g.protocol} << 32 | std::uint64_t{g.port_bits} << 16 | g.port);
    words.push_back(std::uint64_t{g.value.rule.value} << 32 | g.value.lease_s);
    words.push_back(std::uint64_t{g.value.slot} << 2 | std::uint64_t{g.value.deny} << 1 |
                    std::uint64_t{g.value.responder});
  }
  return words;
}

}  // namespace

Needs::Needs(const World& world, const Relations& after, const Relations* before)
    : world_(world), sides_{&after} {
  if (before != nullptr) sides_.push_back(before);
  add_targets();
  add_sources();
  link();
}

Needs::Sides Needs::groups_of(const Device& target) const {
  Sides out{};
  for (std::size_t side = 0; side < sides_.size(); ++side)
    out[side] =
        static_cast<std::uint32_t>(&sides_[side]->group_of(target) - sides_[side]->target_groups().data());
  return out;
}

Needs::Sides Needs::groups_of_principal(std::size_t place) const {
  Sides out{};
  for (std::size_t side = 0; side < sides_.size(); ++side)
    out[side] = sides_[side]->principals()[place].group;
  return out;
}

void Needs::add_targets() {
  for (const auto& group : sides_.front()->target_groups())
    for (const Device* member : group.members) {
      const Sides groups = groups_of(*member);
      const auto next = static_cast<std::uint32_t>(targets_.size());
      const auto [it, fresh] = target_numbers_.try_emplace(groups, next);
      if (fresh) {
        Target& target = targets_.emplace_back(Target{.group = groups});
        for (std::size_t side = 0; side < sides_.size(); ++side)
          target.observes = target.observes || sides_[side]->target_groups()[groups[side]].observes;
        if (target.observes) observing_.push_back(next);
      }
      targets_[it->second].addresses += prefixes_of(*member).size();
    }
}

void Needs::add_sources() {
  // Whether a device or a session is a principal hangs on no policy: they are the same on each side, in the
  // same order.
  const auto& principals = sides_.front()->principals();
  for (std::size_t i = 0; i < principals.size(); ++i) {
    const Sides groups = groups_of_principal(i);
    const auto next = static_cast<std::uint32_t>(sources_.size());
    const auto [it, fresh] = source_numbers_.try_emplace(groups, next);
    if (fresh) sources_.push_back(Source{.group = groups});
    const std::size_t addresses = addresses_in(principals[i].addresses());
    sources_[it->second].addresses += addresses;
    all_principals_ += addresses;
  }
}

void Needs::link() {
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    std::unordered_map<std::uint32_t, Numbers> sources_in;
    for (std::uint32_t number = 0; number < sources_.size(); ++number)
      sources_in[sources_[number].group[side]].push_back(number);
    for (std::uint32_t number = 0; number < targets_.size(); ++number) {
      Target& target = targets_[number];
      const auto& group = sides_[side]->target_groups()[target.group[side]];
      for (const auto& [source, table] : group.sources) {
        target.classes.push_back(class_number(
            {{.direction = Direction::ingress, .target = group.id, .table = table_number(*table)}}));
        for (const std::uint32_t member : sources_in[source]) {
          target.sources.push_back(member);
          sources_[member].reached.push_back(number);
        }
      }
    }
  }
  for (Target& target : targets_) {
    make_set(target.sources);
    make_set(target.classes);
    for (const std::uint32_t source : target.sources) target.principals += sources_[source].addresses;
    for (const std::uint32_t number : target.classes)
      target.rules.insert(target.rules.end(), classes_[number].rules.begin(), classes_[number].rules.end());
    make_set(target.rules);
  }
  for (Source& source : sources_) make_set(source.reached);
}

std::uint32_t Needs::table_number(const Table& table) {
  const auto [known, fresh] = table_numbers_.try_emplace(&table);
  if (!fresh) return known->second;
  const auto next = static_cast<std::uint32_t>(table_by_number_.size());
  const auto [it, first] = tables_.try_emplace(words_of_table(table), next);
  if (first) table_by_number_.push_back(&table);
  return known->second = it->second;
}

std::uint32_t Needs::class_number(std::vector<ClassRow> rows) {
  std::ranges::sort(rows);
  const auto [it, fresh] =
      class_numbers_.try_emplace(std::move(rows), static_cast<std::uint32_t>(classes_.size()));
  if (!fresh) return it->second;
  Class& made = classes_.emplace_back();
  for (const ClassRow& row : it->first)
    for (const PortGrant& grant : *table_by_number_[row.table]) {
      ++(grant.port_bits == 0 || grant.port_bits == 16 ? made.grants : made.grant_ranges);
      // What is denied is counted by its reason.
      if (!grant.value.deny) made.rules.push_back(grant.value.rule);
    }
  make_set(made.rules);
  return it->second;
}

/// Of principals of that group on a node that enforces for the groups of targets `own`.
std::uint32_t Needs::local_class(std::size_t side, std::uint32_t group, const Numbers& own) {
  const auto& links = sides_[side]->principal_group(group).targets;
  const auto make = [&] {
    std::vector<ClassRow> rows;
    for (const auto& [target, table] : links) {
      const TargetId id = sides_[side]->target_groups()[target].id;
      const std::uint32_t number = table_number(*table);
      rows.push_back({.direction = Direction::egress, .target = id, .table = number});
      // P8: inwards as well.
      if (std::ranges::binary_search(own, target))
        rows.push_back({.direction = Direction::ingress, .target = id, .table = number});
    }
    return class_number(std::move(rows));
  };
  if (own.size() > 1) return make();  // gateways are few
  const bool reaches_itself = std::ranges::find(links, own.front(), &Relations::Link::group) != links.end();
  const auto at = static_cast<std::uint32_t>(side);
  const auto [it, fresh] =
      local_classes_.try_emplace({at, group, reaches_itself ? own.front() : kNoOwnTarget});
  return fresh ? it->second = make() : it->second;
}

/// The targets that a node enforces for: itself and what is behind it.
Needs::Numbers Needs::hosted_by(const Device& node) const {
  Numbers out{target_numbers_.at(groups_of(node))};
  for (const Device* behind : sides_.front()->behind(node.id))
    out.push_back(target_numbers_.at(groups_of(*behind)));
  make_set(out);
  return out;
}

/// What all of these are to one node: a principal's class holds what is granted in each.
Needs::Target Needs::merged(const Numbers& hosted) {
  Target out;
  for (const std::uint32_t number : hosted) {
    const Target& target = targets_[number];
    out.observes = out.observes || target.observes;
    out.sources.insert(out.sources.end(), target.sources.begin(), target.sources.end());
    out.rules.insert(out.rules.end(), target.rules.begin(), target.rules.end());
  }
  make_set(out.sources);
  make_set(out.rules);
  for (const std::uint32_t source : out.sources) out.principals += sources_[source].addresses;
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    Numbers groups;
    for (const std::uint32_t number : hosted) groups.push_back(targets_[number].group[side]);
    make_set(groups);
    std::map<std::uint32_t, std::vector<ClassRow>> rows;  // by source
    for (const std::uint32_t number : groups) {
      const auto& group = sides_[side]->target_groups()[number];
      for (const auto& [source, table] : group.sources)
        rows[source].push_back(
            {.direction = Direction::ingress, .target = group.id, .table = table_number(*table)});
    }
    for (auto& [source, of_source] : rows) out.classes.push_back(class_number(std::move(of_source)));
  }
  make_set(out.classes);
  return out;
}

void Needs::add_class(NodeNeeds& needs, std::uint32_t number) const {
  needs.grants += classes_[number].grants;
  needs.grant_ranges += classes_[number].grant_ranges;
}

Needs::Numbers Needs::sources_on(const Device& device) const {
  Numbers out;
  const Relations& relations = *sides_.front();
  for (const Principal* local : relations.principals_on(device.id)) {
    const auto place = static_cast<std::size_t>(local - relations.principals().data());
    out.push_back(source_numbers_.at(groups_of_principal(place)));
  }
  return out;
}

NodeNeeds Needs::of(const Device& device) {
  const Numbers hosted = hosted_by(device);
  std::optional<Target> of_gateway;
  if (hosted.size() > 1) of_gateway = merged(hosted);
  const Target& self = of_gateway ? *of_gateway : targets_[hosted.front()];
  const Relations& relations = *sides_.front();
  NodeNeeds needs;
  const Numbers locals = sources_on(device);  // one for each principal

  needs.principals = self.observes ? all_principals_ : self.principals;
  if (device.isolated) {
    needs.principals += addresses_in(device.addresses);
    for (const Session* session : relations.sessions_on(device.id))
      needs.principals += addresses_in(session->addresses);
  } else if (!self.observes) {
    const auto principals = relations.principals_on(device.id);
    for (std::size_t i = 0; i < locals.size(); ++i)
      if (!std::ranges::binary_search(self.sources, locals[i]))
        needs.principals += addresses_in(principals[i]->addresses());
  }

  Numbers reached;
  if (!device.isolated) reached = observing_;
  for (const std::uint32_t local : locals)
    reached.insert(reached.end(), sources_[local].reached.begin(), sources_[local].reached.end());
  make_set(reached);
  // The overlay's own prefixes are in every node's map of targets.
  needs.targets =
      addresses_in({world_.installation.overlay_v4.address, world_.installation.overlay_v6.address});
  const auto add_own = [&](const Device& target) {
    if (!std::ranges::binary_search(reached, target_numbers_.at(groups_of(target))))
      needs.targets += prefixes_of(target).size();
  };
  add_own(device);
  for (const Device* behind : relations.behind(device.id)) add_own(*behind);
  for (const std::uint32_t target : reached) needs.targets += targets_[target].addresses;

  Numbers classes;
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    Numbers own;
    for (const std::uint32_t target : hosted) own.push_back(targets_[target].group[side]);
    make_set(own);
    for (const std::uint32_t local : locals)
      classes.push_back(local_class(side, sources_[local].group[side], own));
  }
  make_set(classes);
  for (const std::uint32_t known : self.classes) add_class(needs, known);
  std::vector<RuleId> rules;
  for (const std::uint32_t known : classes) {
    add_class(needs, known);
    rules.insert(rules.end(), classes_[known].rules.begin(), classes_[known].rules.end());
  }
  if (!rules.empty()) {
    rules.insert(rules.end(), self.rules.begin(), self.rules.end());
    make_set(rules);
  }
  needs.rule_counters = rules.empty() ? self.rules.size() : rules.size();
  return needs;
}

}  // namespace cordon::policy
