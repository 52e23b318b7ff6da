// Each rule of decision of POLICY.md that this release has, by its name.

#include "policy/evaluate.h"

#include <gtest/gtest.h>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace evaluate_test {

using policy::Decision;
using policy::evaluate;
using policy::kTcp;
using policy::Verdict;
using std::chrono::hours;
using std::chrono::minutes;

constexpr const char* kPolicy = R"(
[groups]
traders    = { users = ["trader"], claims = ["corp:trading"] }
vendors    = { users = ["vendor"] }
responders = { users = ["oncall"] }

[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
web    = ["tcp/443", "ping"]

[segments.web]
members = ["tag:web", "device:special"]
[segments.web.services]
site = ["tcp/443"]

[segments.lab]
members = ["tag:lab"]
mode = "observe"
[segments.lab.services]
x = ["tcp/1"]

[[allow]]
name = "traders-to-settlement"
from = { groups = ["traders"] }
to   = ["settlement/*", "settlement tcp/22"]

[[allow]]
name = "web-to-ledger"
from = { segments = ["web"] }
to   = ["settlement/ledger"]

[[allow]]
name = "backup-by-tag"
from = { tags = ["backup"] }
to   = ["web tcp/873"]

[[allow]]
name = "vendors-to-all"
from = { users = ["vendor"] }
to   = ["settlement any", "web any"]

[[forbid]]
name = "vendors-never"
from = { groups = ["vendors"] }
to   = ["settlement/*"]

[[forbid]]
name = "a-forbid-with-a-lower-name"
from = { groups = ["vendors"] }
to   = ["settlement/ledger"]

[[allow]]
name = "responders"
from = { groups = ["responders"] }
to   = ["settlement tcp/22"]
responders = true
)";

class Evaluate : public testing::Test {
 protected:
  Evaluate() {
    builder.policy(kPolicy);
    builder.device("ledger", {"settlement"});
    builder.device("web", {"web"});
    builder.device("special");
    builder.device("backup", {"backup"});
    builder.device("lab", {"lab"});
    builder.device("laptop");
    builder.session("s-trader", "trader", "laptop");
    builder.session("s-clerk", "clerk", "laptop");
    builder.session("s-vendor", "vendor", "laptop");
    builder.session("s-oncall", "oncall", "laptop");
  }

  Decision ask(const policy::PrincipalRef& principal, const char* target, std::uint16_t port = 5432,
               std::uint8_t protocol = kTcp, Timestamp now = kNow) const {
    return evaluate(
        world, {.principal = principal, .target = DeviceId{target}, .protocol = protocol, .port = port}, now);
  }
  static SessionId session(const char* id) { return SessionId{id}; }
  static DeviceId device(const char* id) { return DeviceId{id}; }

  WorldBuilder builder;
  policy::World& world = builder.world();
};

TEST_F(Evaluate, P1_AllowedByAnAllowAndByNothingElse) {
  const Decision yes = ask(session("s-trader"), "ledger");
  EXPECT_EQ(yes.verdict, Verdict::allow);
  EXPECT_EQ(yes.rule, "traders-to-settlement");
  const Decision no = ask(session("s-clerk"), "ledger");
  EXPECT_EQ(no.verdict, Verdict::deny);
  EXPECT_TRUE(no.rule.empty());
  EXPECT_TRUE(no.reason.empty());
  EXPECT_TRUE(no.because.empty()) << "rules about others are no reason";
}

TEST_F(Evaluate, P1_AForbidIsStrongerThanAnyAllow) {
  EXPECT_EQ(ask(session("s-vendor"), "web", 1).verdict, Verdict::allow);
  const Decision decision = ask(session("s-vendor"), "ledger", 443);
  EXPECT_EQ(decision.verdict, Verdict::forbid);
  EXPECT_EQ(decision.rule, "vendors-never");
  EXPECT_EQ(ask(session("s-vendor"), "ledger", 8080).verdict, Verdict::allow)
      << "the forbid names services only";
}

TEST_F(Evaluate, P1_WithNoPolicyNothingIsAllowed) {
  builder.policy("");
  EXPECT_EQ(ask(session("s-trader"), "ledger").verdict, Verdict::deny);
}

TEST_F(Evaluate, P2_UsersAndGroupsSelectSessionsNotDevices) {
  EXPECT_EQ(ask(device("laptop"), "ledger").verdict, Verdict::deny);
  world.sessions.change(SessionId{"s-clerk"},
                        [](policy::Session& session) { session.claims = {"corp:trading"}; });
  EXPECT_EQ(ask(session("s-clerk"), "ledger").verdict, Verdict::allow) << "by claim";
}

TEST_F(Evaluate, P2_SegmentsAndTagsSelectDevicesNotSessions) {
  EXPECT_EQ(ask(device("web"), "ledger").verdict, Verdict::allow);
  EXPECT_EQ(ask(device("special"), "ledger").verdict, Verdict::allow) << "a member by id";
  EXPECT_EQ(ask(device("backup"), "web", 873).verdict, Verdict::allow);
  builder.session("s-on-web", "clerk", "web");
  EXPECT_EQ(ask(session("s-on-web"), "ledger").verdict, Verdict::deny);
}

TEST_F(Evaluate, P3_AnEndedSessionIsDeniedBeforeAnyRule) {
  world.sessions.change(SessionId{"s-trader"},
                        [](policy::Session& session) { session.ends_at = kNow; });  // the end is out
  const Decision decision = ask(session("s-trader"), "ledger");
  EXPECT_EQ(decision.verdict, Verdict::deny);
  EXPECT_EQ(decision.reason, "session ended");
  EXPECT_TRUE(decision.because.empty());
}

TEST_F(Evaluate, P3_UnknownPrincipalsAndTargetsAreDenied) {
  EXPECT_EQ(ask(session("s-none"), "ledger").reason, "unknown principal");
  EXPECT_EQ(ask(device("none"), "ledger").reason, "unknown principal");
  EXPECT_EQ(ask(session("s-trader"), "none").reason, "unknown target");
  world.devices.at(DeviceId{"ledger"}).state = policy::DeviceState::pending;
  EXPECT_EQ(ask(session("s-trader"), "ledger").reason, "unknown target");
  world.devices.at(DeviceId{"laptop"}).state = policy::DeviceState::removed;
  EXPECT_EQ(ask(session("s-trader"), "ledger").reason, "unknown principal");
}

TEST_F(Evaluate, P3_ADisabledUserHoldsNothing) {
  world.users.at(SubjectId{"u-trader"}).disabled = true;
  EXPECT_EQ(ask(session("s-trader"), "ledger").reason, "disabled user");
  world.users.erase(SubjectId{"u-trader"});
  EXPECT_EQ(ask(session("s-trader"), "ledger").reason, "unknown principal");
}

TEST_F(Evaluate, P3_OfSeveralForbidsTheLowestNameIsTold) {
  const Decision decision = ask(session("s-vendor"), "ledger", 5432);
  EXPECT_EQ(decision.verdict, Verdict::forbid);
  EXPECT_EQ(decision.rule, "a-forbid-with-a-lower-name");
  ASSERT_EQ(decision.because.size(), 3u);
  EXPECT_EQ(decision.because[0].rule, "a-forbid-with-a-lower-name");
  EXPECT_EQ(decision.because[1].rule, "vendors-never");
  EXPECT_EQ(decision.because[2].rule, "vendors-to-all");
}

TEST_F(Evaluate, P7_TheDeadlineIsTheEarlierOfSessionEndAndLease) {
  EXPECT_EQ(ask(session("s-trader"), "ledger").deadline, kNow + minutes(15));
  world.sessions.change(SessionId{"s-trader"},
                        [](policy::Session& session) { session.ends_at = kNow + minutes(3); });
  EXPECT_EQ(ask(session("s-trader"), "ledger").deadline, kNow + minutes(3));
  EXPECT_EQ(ask(device("web"), "ledger").deadline, kNow + minutes(15));
}

TEST_F(Evaluate, P7_TheLatestDeadlineWinsThenTheLowestName) {
  builder.policy(R"(
[segments.s]
members = ["tag:settlement"]
[[allow]]
name = "b-long"
from = { users = ["trader"] }
to = ["s tcp/1-10"]
lease = "1h"
[[allow]]
name = "a-short"
from = { users = ["trader"] }
to = ["s any"]
lease = "5m"
)");
  Decision decision = ask(session("s-trader"), "ledger", 5);
  EXPECT_EQ(decision.rule, "b-long");
  EXPECT_EQ(decision.lease, hours(1));
  world.sessions.change(SessionId{"s-trader"},
                        [](policy::Session& session) { session.ends_at = kNow + minutes(5); });
  decision = ask(session("s-trader"), "ledger", 5);
  EXPECT_EQ(decision.rule, "a-short") << "both end with the session";
  EXPECT_EQ(decision.deadline, kNow + minutes(5));
}

TEST_F(Evaluate, P8_DestinationsAreServicesAllServicesOrAccesses) {
  EXPECT_EQ(ask(session("s-trader"), "ledger", 443).verdict, Verdict::allow);
  EXPECT_EQ(ask(session("s-trader"), "ledger", 22).verdict, Verdict::allow);
  EXPECT_EQ(ask(session("s-trader"), "ledger", 80).verdict, Verdict::deny);
  EXPECT_EQ(ask(session("s-trader"), "ledger", 8, policy::kIcmp).verdict, Verdict::allow);
  EXPECT_EQ(ask(session("s-trader"), "ledger", 128, policy::kIcmpv6).verdict, Verdict::allow);
  EXPECT_EQ(ask(session("s-trader"), "ledger", 0, policy::kIcmp).verdict, Verdict::deny);
  EXPECT_EQ(ask(device("web"), "ledger", 443).verdict, Verdict::deny) << "one service only";
}

TEST_F(Evaluate, P8_ADeviceIsATargetForItsOwnPrincipalsLikeAnyOther) {
  world.devices.at(DeviceId{"ledger"}).tags.insert("web");
  EXPECT_EQ(ask(device("ledger"), "ledger").verdict, Verdict::allow);
  builder.session("s-local", "clerk", "ledger");
  EXPECT_EQ(ask(session("s-local"), "ledger").verdict, Verdict::deny);
}

TEST_F(Evaluate, P9_ADeviceMayBeInSeveralSegments) {
  world.devices.at(DeviceId{"ledger"}).tags.insert("web");
  EXPECT_EQ(ask(device("backup"), "ledger", 873).verdict, Verdict::allow) << "allowed as a member of web";
  EXPECT_EQ(ask(session("s-vendor"), "ledger", 443).verdict, Verdict::forbid)
      << "forbidden as one of settlement";
}

TEST_F(Evaluate, P9_ObserveAppliesWhenAllSegmentsObserve) {
  const Decision decision = ask(session("s-clerk"), "lab", 1);
  EXPECT_EQ(decision.verdict, Verdict::deny) << "the verdict stays what it is";
  EXPECT_TRUE(decision.observed);
  world.devices.at(DeviceId{"lab"}).tags.insert("web");
  EXPECT_FALSE(ask(session("s-clerk"), "lab", 1).observed);
  EXPECT_FALSE(ask(session("s-clerk"), "laptop", 1).observed) << "in no segment";
}

TEST_F(Evaluate, P9_IsolationIsNeverOnlyObserved) {
  world.devices.at(DeviceId{"lab"}).isolated = true;
  EXPECT_FALSE(ask(session("s-clerk"), "lab", 1).observed);
}

TEST_F(Evaluate, P10_AnIsolatedDeviceHoldsNothing) {
  world.devices.at(DeviceId{"laptop"}).isolated = true;
  EXPECT_EQ(ask(session("s-trader"), "ledger").reason, "isolated");
  world.devices.at(DeviceId{"web"}).isolated = true;
  EXPECT_EQ(ask(device("web"), "ledger").reason, "isolated");
}

TEST_F(Evaluate, P10_AnIsolatedTargetIsReachedByRespondersOnly) {
  EXPECT_EQ(ask(session("s-oncall"), "ledger", 22).verdict, Verdict::deny) << "isolated targets only";
  world.devices.at(DeviceId{"ledger"}).isolated = true;
  const Decision responder = ask(session("s-oncall"), "ledger", 22);
  EXPECT_EQ(responder.verdict, Verdict::allow);
  EXPECT_TRUE(responder.responder);
  const Decision trader = ask(session("s-trader"), "ledger", 22);
  EXPECT_EQ(trader.verdict, Verdict::deny);
  ASSERT_EQ(trader.because.size(), 1u);
  EXPECT_FALSE(trader.because[0].holds);
  EXPECT_EQ(trader.because[0].failed.at(0).condition, "responders");
}

TEST_F(Evaluate, P10_OfForbidsOnlyThoseMarkedTouchIsolatedTargets) {
  const std::string forbid =
      "[[forbid]]\nname = \"f\"\nfrom = { groups = [\"responders\"] }\nto = [\"settlement any\"]\n";
  world.devices.at(DeviceId{"ledger"}).isolated = true;
  builder.policy(kPolicy + forbid);
  EXPECT_EQ(ask(session("s-oncall"), "ledger", 22).verdict, Verdict::allow);
  builder.policy(kPolicy + forbid + "responders = true\n");
  EXPECT_EQ(ask(session("s-oncall"), "ledger", 22).verdict, Verdict::forbid);
}

TEST_F(Evaluate, VerdictsHaveNames) {
  EXPECT_EQ(to_string(Verdict::allow), "allow");
  EXPECT_EQ(to_string(Verdict::deny), "deny");
  EXPECT_EQ(to_string(Verdict::forbid), "forbid");
}

}  // namespace evaluate_test
}  // namespace cordon::test
