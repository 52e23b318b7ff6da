// Laws of the engine: after any changes it holds what compiling everything gives, and tells each node exactly
// what turns its last state into that.

#include "policy/engine.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace engine_test {

using policy::Engine;
using policy::NodeState;
using policy::Touched;
using policy::World;
using States = std::map<DeviceId, NodeState>;

/// A world that changes, and who is told of it.
class Changing {
 public:
  Changing(const Pick& pick, WorldShape shape)
      : shape_(shape), gen_(pick, shape), facts_(pick), builder_(gen_.world()) {}

  World& world() { return builder_.world(); }
  Timestamp now = kNow;

  /// One thing that happens, as the fold does it.
  Touched change() {
    Touched touched;
    if (gen_.number(3) == 2) copy_ = world();  // work beside the strand: what changes next is made anew
    switch (gen_.number(16)) {
      case 0:
      case 1:
        open_session(touched);
        break;
      case 2:
        close_session(touched);
        break;
      case 3:
        give_facts(a_device(touched));
        break;
      case 4:
        if (const auto session = a_session(touched))
          world().sessions.change(*session, [&](policy::Session& facts) { give_facts(facts); });
        break;
      case 5: {
        policy::Device& device = a_device(touched);
        const std::string tag = fmt::format("t{}", gen_.number(shape_.tags));
        if (device.tags.erase(tag) == 0) device.tags.insert(tag);
        break;
      }
      case 6: {
        policy::Device& device = a_device(touched);
        device.isolated = !device.isolated;
        break;
      }
      case 7:
        change_state(touched);
        break;
      case 8: {
        policy::Device& device = a_device(touched);
        auto& next = device.next_wireguard_key;
        if (gen_.number(2) == 0) {
          device.wireguard_key[1] = static_cast<std::uint8_t>(gen_.number(256));
        } else if (next) {
          next.reset();
        } else {
          next = WireguardKey{static_cast<std::uint8_t>(gen_.number(256))};
        }
        break;
      }
      case 9:
        change_user(touched);
        break;
      case 10:
        change_policy(touched);
        break;
      case 11:
        touched.everything = gen_.number(4) == 3;
        break;
      case 12:
        change_behind(touched);
        break;
      default:
        pass_time();
    }
    settle(world());
    return touched;
  }

 private:
  policy::Device& a_device(Touched& touched) {
    auto& device = world().devices.at(DeviceId{fmt::format("d{}", gen_.number(shape_.devices))});
    touched.devices.push_back(device.id);
    return device;
  }

  std::optional<SessionId> a_session(Touched& touched) {
    if (world().sessions.empty()) return std::nullopt;
    auto it = world().sessions.begin();
    std::advance(it, gen_.number(static_cast<std::uint32_t>(world().sessions.size())));
    touched.sessions.push_back(it->first);
    return it->first;
  }

  void give_facts(policy::Device& device) {
    device.ownership.reset();
    device.checks.reset();
    device.attestation.reset();
    device.source.reset();
    device.country.reset();
    facts_.fill(device);
  }
  void give_facts(policy::Session& session) {
    session.signals.clear();
    facts_.fill(session);
  }

  void open_session(Touched& touched) {
    if (world().sessions.size() > 2 * shape_.sessions) return close_session(touched);
    const std::string id = fmt::format("s-more-{}", ++opened_);
    policy::Session session =
        builder_.session(id, fmt::format("u{}@acme.example", gen_.number(shape_.users)),
                         fmt::format("d{}", gen_.number(shape_.devices)),
                         now + std::chrono::minutes(std::array{3, 17, 70, 600}[gen_.number(4)]));
    give_facts(session);
    if (gen_.number(3) == 2) session.claims.insert("corp:c0");
    touched.sessions.push_back(session.id);
    world().sessions.put(std::move(session));
  }

  void close_session(Touched& touched) {
    if (const auto session = a_session(touched)) world().sessions.close(*session);
  }

  void change_state(Touched& touched) {
    policy::Device& device = a_device(touched);
    const bool active = device.state == policy::DeviceState::active;
    device.state = active ? policy::DeviceState::removed : policy::DeviceState::active;
    if (active && gen_.number(2) == 1)
      for (const SessionId& session : world().sessions.on(device.id)) world().sessions.close(session);
  }

  /// One comes, goes, is isolated or released, or gets other tags.
  void change_behind(Touched& touched) {
    std::vector<DeviceId> all;
    for (const auto& [gateway, devices] : world().behind)
      all.insert(all.end(), devices.begin(), devices.end());
    if (all.empty() || (all.size() < 2 * shape_.behind && gen_.number(3) == 0)) {
      touched.devices.push_back(gen_.behind(builder_, 100 + ++opened_).id);
      return;
    }
    policy::Device& device = world().devices.at(all[gen_.number(static_cast<std::uint32_t>(all.size()))]);
    touched.devices.push_back(device.id);
    switch (gen_.number(3)) {
      case 0:
        policy::forget_behind(world(), device);
        device.state = policy::DeviceState::removed;
        break;
      case 1:
        device.isolated = !device.isolated;
        break;
      default:
        if (const std::string tag = fmt::format("t{}", gen_.number(shape_.tags)); device.tags.erase(tag) == 0)
          device.tags.insert(tag);
    }
  }

  void change_user(Touched& touched) {
    auto it = world().users.begin();
    std::advance(it, gen_.number(static_cast<std::uint32_t>(world().users.size())));
    policy::User& user = world().users.at(it->first);
    if (gen_.number(4) == 3)
      user.name = fmt::format("u{}@acme.example", gen_.number(shape_.users));
    else
      user.disabled = !user.disabled;
    touched.users.push_back(user.id);
  }

  /// Another text whole, or one rule more, fewer or another.
  void change_policy(Touched& touched) {
    touched.policy = true;
    if (definitions_.empty() || gen_.number(4) == 3) {
      definitions_ = gen_.definitions();
      rules_ = gen_.rules();
    } else if (gen_.number(3) == 2) {
      definitions_ = gen_.definitions();
    } else if (!rules_.empty() && gen_.number(2) == 1) {
      rules_.erase(rules_.begin() + gen_.number(static_cast<std::uint32_t>(rules_.size())));
    } else {
      rules_.push_back(gen_.rule(fmt::format("more-{}", ++added_), gen_.number(3) == 2 ? "forbid" : "allow"));
    }
    std::string text;
    for (const std::string& stanza : definitions_) text += stanza;
    for (const std::string& stanza : rules_) text += stanza;
    builder_.policy(text);
  }

  /// To an edge, just before or after it, or on.
  void pass_time() {
    const Timestamp next = policy::next_change_at(world(), now);
    const std::array<std::chrono::microseconds, 3> around{
        std::chrono::microseconds(0), std::chrono::microseconds(-1), std::chrono::microseconds(1)};
    const Timestamp to = next == kNever || gen_.number(3) == 2 ? now + std::chrono::minutes(gen_.number(9))
                                                               : next + around[gen_.number(3)];
    now = std::max(now, to);
    if (gen_.number(2) == 1)
      for (const SessionId& session : world().sessions.over(now)) world().sessions.close(session);
  }

  WorldShape shape_;
  WorldGen gen_;
  ConditionGen facts_;
  WorldBuilder builder_;
  World copy_;
  std::vector<std::string> definitions_, rules_;
  int opened_ = 0, added_ = 0;
};

SetDigest advanced(SetDigest digest, const NodeState& state, const std::vector<policy::Change>& changes) {
  for (const policy::Change& change : changes) {
    if (const auto it = state.entries.find(change.key); it != state.entries.end())
      digest.remove(policy::encode(it->first, it->second));
    if (change.value) digest.add(policy::encode(change.key, *change.value));
  }
  return digest;
}

/// Holds the engine against a full compile, as one change after another happens.
class Watch {
 public:
  explicit Watch(Changing& changing)
      : changing_(changing), engine_(changing.world(), changing.now), states_(compiled()) {
    check_states();
  }

  void step() {
    const Touched touched = changing_.change();
    const Engine::Update update = engine_.advance(touched, changing_.now);
    const States before = std::exchange(states_, compiled());
    check_states();
    std::map<DeviceId, std::vector<policy::Change>> told;
    for (std::size_t i = 0; i < update.size(); ++i)
      RC_ASSERT(told.emplace(update.device(i), update.changes(i)->changes()).second);
    static const NodeState kNone;
    for (const auto& [device, state] : states_) {
      const auto it = before.find(device);
      const NodeState& was = it == before.end() ? kNone : it->second;
      RC_ASSERT(told.contains(device) == (was != state));
      if (was == state) continue;
      RC_ASSERT(told.at(device) == policy::difference(was, state));
      NodeState applied = was;
      policy::apply(applied, told.at(device));
      RC_ASSERT(applied == state);
      RC_ASSERT(advanced(policy::digest(was), was, told.at(device)) == policy::digest(state));
      told.erase(device);
    }
    RC_ASSERT(told.empty());
    check_next_change();
  }

  const Engine& engine() const { return engine_; }

 private:
  States compiled() { return policy::compile(changing_.world(), changing_.now); }
  void check_states() {
    for (const auto& [id, device] : changing_.world().devices) {
      const auto it = states_.find(id);
      RC_ASSERT(engine_.is_active(id) == (it != states_.end()));
      RC_ASSERT(engine_.state(id) == (it == states_.end() ? NodeState{} : it->second));
    }
  }

  void check_next_change() {
    const Timestamp compiled = policy::next_change_at(changing_.world(), changing_.now);
    RC_ASSERT(format_rfc3339(engine_.next_change_at()) == format_rfc3339(compiled));
    RC_ASSERT(engine_.next_change_at() > changing_.now);
  }

  Changing& changing_;
  Engine engine_;
  States states_;
};

RC_GTEST_PROP(Engine, incremental_equals_full_after_any_changes, ()) {
  Changing changing(drawn(), {.conditions = true});
  Watch watch(changing);
  for (std::uint32_t n = drawn()(24); n > 0; --n) watch.step();
}

/// The same sequence each time, and one that nobody has seen yet.
TEST(Engine, IncrementalEqualsFullAfterAThousandChanges) {
  const WorldShape shape{.users = 5,
                         .groups = 4,
                         .tags = 5,
                         .segments = 4,
                         .rules = 14,
                         .devices = 8,
                         .sessions = 8,
                         .conditions = true};
  for (const unsigned seed : {20260105u, std::random_device{}()}) {
    Changing changing(seeded(seed), shape);
    Watch watch(changing);
    for (int n = 0; n < 1000; ++n) ASSERT_NO_THROW(watch.step()) << "change " << n << " of seed " << seed;
  }
}

// P1-P10: the interned tables answer as the oracle does, also after changes.
RC_GTEST_PROP(Engine, decide_equals_evaluate, ()) {
  WorldGen gen(drawn());
  Changing changing(drawn(), {.conditions = true});
  Engine engine(changing.world(), changing.now);
  for (std::uint32_t n = gen.number(4); n > 0; --n) {
    const Touched touched = changing.change();
    engine.advance(touched, changing.now);
  }
  const World& world = changing.world();
  for (int i = 0; i < 8; ++i) {
    const std::uint8_t protocol = gen.protocol();
    const std::uint16_t port = gen.port();
    for (const auto& principal : all_principals(world))
      for (const auto& [target, device] : world.devices) {
        const policy::Query query{
            .principal = principal, .target = target, .protocol = protocol, .port = port};
        const auto expected = policy::evaluate(world, query, changing.now);
        const auto verdict = engine.decide(principal, target, protocol, port);
        RC_ASSERT(verdict.accept == (expected.verdict == policy::Verdict::allow));
        RC_ASSERT(verdict.observed == expected.observed);
        if (!verdict.accept) continue;
        RC_ASSERT(verdict.rule == world.rule_ids.at(expected.rule));
        RC_ASSERT(verdict.deadline <= expected.deadline);
      }
  }
}

}  // namespace engine_test
}  // namespace cordon::test
