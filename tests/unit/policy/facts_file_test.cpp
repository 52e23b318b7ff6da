// Facts files: what they mean, and where a mistake is.

#include "policy/facts_file.h"

#include <gtest/gtest.h>

#include "policy/json_tree.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace facts_file_test {

using policy::Assurance;
using policy::Attestation;
using policy::DeviceState;
using policy::Facts;
using policy::FactsResult;
using policy::Ownership;

FactsResult read(std::string text, policy::PolicyPtr policy = std::make_shared<const policy::Policy>()) {
  return policy::read_facts({"facts.json", std::move(text)}, std::move(policy));
}

/// The diagnostics, one a line.
std::string errors(std::string text) {
  const FactsResult result = read(std::move(text));
  EXPECT_EQ(result.facts.has_value(), result.diagnostics.empty());
  std::string out;
  for (const auto& diagnostic : result.diagnostics) out += render(diagnostic) + "\n";
  return out;
}

TEST(FactsFile, NothingIsAWorldOfNobody) {
  const FactsResult result = read("{}");
  ASSERT_TRUE(result.facts);
  EXPECT_TRUE(result.facts->world.devices.empty());
  EXPECT_FALSE(result.facts->at);
  EXPECT_EQ(result.facts->offset, "Z");
  EXPECT_TRUE(result.facts->queries.empty());
}

TEST(FactsFile, EveryFieldOfADeviceIsRead) {
  const FactsResult result = read(R"({"devices": [{"id": "d", "tags": ["a", "b"], "ownership": "vendor",
    "checks": ["os_updates"], "attestation": "tpm", "source": "203.0.113.7", "country": "TW", "isolated": true,
    "addresses": ["100.64.0.10", "fd00:c0de::10"]}]})");
  ASSERT_TRUE(result.facts);
  const policy::Device& device = result.facts->world.devices.at(DeviceId{"d"});
  EXPECT_EQ(device.state, DeviceState::active);
  EXPECT_EQ(device.tags, (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(device.ownership, Ownership::vendor);
  EXPECT_EQ(device.checks, std::set<std::string>{"os_updates"});
  EXPECT_EQ(device.attestation, Attestation::tpm);
  EXPECT_EQ(device.source, Address::parse("203.0.113.7").value());
  EXPECT_EQ(device.country, "TW");
  EXPECT_TRUE(device.isolated);
  EXPECT_EQ(device.addresses.v4, Address::parse("100.64.0.10").value());
  EXPECT_EQ(device.addresses.v6, Address::parse("fd00:c0de::10").value());
}

TEST(FactsFile, EveryFieldOfASessionIsRead) {
  const FactsResult result =
      read(R"({"sessions": [{"id": "s", "user": "u@x", "claims": ["corp:c"], "device": "d",
    "assurance": "aal2", "authenticated_at": "2026-01-05T10:00:00Z", "ends_at": "2026-01-05T18:00:00+08:00",
    "signals": [{"name": "odd", "cost": 20, "until": "2026-01-05T11:00:00Z"}, {"name": "worse", "cost": 30}],
    "addresses": ["100.64.1.1"]}], "devices": [{"id": "d"}]})");
  ASSERT_TRUE(result.facts) << "sessions may come before devices";
  const policy::Session& session = result.facts->world.sessions.at(SessionId{"s"});
  EXPECT_EQ(result.facts->world.users.at(session.user).name, "u@x");
  EXPECT_EQ(session.device, DeviceId{"d"});
  EXPECT_EQ(session.claims, std::set<std::string>{"corp:c"});
  EXPECT_EQ(session.assurance, Assurance::aal2);
  EXPECT_EQ(session.authenticated_at, kNow);
  EXPECT_EQ(session.ends_at, kNow);
  ASSERT_EQ(session.signals.size(), 2u);
  EXPECT_EQ(session.signals[0].until, kNow + std::chrono::hours(1));
  EXPECT_EQ(session.signals[1].until, kNever) << "without until they last";
  EXPECT_EQ(session.addresses.v6, Address{}) << "none is given";
}

TEST(FactsFile, EveryFieldButIdsMayBeLeftOut) {
  const FactsResult result = read(R"({"devices": [{"id": "d"}], "sessions": [{"id": "s"}]})");
  ASSERT_TRUE(result.facts);
  const policy::Device& device = result.facts->world.devices.at(DeviceId{"d"});
  EXPECT_FALSE(device.ownership || device.checks || device.attestation || device.source || device.country);
  EXPECT_FALSE(device.isolated);
  EXPECT_EQ(device.addresses, policy::OverlayAddresses{});
  const policy::Session& session = result.facts->world.sessions.at(SessionId{"s"});
  EXPECT_FALSE(session.assurance || session.authenticated_at);
  EXPECT_EQ(session.ends_at, kNever) << "missing ends_at is no end";
  EXPECT_EQ(result.facts->world.users.at(session.user).name, "") << "nobody knows who";
  EXPECT_FALSE(result.facts->world.devices.at(session.device).checks) << "a device of which nothing is known";
}

TEST(FactsFile, ChecksThatAreNoneAreNotMissing) {
  const FactsResult result = read(R"({"devices": [{"id": "d", "checks": []}]})");
  ASSERT_TRUE(result.facts);
  EXPECT_TRUE(result.facts->world.devices.at(DeviceId{"d"}).checks);
}

TEST(FactsFile, TheOffsetOfAtIsKept) {
  const auto offset_of = [](const std::string& at) {
    const FactsResult result = read("{\"at\": \"" + at + "\"}");
    EXPECT_TRUE(result.facts && result.facts->at == kNow) << at;
    return result.facts ? result.facts->offset : "";
  };
  EXPECT_EQ(offset_of("2026-01-05T18:00:00+08:00"), "+08:00");
  EXPECT_EQ(offset_of("2026-01-05T10:00:00Z"), "Z");
  EXPECT_EQ(offset_of("2026-01-05T10:00:00+00:00"), "+00:00");
  EXPECT_EQ(offset_of("2026-01-05T05:30:00.000-04:30"), "-04:30");
}

TEST(FactsFile, QueriesKnowSessionsFromDevices) {
  const FactsResult result = read(R"({"queries": [
    {"principal": "s", "target": "d", "access": "tcp/5432"},
    {"principal": "d", "target": "nobody", "access": "icmp/8"},
    {"principal": "who", "target": "d", "access": "ping"}],
    "devices": [{"id": "d"}], "sessions": [{"id": "s", "device": "d"}]})");
  ASSERT_TRUE(result.facts);
  const auto& queries = result.facts->queries;
  ASSERT_EQ(queries.size(), 3u);
  EXPECT_EQ(std::get<SessionId>(queries[0].asks.at(0).principal), SessionId{"s"});
  EXPECT_EQ(queries[0].asks[0].protocol, policy::kTcp);
  EXPECT_EQ(queries[0].asks[0].port, 5432);
  EXPECT_EQ(std::get<DeviceId>(queries[1].asks.at(0).principal), DeviceId{"d"});
  EXPECT_EQ(queries[1].asks[0].port, 8);
  EXPECT_EQ(queries[2].asks.size(), 2u) << "both families";
}

TEST(FactsFile, RulesAndTargetsAreNumbered) {
  const auto policy = policy_of({{"p.toml", R"(
[segments.s]
members = ["tag:s"]
[[allow]]
name = "a"
from = { tags = ["t"] }
to = ["s tcp/1"]
)"}});
  const FactsResult result = read(R"({"devices": [{"id": "d", "tags": ["s"]}]})", policy);
  ASSERT_TRUE(result.facts);
  const policy::World& world = result.facts->world;
  EXPECT_EQ(world.rule_ids.at("a"), RuleId{1});
  EXPECT_NE(policy::target_of(world, world.devices.at(DeviceId{"d"}), {"s"}), TargetId{});
}

TEST(FactsFile, EscapesInTextAreRead) {
  const FactsResult good = read(
      "{\"devices\": [{\"id\": \"d\", \"tags\": [\"\\u0061\\\"\\\\\\/\", "
      "\"\\u00e9\\u4e2d\\ud83d\\ude00\"]}]}");
  ASSERT_TRUE(good.facts) << render(good.diagnostics.at(0));
  EXPECT_EQ(good.facts->world.devices.at(DeviceId{"d"}).tags,
            (std::set<std::string>{"a\"\\/", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"}));
}

TEST(FactsFileErrors, HaveTheirPlace) {
  EXPECT_EQ(errors("{\n  \"devices\": [\n    { \"id\": \"d\", \"tag\": [] }\n  ]\n}"),
            "facts.json:3:18: error: unknown key \"tag\" in a device; did you mean \"tags\"?\n");
  EXPECT_EQ(errors(R"({"device": []})"),
            "facts.json:1:2: error: unknown key \"device\" in a facts file; did you mean \"devices\"?\n");
  EXPECT_EQ(errors("{\"\xc3\xa9\": 1}"),
            "facts.json:1:2: error: unknown key \"\xc3\xa9\" in a facts file; its keys are at, devices, "
            "sessions, queries\n");
}

TEST(FactsFileErrors, WrongTypes) {
  EXPECT_EQ(errors(R"({"devices": {}})"),
            "facts.json:1:2: error: \"devices\" must be a list, found a table\n");
  EXPECT_EQ(errors(R"({"devices": [7]})"),
            "facts.json:1:14: error: \"devices\" must hold objects, found a whole number\n");
  EXPECT_EQ(errors(R"({"devices": [{"id": 7}]})"),
            "facts.json:1:15: error: \"id\" must be text, found a whole number\n");
  EXPECT_EQ(errors(R"({"at": 0.5})"), "facts.json:1:2: error: \"at\" must be text, found a decimal number\n");
  EXPECT_EQ(errors(R"({"at": [true]})"), "facts.json:1:2: error: \"at\" must be text, found a list\n");
  EXPECT_NE(errors(R"({"devices": [{"id": "d", "isolated": "yes"}]})"), "");
  EXPECT_EQ(errors(R"({"devices": [{"id": "d", "checks": null}]})"),
            "facts.json:1:36: error: null says nothing; leave out a key whose value isn't known\n");
}

TEST(FactsFileErrors, MissingIds) {
  EXPECT_EQ(errors(R"({"devices": [{}]})"), "facts.json:1:14: error: a device needs \"id\"\n");
  EXPECT_EQ(errors(R"({"sessions": [{"user": "u"}]})"), "facts.json:1:15: error: a session needs \"id\"\n");
  EXPECT_EQ(errors(R"({"queries": [{"principal": "p", "access": "tcp/1"}]})"),
            "facts.json:1:14: error: a query needs \"target\"\n");
  EXPECT_EQ(errors(R"({"queries": [{"principal": "", "target": "t", "access": "tcp/1"}]})"),
            "facts.json:1:28: error: \"principal\" is empty\n");
}

TEST(FactsFileErrors, TheSameIdTwice) {
  EXPECT_EQ(errors("{\"devices\": [{\"id\": \"d\"},\n{\"id\": \"d\"}]}"),
            "facts.json:2:8: error: id \"d\" is given twice (also facts.json:1:21)\n");
  EXPECT_NE(errors(R"({"sessions": [{"id": "s", "device": "d"}, {"id": "s", "device": "d"}],
                       "devices": [{"id": "d"}]})"),
            "");
  EXPECT_NE(errors(R"({"devices": [{"id": "x"}], "sessions": [{"id": "x", "device": "x"}]})"), "")
      << "a query couldn't tell them apart";
}

TEST(FactsFileErrors, TheSameKeyTwice) {
  EXPECT_EQ(errors("{\"at\": \"2026-01-05T10:00:00Z\",\n\"at\": \"2026-01-05T10:00:00Z\"}"),
            "facts.json:2:1: error: \"at\" is given twice (also facts.json:1:2)\n");
  EXPECT_EQ(errors(R"({"devices": [{"id": "d", "id": "d"}]})"),
            "facts.json:1:26: error: \"id\" is given twice (also facts.json:1:15)\n");
}

TEST(FactsFileErrors, ASessionOnAnUnknownDevice) {
  EXPECT_EQ(errors(R"({"devices": [{"id": "laptop"}], "sessions": [{"id": "s", "device": "latpop"}]})"),
            "facts.json:1:68: error: unknown device \"latpop\"; did you mean \"laptop\"?\n");
}

TEST(FactsFileErrors, BadAddresses) {
  EXPECT_NE(errors(R"({"devices": [{"id": "d", "addresses": ["100.64.0.300"]}]})"), "");
  EXPECT_NE(errors(R"({"devices": [{"id": "d", "source": "here"}]})"), "");
  EXPECT_EQ(
      errors(R"({"devices": [{"id": "a", "addresses": ["100.64.0.1"]},
{"id": "b", "addresses": ["100.64.0.1"]}]})"),
      "facts.json:2:26: error: address 100.64.0.1 belongs to \"a\" already; every device and session has "
      "addresses of its own\n");
}

TEST(FactsFileErrors, AQueryAsksAboutOneFlow) {
  const auto error_of = [](const std::string& access) {
    return errors(R"({"queries": [{"principal": "p", "target": "t", "access": ")" + access + "\"}]}");
  };
  EXPECT_EQ(error_of("tcp/1-9"),
            "facts.json:1:58: error: access \"tcp/1-9\" is more than one flow; ask about one port or type: "
            "\"tcp/443\", \"icmp/8\", \"ping\"\n");
  EXPECT_NE(error_of("tcp"), "");
  EXPECT_NE(error_of("any"), "");
  EXPECT_NE(error_of("gopher/70"), "");
  EXPECT_NE(error_of(""), "");
}

TEST(FactsFileErrors, AllOfThemAreToldUpToAHundred) {
  std::string text = "{\"devices\": [{}";
  for (int i = 0; i < 400; ++i) text += ",\n{}";
  EXPECT_EQ(read(text + "]}").diagnostics.size(), 100u);
}

TEST(FactsFileErrors, InvalidJson) {
  EXPECT_EQ(errors(""), "facts.json:1:1: error: invalid JSON: incomplete JSON\n");
  EXPECT_EQ(errors("{\n\"devices\": [\n}"), "facts.json:3:1: error: invalid JSON: syntax error\n");
  EXPECT_EQ(errors("[]"), "facts.json:1:1: error: the file must hold one object\n");
  EXPECT_NE(errors("{} {}"), "");
  EXPECT_NE(errors("{\"at\": \"\xff\"}"), "");
  EXPECT_NE(errors("{\"at\": \"\\ud800\"}"), "") << "half a character";
  EXPECT_NE(errors("{\"at\": 1e}"), "");
}

TEST(FactsFileErrors, Limits) {
  EXPECT_NE(errors("{\"at\": " + std::string(10'000, '[') + std::string(10'000, ']') + "}").find("nested"),
            std::string::npos);
  std::string many = "{\"devices\": [[0";
  for (std::size_t i = 0; i < policy::kMaxJsonValues; ++i) many += ",0";
  EXPECT_NE(errors(many + "]]}").find("more than 100000 values"), std::string::npos);
  EXPECT_NE(errors(std::string(policy::kMaxJsonFileBytes + 1, ' ')).find("at most"), std::string::npos);
  std::string lists = "{\"queries\": [";
  for (int i = 0; i <= 200'000; ++i) lists += "{\"principal\":\"p\",\"target\":\"t\",\"access\":\"ping\"},";
  EXPECT_NE(errors(lists + "{}]}").find("\"queries\" holds more than 200000 objects"), std::string::npos);
}

}  // namespace facts_file_test
}  // namespace cordon::test
