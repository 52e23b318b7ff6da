#include <gtest/gtest.h>

#include "controller/world/addresses.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace world_apply_test {

using namespace test;
using namespace kinds;
using policy::DeviceState;

History with_token(const std::string& v4 = "100.64.0.0/10") {
  History h;
  h.add(installation(v4));
  h.add(join_token("t-1"));
  return h;
}

History with_people(const std::string& v4 = "100.64.0.0/10") {
  auto h = with_token(v4);
  h.add(enrolled("trader", "t-1", 1));
  h.add(user("u-1", "trader@acme.example"));
  return h;
}

ErrorCode code_of(const Result<>& result) {
  return result ? ErrorCode::internal : result.error().code;
}
Timestamp in_an_hour(const History& h) {
  return h.now + std::chrono::hours(1);
}

TEST(World, BeginsWithTheInstallationAndHasOnlyOne) {
  History h;
  EXPECT_EQ(code_of(h.try_add(TimeAdvanced{})), ErrorCode::conflict);
  h.add(installation());
  EXPECT_EQ(code_of(h.try_add(installation())), ErrorCode::conflict);
}

TEST(World, RefusesOverlaysOutsideTheirRanges) {
  for (const auto* v4 : {"10.0.0.0/16", "100.64.0.0/31", "192.0.2.0/24"}) {
    History h;
    EXPECT_EQ(code_of(h.try_add(installation(v4))), ErrorCode::invalid) << v4;
  }
}

TEST(World, ARecordThatDoesNotFollowOnLeavesItUntouched) {
  auto h = with_token();
  const auto before = describe(h.world);
  const auto proposal = encode("root@local", TimeAdvanced{});
  const auto good = next_record(h.world, proposal, h.now + Seconds(1));
  std::vector<Record> bad(5, good);
  bad[0].revision = Revision(7);
  bad[1].previous[0] ^= 1;
  bad[2].payload = "{ }";
  bad[3] = next_record(h.world, proposal, h.world.at);
  bad[4] = next_record(h.world, {.actor = "x", .kind = "device exploded", .version = 1, .payload = "{}"},
                       h.now + Seconds(1));
  for (const auto& record : bad) {
    EXPECT_FALSE(apply(h.world, record, plain_name, system_time_zones()));
    EXPECT_EQ(describe(h.world), before);
  }
  EXPECT_TRUE(apply(h.world, good, plain_name, system_time_zones()));
}

TEST(World, AnActorHasAName) {
  auto h = with_token();
  const std::vector<std::string> nobody = {"", "a\nb", "\xff", std::string(256, 'a')};
  for (const std::string& actor : nobody) {
    EXPECT_FALSE(check(h.world, encode(actor, TimeAdvanced{}), h.now + Seconds(1), system_time_zones()));
  }
}

TEST(World, TokensCountUsesAndEnd) {
  History h;
  h.add(installation());
  h.add(join_token("t-1", 1));
  h.add(enrolled("a", "t-1", 1));
  EXPECT_EQ(h.world.join_tokens.at(TokenId("t-1")).uses_left, 0u);
  EXPECT_EQ(code_of(h.try_add(enrolled("b", "t-1", 2))), ErrorCode::unauthorized);
  EXPECT_EQ(code_of(h.try_add(enrolled("b", "t-unknown", 2))), ErrorCode::unauthorized);

  h.add(join_token("t-2"));
  h.add(JoinTokenRevoked{TokenId("t-2")});
  EXPECT_EQ(code_of(h.try_add(enrolled("b", "t-2", 2))), ErrorCode::unauthorized);
  EXPECT_EQ(code_of(h.try_add(JoinTokenRevoked{TokenId("t-2")})), ErrorCode::conflict);
  EXPECT_EQ(code_of(h.try_add(JoinTokenRevoked{TokenId("t-9")})), ErrorCode::not_found);

  auto soon = join_token("t-3");
  soon.token.expires_at = h.now + Seconds(10);
  h.add(soon);
  EXPECT_EQ(code_of(h.try_add(enrolled("b", "t-3", 2), Seconds(9))), ErrorCode::unauthorized);
  EXPECT_TRUE(h.try_add(enrolled("b", "t-3", 2), Seconds(8)));
  EXPECT_EQ(code_of(h.try_add(soon)), ErrorCode::conflict);
}

TEST(World, ApprovalIsWaivedOnlyWithASource) {
  auto h = with_token();
  auto token = join_token("t-2");
  token.token.source.reset();
  EXPECT_EQ(code_of(h.try_add(token)), ErrorCode::invalid);

  h.add(join_token("t-3", 1, false));
  h.add(enrolled("slow", "t-3", 1));
  const auto& device = h.world.devices.at(DeviceId("slow"));
  EXPECT_EQ(device.state, DeviceState::pending);
  EXPECT_TRUE(device.addresses.v4.is_unspecified());
  EXPECT_EQ(h.world.v4.in_use(), 0u);
  h.add(DeviceApproved{DeviceId("slow")});
  EXPECT_EQ(device.state, DeviceState::active);
  EXPECT_EQ(device.addresses.v4.to_string(), "100.64.0.1");
  EXPECT_EQ(device.addresses.v6.to_string(), "fd12:3456:789a::1");
  EXPECT_EQ(code_of(h.try_add(DeviceApproved{DeviceId("slow")})), ErrorCode::conflict);
}

TEST(World, TagsComeFromTheTokenAndThenFromOperators) {
  auto h = with_token();
  h.add(enrolled("a", "t-1", 1));
  const auto& device = h.world.devices.at(DeviceId("a"));
  EXPECT_EQ(device.tags, (std::set<std::string>{"web"}));
  EXPECT_EQ(device.ownership, policy::Ownership::company);
  h.add(DeviceTagged{DeviceId("a"), {"x", "y"}});
  EXPECT_EQ(device.tags, (std::set<std::string>{"x", "y"}));
  EXPECT_EQ(code_of(h.try_add(DeviceTagged{DeviceId("a"), {"not a tag"}})), ErrorCode::invalid);
}

TEST(World, NamesAndKeysAreOneDevices) {
  auto h = with_token();
  h.add(enrolled("a", "t-1", 1));
  EXPECT_EQ(code_of(h.try_add(enrolled("a", "t-1", 2))), ErrorCode::conflict);
  EXPECT_EQ(code_of(h.try_add(enrolled("b", "t-1", 1))), ErrorCode::conflict);
  auto same_wireguard = enrolled("b", "t-1", 2);
  same_wireguard.wireguard_key = enrolled("", "", 1).wireguard_key;
  EXPECT_EQ(code_of(h.try_add(same_wireguard)), ErrorCode::conflict);
  EXPECT_EQ(code_of(h.try_add(enrolled("Upper", "t-1", 3))), ErrorCode::invalid);
  EXPECT_EQ(code_of(h.try_add(enrolled("under_score", "t-1", 3))), ErrorCode::invalid);

  h.add(DeviceRemoved{DeviceId("a"), "sold"});
  EXPECT_EQ(code_of(h.try_add(enrolled("a", "t-1", 2))), ErrorCode::conflict) << "names are never used again";
  h.add(enrolled("b", "t-1", 1));
  EXPECT_EQ(h.world.devices.at(DeviceId("b")).number, 2u) << "neither are numbers";
}

TEST(World, WireguardKeysChangeButNotToAnothers) {
  auto h = with_token();
  h.add(enrolled("a", "t-1", 1));
  h.add(enrolled("b", "t-1", 2));
  const auto key_of = [&](const char* id) { return h.world.devices.at(DeviceId(id)).wireguard_key; };
  EXPECT_EQ(code_of(h.try_add(WireguardKeyChanged{DeviceId("a"), key_of("b")})), ErrorCode::conflict);
  EXPECT_EQ(code_of(h.try_add(WireguardKeyChanged{DeviceId("a"), {}})), ErrorCode::invalid);
  WireguardKey fresh{};
  fresh[31] = 9;
  h.add(WireguardKeyChanged{DeviceId("a"), fresh});
  EXPECT_EQ(key_of("a"), fresh);
}

TEST(World, IsolationClosesTheDevicesSessions) {
  auto h = with_people();
  h.add(enrolled("clerk", "t-1", 2));
  h.add(session("s-1", "u-1", "trader", 1000, in_an_hour(h)));
  h.add(session("s-2", "u-1", "clerk", 1000, in_an_hour(h)));
  h.add(DeviceIsolated{DeviceId("trader"), "malware"});
  EXPECT_TRUE(h.world.devices.at(DeviceId("trader")).isolated);
  EXPECT_FALSE(h.world.sessions.contains(SessionId("s-1")));
  EXPECT_TRUE(h.world.sessions.contains(SessionId("s-2")));
  EXPECT_EQ(code_of(h.try_add(session("s-3", "u-1", "trader", 1000, in_an_hour(h)))), ErrorCode::forbidden);
  EXPECT_EQ(code_of(h.try_add(DeviceIsolated{DeviceId("trader"), ""})), ErrorCode::conflict);
  h.add(DeviceReleased{DeviceId("trader")});
  EXPECT_EQ(code_of(h.try_add(DeviceReleased{DeviceId("trader")})), ErrorCode::conflict);
  EXPECT_TRUE(h.try_add(session("s-3", "u-1", "trader", 1000, in_an_hour(h))));
}

TEST(World, RemovalClosesSessionsAndGivesAddressesBack) {
  auto h = with_people();
  h.add(session("s-1", "u-1", "trader", 1000, in_an_hour(h)));
  EXPECT_EQ(h.world.v4.in_use(), 2u);
  h.add(DeviceRemoved{DeviceId("trader"), "sold"});
  EXPECT_TRUE(h.world.sessions.empty());
  EXPECT_EQ(h.world.v4.in_use(), 0u);
  EXPECT_EQ(h.world.v4.resting(), 2u);
  EXPECT_EQ(h.world.devices.at(DeviceId("trader")).state, DeviceState::removed);
  EXPECT_EQ(code_of(h.try_add(DeviceRemoved{DeviceId("trader"), ""})), ErrorCode::not_found);
  EXPECT_EQ(code_of(h.try_add(DeviceIsolated{DeviceId("trader"), ""})), ErrorCode::not_found);
}

TEST(World, DisablingAUserClosesTheirSessions) {
  auto h = with_people();
  h.add(session("s-1", "u-1", "trader", 1000, in_an_hour(h)));
  h.add(UserDisabled{SubjectId("u-1"), true});
  EXPECT_TRUE(h.world.sessions.empty());
  EXPECT_EQ(code_of(h.try_add(session("s-2", "u-1", "trader", 1000, in_an_hour(h)))), ErrorCode::forbidden);
  h.add(UserDisabled{SubjectId("u-1"), false});
  EXPECT_TRUE(h.try_add(session("s-2", "u-1", "trader", 1000, in_an_hour(h))));
}

TEST(World, ANewLoginTakesThePlaceOfTheSameUidsLast) {
  auto h = with_people();
  h.add(session("s-1", "u-1", "trader", 1000, in_an_hour(h)));
  h.add(session("s-2", "u-1", "trader", 1001, in_an_hour(h)));
  h.add(session("s-3", "u-1", "trader", 1000, in_an_hour(h)));
  EXPECT_FALSE(h.world.sessions.contains(SessionId("s-1")));
  EXPECT_TRUE(h.world.sessions.contains(SessionId("s-2")));
  EXPECT_TRUE(h.world.sessions.contains(SessionId("s-3")));
}

TEST(World, SessionsNeedWhatTheyName) {
  auto h = with_people();
  EXPECT_EQ(code_of(h.try_add(session("s", "u-9", "trader", 1, in_an_hour(h)))), ErrorCode::not_found);
  EXPECT_EQ(code_of(h.try_add(session("s", "u-1", "nobody", 1, in_an_hour(h)))), ErrorCode::not_found);
  EXPECT_EQ(code_of(h.try_add(session("s", "u-1", "trader", 1, h.now))), ErrorCode::invalid);
  EXPECT_EQ(code_of(h.try_add(SessionClosed{SessionId("s"), ""})), ErrorCode::not_found);
  h.add(join_token("t-2", 1, false));
  h.add(enrolled("pending", "t-2", 7));
  EXPECT_EQ(code_of(h.try_add(session("s", "u-1", "pending", 1, in_an_hour(h)))), ErrorCode::conflict);
}

TEST(World, TimeDropsSessionsThatEnded) {
  auto h = with_people();
  const auto end = h.now + Seconds(10);
  h.add(session("s-1", "u-1", "trader", 1000, end));
  h.add(TimeAdvanced{}, end - h.now - std::chrono::microseconds(1));
  EXPECT_EQ(h.world.sessions.size(), 1u);
  h.add(TimeAdvanced{}, std::chrono::microseconds(1));  // the end is out
  EXPECT_TRUE(h.world.sessions.empty());
  h.add(TimeAdvanced{});
}

TEST(World, AnOvertakenChangeFoldsToNothing) {
  auto h = with_people();
  h.add(session("s-1", "u-1", "trader", 1000, in_an_hour(h)));
  h.add(SessionClosed{SessionId("s-1"), "first"});
  const auto record = next_record(h.world, encode("root@local", SessionClosed{SessionId("s-1"), "second"}),
                                  h.now + Seconds(1));
  ASSERT_TRUE(apply(h.world, record, plain_name, system_time_zones()));
  EXPECT_EQ(h.world.revision, record.revision);
  EXPECT_EQ(h.world.v4.resting(), 1u);
}

TEST(World, ErasedPeopleHaveNoName) {
  auto h = with_token();
  h.records.push_back(next_record(h.world, encode("x", user("u-1", "sealed")), h.now + Seconds(1)));
  ASSERT_TRUE(apply(
      h.world, h.records.back(), [](const auto&, auto) { return std::optional<std::string>(); },
      system_time_zones()));
  EXPECT_EQ(h.world.users.at(SubjectId("u-1")).name, "");
}

TEST(World, ApiTokensLive90Days) {
  auto h = with_token();
  const auto token = [&](const char* id, std::chrono::hours life) {
    return ApiTokenCreated{{.id = TokenId(id),
                            .role = "viewer",
                            .owner = "root@local",
                            .expires_at = h.now + Seconds(1) + life}};
  };
  EXPECT_EQ(code_of(h.try_add(token("a-1", std::chrono::hours(24 * 90 + 1)))), ErrorCode::invalid);
  h.add(token("a-1", std::chrono::hours(24 * 90)));
  EXPECT_EQ(code_of(h.try_add(token("a-1", std::chrono::hours(1)))), ErrorCode::conflict);
  h.add(ApiTokenRevoked{TokenId("a-1")});
  EXPECT_TRUE(h.world.api_tokens.at(TokenId("a-1")).revoked);
  EXPECT_EQ(code_of(h.try_add(ApiTokenRevoked{TokenId("a-1")})), ErrorCode::conflict);
}

PolicyApplied policy_of(const std::vector<std::string>& rules) {
  std::string text =
      "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n";
  for (const auto& rule : rules) {
    text += "[[allow]]\nname = \"" + rule +
            "\"\nfrom = { segments = [\"web\"] }\nto = [\"web/site\"]\nlease = \"1h\"\n";
  }
  return {{{"p.toml", text}}};
}

TEST(World, RulesKeepTheirNumbersForEver) {
  auto h = with_token();
  h.add(policy_of({"b", "a"}));
  EXPECT_EQ(h.world.rule_ids.at("a"), RuleId(1));
  EXPECT_EQ(h.world.rule_ids.at("b"), RuleId(2));
  EXPECT_EQ(h.world.policy_revision, h.world.revision);
  h.add(policy_of({"c"}));
  h.add(policy_of({"a", "d"}));
  EXPECT_EQ(h.world.rule_ids.at("a"), RuleId(1));
  EXPECT_EQ(h.world.rule_ids.at("c"), RuleId(3));
  EXPECT_EQ(h.world.rule_ids.at("d"), RuleId(4));
  EXPECT_EQ(h.world.policy->rules.size(), 2u);
}

TEST(World, APolicyWithErrorsIsRefusedWithItsPlaces) {
  auto h = with_token();
  const auto refused = h.try_add(PolicyApplied{{{"p.toml", "[segments.web]\nmembres = 1\n"}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid);
  EXPECT_NE(refused.error().what.find("p.toml:2"), std::string::npos) << refused.error().what;
}

TEST(Addresses, AreUsedAgainOnlyAfterQuarantine) {
  auto h = with_people("100.64.0.0/29");  // six addresses: trader has .1
  h.add(session("s-1", "u-1", "trader", 1, in_an_hour(h)));
  EXPECT_EQ(h.world.sessions.at(SessionId("s-1")).addresses.v4.to_string(), "100.64.0.2");
  h.add(SessionClosed{SessionId("s-1"), ""});
  const auto rests_until = h.now + quarantine(h.world);
  for (unsigned i = 3; i <= 6; ++i) {
    const auto id = "s-" + std::to_string(i);
    h.add(session(id, "u-1", "trader", i, rests_until + std::chrono::hours(1)));
    EXPECT_EQ(h.world.sessions.at(SessionId(id)).addresses.v4.to_string(), "100.64.0." + std::to_string(i));
  }
  const auto last = session("s-7", "u-1", "trader", 7, rests_until + std::chrono::hours(1));
  const auto refused = h.try_add(last);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
  EXPECT_NE(refused.error().what.find("of 6 in 100.64.0.0/29, 5 are used and 1 rest"), std::string::npos)
      << refused.error().what;
  EXPECT_FALSE(h.try_add(last, rests_until - h.now - std::chrono::microseconds(1)));
  h.add(last, rests_until - h.now);
  EXPECT_EQ(h.world.sessions.at(SessionId("s-7")).addresses.v4.to_string(), "100.64.0.2");
}

TEST(Addresses, V6OfSessionsAreNeverUsedAgain) {
  auto h = with_people("100.64.0.0/29");
  std::set<Address> seen;
  for (int i = 0; i < 20; ++i) {
    const auto id = "s-" + std::to_string(i);
    h.add(session(id, "u-1", "trader", 1, in_an_hour(h)));
    EXPECT_TRUE(seen.insert(h.world.sessions.at(SessionId(id)).addresses.v6).second);
    h.add(SessionClosed{SessionId(id), ""}, std::chrono::hours(1) - Seconds(2));
    h.add(TimeAdvanced{}, quarantine(h.world));
  }
  EXPECT_TRUE(seen.contains(must(Address::parse("fd12:3456:789a:1::1"))));
}

TEST(Addresses, ExhaustionFoldsToNothingOnEveryController) {
  auto h = with_people("100.64.0.0/30");  // two addresses
  h.add(session("s-1", "u-1", "trader", 1, in_an_hour(h)));
  const auto record = next_record(h.world, encode("x", session("s-2", "u-1", "trader", 2, in_an_hour(h))),
                                  h.now + Seconds(1));
  ASSERT_TRUE(apply(h.world, record, plain_name, system_time_zones()));
  EXPECT_FALSE(h.world.sessions.contains(SessionId("s-2")));
  EXPECT_EQ(h.world.revision, record.revision);
  EXPECT_EQ(v4_surely_free(h.world), 0u);
}

TEST(Addresses, RestForTheNodeLeaseAndTheLongestGrant) {
  auto h = with_token();
  EXPECT_EQ(quarantine(h.world), Seconds(900 + 900));
  h.add(policy_of({"a"}));
  EXPECT_EQ(quarantine(h.world), Seconds(900 + 3600));
}

}  // namespace world_apply_test
}  // namespace cordon::controller
