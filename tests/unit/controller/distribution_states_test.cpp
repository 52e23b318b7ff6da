// What a record is said to touch is enough: the states that are kept up to date equal those compiled anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "controller/distribution/state_source.h"
#include "policy/compile.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace distribution_states_test {

using namespace test;
using namespace kinds;

constexpr const char* kPolicy = R"(
[groups]
traders = { users = ["trader@acme.example"] }
[segments.web]
members = ["tag:web"]
[segments.web.services]
site = ["tcp/443"]
[segments.ledger]
members = ["tag:ledger"]
[segments.ledger.services]
db = ["tcp/5432"]
[[allow]]
name = "traders"
from = { groups = ["traders"] }
to   = ["ledger/db"]
when = { health_min = 0.4, trust_min = 40 }
[[allow]]
name = "web"
from = { segments = ["web"] }
to   = ["ledger/db"]
)";

/// A history, the states that followed it, and what a node would hold that only ever got changes.
struct Followed {
  History history;
  StateSource source{history.world};
  std::map<DeviceId, policy::NodeState> nodes;
  std::size_t told = 0;

  void add(const Kind& kind, std::chrono::microseconds after = Seconds(1)) {
    const Record& record = history.add(kind, after);
    for (const auto& affected : source.advance(record, [](const DeviceId&) { return true; })) {
      ASSERT_NE(affected.changes, nullptr);
      policy::apply(nodes[affected.device], affected.changes->changes());
      ++told;
    }
    check(record.kind);
  }

  void check(const std::string& kind) {
    const policy::World& world = history.world;
    for (const auto& [id, device] : world.devices) {
      const policy::NodeState state = policy::compile_node(world, id, world.at);
      if (device.state != policy::DeviceState::active) {
        EXPECT_EQ(source.state(id), nullptr) << kind;
        continue;
      }
      if (!source.follows(id)) nodes[id] = *source.follow(id);
      EXPECT_EQ(*source.state(id), state) << kind << ": " << id.value;
      EXPECT_EQ(nodes[id], state) << kind << ": " << id.value;
    }
    EXPECT_EQ(source.next_change_at(), policy::next_change_at(world, world.at)) << kind;
  }
};

TEST(DistributionStates, AreThoseCompiledAnewAfterEachKindOfRecord) {
  Followed f;
  f.add(installation());
  f.add(join_token("t-1"));
  f.add(PolicyApplied{.files = {{.name = "a.toml", .text = kPolicy}}});
  for (unsigned i = 0; i < 3; ++i) f.add(enrolled(fmt::format("d{}", i), "t-1", i + 1));
  f.add(user("u-1", "trader@acme.example"));
  f.add(DeviceTagged{.device = DeviceId("d1"), .tags = {"ledger"}});
  f.add(DeviceTagged{.device = DeviceId("d2"), .tags = {}});
  f.add(session("s-1", "u-1", "d2", 1000, f.history.now + std::chrono::hours(2)));
  const std::size_t before = f.told;
  f.add(DeviceFacts{.device = DeviceId("d2"), .checks = std::set<std::string>{"os_updates"}});
  EXPECT_EQ(f.told - before, 2u) << "the laptop and its target: the session may reach the ledger now";
  f.add(SessionSignals{.session = SessionId("s-1"),
                       .signals = {{.name = "odd", .cost = 90, .until = f.history.now + Seconds(60)}}});
  f.add(DeviceClassified{.device = DeviceId("d2"), .ownership = policy::Ownership::personal});
  f.add(TimeAdvanced{}, std::chrono::minutes(2));
  f.add(WireguardKeyChanged{.device = DeviceId("d0"), .wireguard_key = {9, 9}});
  f.add(session("s-2", "u-1", "d2", 1000, f.history.now + std::chrono::hours(1)));
  f.add(DeviceIsolated{.device = DeviceId("d1"), .reason = "odd"});
  f.add(DeviceReleased{.device = DeviceId("d1")});
  f.add(UserDisabled{.user = SubjectId("u-1"), .disabled = true});
  f.add(UserDisabled{.user = SubjectId("u-1"), .disabled = false});
  f.add(session("s-3", "u-1", "d2", 1000, f.history.now + std::chrono::hours(1)));
  f.add(TimeAdvanced{}, std::chrono::hours(1));
  f.add(session("s-4", "u-1", "d2", 1000, f.history.now + std::chrono::hours(1)));
  f.add(SessionClosed{.session = SessionId("s-4"), .reason = "signed out"});
  f.add(PolicyApplied{.files = {{.name = "a.toml", .text = ""}},
                      .confirm_by = f.history.now + std::chrono::minutes(5),
                      .tzdata = "2026a"});
  f.add(PolicyRolledBack{.revision = f.history.world.policy_revision, .reason = "nobody confirmed it"});
  f.add(DeviceRemoved{.device = DeviceId("d1"), .reason = "sold"});
}

}  // namespace distribution_states_test
}  // namespace cordon::controller
