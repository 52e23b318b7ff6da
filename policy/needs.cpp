#include "policy/needs.h"

#include <algorithm>
#include <iterator>
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
      targets_[it->second].addresses += addresses_in(member->addresses);
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

/// Of principals of that group on a node whose device is in the group of targets `own`.
std::uint32_t Needs::local_class(std::size_t side, std::uint32_t group, std::uint32_t own) {
  const auto& links = sides_[side]->principal_group(group).targets;
  const bool reaches_itself = std::ranges::find(links, own, &Relations::Link::group) != links.end();
  const auto at = static_cast<std::uint32_t>(side);
  const auto [it, fresh] = local_classes_.try_emplace({at, group, reaches_itself ? own : kNoOwnTarget});
  if (!fresh) return it->second;
  std::vector<ClassRow> rows;
  for (const auto& [target, table] : links) {
    const TargetId id = sides_[side]->target_groups()[target].id;
    const std::uint32_t number = table_number(*table);
    rows.push_back({.direction = Direction::egress, .target = id, .table = number});
    // P8: inwards as well.
    if (target == own) rows.push_back({.direction = Direction::ingress, .target = id, .table = number});
  }
  return it->second = class_number(std::move(rows));
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
  const std::uint32_t number = target_numbers_.at(groups_of(device));
  const Target& self = targets_[number];
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
  if (!std::ranges::binary_search(reached, number)) needs.targets += addresses_in(device.addresses);
  for (const std::uint32_t target : reached) needs.targets += targets_[target].addresses;

  Numbers classes;
  for (std::size_t side = 0; side < sides_.size(); ++side)
    for (const std::uint32_t local : locals)
      classes.push_back(local_class(side, sources_[local].group[side], self.group[side]));
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
