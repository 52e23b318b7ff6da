#include "policy/engine.h"

#include <algorithm>
#include <utility>

#include "policy/engine_update.h"

namespace cordon::policy {

using engine::kNone;
using engine::When;

struct Engine::Parts {
  explicit Parts(const World& world)
      : groups(rules), population(world, rules, groups), changes(world, rules, groups, population) {}

  engine::RuleBook rules;
  engine::GroupBook groups;
  engine::Population population;
  engine::Changes changes;
  std::uint64_t epoch = 0;

  void begin() {
    ++epoch;
    groups.begin(epoch);
    population.begin(epoch);
  }
  void settle(Timestamp now) {
    population.settle(now);
    groups.settle();
  }
};

Engine::Engine(const World& world, Timestamp now)
    : parts_(std::make_unique<Parts>(world)), world_(world), now_(now) {
  parts_->begin();
  parts_->rules.change(world);
  parts_->population.touch_everything();
  parts_->settle(now);
}

Engine::~Engine() = default;

Engine::Update Engine::advance(const Touched& touched, Timestamp now) {
  Parts& parts = *parts_;
  parts.begin();
  // Time is never set back but by hand; then nothing that was looked at is worth anything.
  const bool everything = touched.everything || now < now_;
  if (everything || touched.policy) parts.population.touch(parts.rules.change(world_));
  if (everything) parts.population.touch_everything();
  for (const DeviceId& device : touched.devices) parts.population.touch_device(device);
  for (const SubjectId& user : touched.users) parts.population.touch_user(user);
  for (const SessionId& session : touched.sessions) parts.population.touch_session(session);
  parts.population.touch_due(now);
  parts.settle(now);
  now_ = now;

  Update update;
  update.parts_ = parts_.get();
  update.nodes_ = parts.changes.find();
  return update;
}

const DeviceId& Engine::Update::device(std::size_t i) const {
  return parts_->population.device(nodes_[i], When::now).id;
}

std::shared_ptr<const NodeDelta> Engine::Update::changes(std::size_t i) const {
  return parts_->changes.of(nodes_[i]);
}

bool Engine::is_active(const DeviceId& device) const {
  const std::uint32_t number = parts_->population.find(device);
  return number != kNone && parts_->population.is_node(number, When::now);
}

NodeState Engine::state(const DeviceId& device) const {
  NodeState state;
  if (!is_active(device)) return state;
  const engine::NodeView view = parts_->changes.view(parts_->population.find(device), When::now);
  engine::Scope scope;
  view.add_everything(scope);
  scope.make_sets();
  engine::Entries entries;
  view.collect(scope, entries);
  for (auto& [key, value] : entries.plain) state.entries.insert_or_assign(std::move(key), std::move(value));
  for (const ClassPtr& grants : entries.classes)
    for (const auto& [key, value] : *grants) state.entries.insert_or_assign(key, value);
  return state;
}

Timestamp Engine::next_change_at() const {
  return parts_->population.next_change_at();
}

TableVerdict Engine::decide(const PrincipalRef& who, const DeviceId& target, std::uint8_t protocol,
                            std::uint16_t port) const {
  const engine::Population& population = parts_->population;
  TableVerdict verdict;
  const std::uint32_t to = population.find(target);
  if (to == kNone) return verdict;
  const std::uint32_t group = population.device(to, When::now).group;
  if (group == kNone) return verdict;
  verdict.observed = parts_->groups.targets(group).observes;
  std::uint32_t from = kNone;
  if (const auto* session = std::get_if<SessionId>(&who)) {
    from = population.find(*session);
  } else if (const std::uint32_t device = population.find(std::get<DeviceId>(who)); device != kNone) {
    from = population.device(device, When::now).self;
  }
  if (from == kNone) return verdict;
  const engine::PrincipalRecord& principal = population.principal(from, When::now);
  if (principal.group == kNone) return verdict;
  const engine::Link* link = parts_->groups.principals(principal.group).find(group);
  if (link == nullptr) return verdict;
  const GrantValue* grant = find_grant(link->table, protocol, port);
  if (grant == nullptr) return verdict;
  verdict.rule = grant->rule;
  if (grant->deny) return verdict;
  verdict.accept = true;
  verdict.deadline = std::min(principal.deadlines[grant->slot], now_ + Seconds(grant->lease_s));
  return verdict;
}

Engine::Counts Engine::counts() const {
  return parts_->groups.counts();
}

}  // namespace cordon::policy
