// What people on a device are shown of flows, and what they are not.

#include "node/agent/desk_flows.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>

#include "node/agent/desk.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace desk_flows_test {

namespace json = boost::json;
constexpr std::uint32_t kAnn = 1000, kBob = 1001, kNobody = 1002;

policy::NodeState state_of_a_shared_host() {
  policy::NodeState state;
  state.entries[policy::SettingsKey{}] =
      policy::SettingsValue{.device = DeviceId("jump"), .v4 = test::address("100.64.0.1")};
  state.entries[policy::PeerKey{DeviceId("ledger")}] =
      policy::PeerValue{.allowed_ips = {Prefix::of(test::address("100.64.0.9"), 32)}};
  state.entries[policy::LocalSessionKey{SessionId("s-1")}] =
      policy::LocalSessionValue{.user = "ann@acme.example", .uid = kAnn, .v4 = test::address("100.64.0.2")};
  state.entries[policy::LocalSessionKey{SessionId("s-2")}] =
      policy::LocalSessionValue{.user = "bob@acme.example", .uid = kBob, .v4 = test::address("100.64.0.3")};
  state.entries[policy::RuleKey{RuleId(7)}] = policy::RuleValue{"traders-to-settlement"};
  return state;
}

class Backend final : public DeskBackend {
 public:
  NodeView view() const override { return {}; }
  const policy::NodeState& state() const override { return held; }
  Timestamp lease_end(Seconds) const override { return {}; }
  bool send(const wire::ToController&) override { return false; }  // the controller is away
  const FlowHistory& history() const override { return flows; }
  std::string view_name() const override { return "jump"; }
  Result<NodeCounts> counts() const override {
    return NodeCounts{.rules = {{RuleId(7), {.packets = 5, .bytes = 500}}, {RuleId(8), {.packets = 1}}},
                      .reasons = {{"no grant", {.packets = 3, .bytes = 180}}, {"forbidden", {}}},
                      .events_lost = 2};
  }
  policy::NodeState held = state_of_a_shared_host();
  FlowHistory flows{0xabc, 8};
};

class DeskFlowsTest : public ::testing::Test {
 protected:
  void happen(FlowEvent::Kind kind, const std::string& source, const std::string& destination,
              const std::string& reason = "") {
    backend.flows.add({.kind = kind,
                       .source = test::address(source),
                       .destination = test::address(destination),
                       .protocol = 6,
                       .source_port = 40000,
                       .destination_port = 5432,
                       .rule = RuleId(7),
                       .reason = reason},
                      from_us(1'800'000'000'000'000), backend.held, 1, now_ += 1'000'000'000);
    desk.came();
  }
  json::object ask(std::uint32_t uid, const std::string& after = "", std::size_t limit = 500) {
    std::string answer;
    desk.flows({.after = after, .limit = limit}, {.uid = uid}, [&](std::string reply) { answer = reply; });
    return answer.empty() ? json::object{} : json::parse(answer).as_object();
  }
  static std::string text(const json::object& object, const char* member) {
    return std::string(object.at(member).as_string());
  }
  static json::object flow(const json::object& answer, std::size_t n) {
    return answer.at("items").as_array().at(n).as_object();
  }

  boost::asio::io_context io;
  Backend backend;
  DeskFlows desk{io, backend};

 private:
  BootNs now_ = 0;
};

TEST_F(DeskFlowsTest, RootIsShownAllWithNames) {
  happen(FlowEvent::Kind::opened, "100.64.0.2", "100.64.0.9");
  happen(FlowEvent::Kind::denied, "100.64.0.9", "100.64.0.1", "no grant");
  happen(FlowEvent::Kind::denied, "192.0.2.7", "100.64.0.1", "unknown principal");
  const json::object answer = ask(0);
  ASSERT_EQ(answer.at("items").as_array().size(), 3u);
  const json::object first = flow(answer, 0), second = flow(answer, 1), third = flow(answer, 2);
  EXPECT_EQ(text(first, "person"), "ann@acme.example");
  EXPECT_EQ(text(first, "source_device"), "jump");
  EXPECT_EQ(text(first, "destination_device"), "ledger");
  EXPECT_EQ(text(first, "rule"), "traders-to-settlement");
  EXPECT_EQ(text(first, "verdict"), "allowed");
  EXPECT_EQ(text(second, "source_device"), "ledger");
  EXPECT_EQ(text(second, "destination_device"), "jump");
  EXPECT_EQ(text(second, "reason"), "no grant");
  EXPECT_EQ(text(third, "source"), "192.0.2.7");
  EXPECT_EQ(text(third, "source_device"), "");
  backend.flows.add({.kind = FlowEvent::Kind::denied,
                     .source = test::address("fe80::1"),
                     .destination = test::address("ff02::2"),
                     .reason = "unknown principal",
                     .direction = policy::Direction::egress},
                    {}, backend.held, 1, 1);
  EXPECT_EQ(text(flow(ask(0), 3), "source_device"), "jump") << "nobody's address, but this device sent it";
}

TEST_F(DeskFlowsTest, APersonIsShownWhatTheyBeganAndNoMore) {
  happen(FlowEvent::Kind::opened, "100.64.0.2", "100.64.0.9");
  happen(FlowEvent::Kind::opened, "100.64.0.3", "100.64.0.9");
  happen(FlowEvent::Kind::opened, "100.64.0.1", "100.64.0.9");
  happen(FlowEvent::Kind::opened, "100.64.0.9", "100.64.0.2");
  const json::object ann = ask(kAnn);
  ASSERT_EQ(ann.at("items").as_array().size(), 1u);
  EXPECT_EQ(text(flow(ann, 0), "person"), "ann@acme.example");
  EXPECT_TRUE(ask(kNobody).at("items").as_array().empty());
}

TEST_F(DeskFlowsTest, ADenialTellsAPersonNoMoreThanConnectDid) {
  happen(FlowEvent::Kind::denied, "100.64.0.2", "100.64.0.9", "forbidden");
  happen(FlowEvent::Kind::denied, "100.64.0.2", "100.64.0.77", "unknown target");
  happen(FlowEvent::Kind::denied, "100.64.0.2", "100.64.0.9", "observed");
  const json::object answer = ask(kAnn);
  json::object known = flow(answer, 0), unknown = flow(answer, 1);
  EXPECT_EQ(text(known, "destination"), "100.64.0.9") << "what they typed themselves";
  for (json::object* denied : {&known, &unknown}) {
    EXPECT_EQ(text(*denied, "verdict"), "denied");
    denied->erase("id");
    denied->erase("destination");
  }
  EXPECT_EQ(known, unknown) << "whether there is such a target shows nowhere";
  EXPECT_EQ(text(flow(answer, 2), "verdict"), "allowed") << "nor that a target observes";
  EXPECT_EQ(text(flow(answer, 2), "reason"), "");
  EXPECT_EQ(text(flow(ask(0), 0), "reason"), "forbidden") << "root is told";
}

TEST_F(DeskFlowsTest, NamesAreThoseOfTheTimeOfTheFlow) {
  happen(FlowEvent::Kind::opened, "100.64.0.2", "100.64.0.9");
  backend.held.entries.clear();
  EXPECT_EQ(text(flow(ask(0), 0), "person"), "ann@acme.example");
  EXPECT_EQ(ask(kAnn).at("items").as_array().size(), 1u) << "after the logout too";
}

TEST_F(DeskFlowsTest, FollowingGoesOnWhereItWasAndTellsWhatWentBy) {
  happen(FlowEvent::Kind::opened, "100.64.0.2", "100.64.0.9");
  const std::string place = text(ask(0), "next");
  EXPECT_EQ(place, "abc-1");
  EXPECT_TRUE(ask(0, place).at("items").as_array().empty());
  for (int i = 0; i < 10; ++i) happen(FlowEvent::Kind::opened, "100.64.0.3", "100.64.0.9");
  const json::object answer = ask(0, place);
  EXPECT_EQ(answer.at("items").as_array().size(), 8u) << "as many as are remembered";
  EXPECT_EQ(answer.at("missed").as_int64(), 2);
  EXPECT_EQ(ask(kAnn, place).at("missed").as_int64(), 0) << "others' are nobody's business";
  EXPECT_EQ(ask(0, "fff-3").at("items").as_array().size(), 8u) << "the daemon was restarted";
  EXPECT_EQ(ask(0, place, 3).at("next").as_string(), "abc-6");
  EXPECT_FALSE(ask(0, "nonsense").at("ok").as_bool());
}

TEST_F(DeskFlowsTest, WhoWaitsIsToldWhatConcernsThem) {
  std::vector<std::string> ann, root;
  desk.flows({.wait_s = 20}, {.uid = kAnn}, [&](std::string reply) { ann.push_back(reply); });
  desk.flows({.wait_s = 20}, {.uid = 0}, [&](std::string reply) { root.push_back(reply); });
  happen(FlowEvent::Kind::opened, "100.64.0.3", "100.64.0.9");
  EXPECT_EQ(root.size(), 1u);
  EXPECT_EQ(ann.size(), 0u);
  happen(FlowEvent::Kind::opened, "100.64.0.2", "100.64.0.9");
  EXPECT_EQ(root.size(), 1u) << "answered once";
  ASSERT_EQ(ann.size(), 1u);
  EXPECT_NE(ann[0].find(R"("next":"abc-2")"), std::string::npos) << ann[0];
}

TEST_F(DeskFlowsTest, WhoWaitsInVainIsAnsweredInTime) {
  std::string answer;
  desk.flows({.wait_s = 1}, {.uid = 0}, [&](std::string reply) { answer = reply; });
  EXPECT_EQ(answer, "");
  io.run_for(std::chrono::seconds(5));
  EXPECT_NE(answer.find(R"("items":[])"), std::string::npos);
}

TEST_F(DeskFlowsTest, CountersAreForRoot) {
  std::string answer;
  const auto reply = [&](std::string text) { answer = std::move(text); };
  desk.counters({.uid = kAnn}, reply);
  EXPECT_NE(answer.find("only root"), std::string::npos);
  desk.counters({.uid = 0}, reply);
  EXPECT_EQ(
      answer,
      R"({"ok":true,"device":"jump","events_lost":2,"rules":[)"
      R"({"name":"traders-to-settlement","packets":5,"bytes":500},{"name":"rule 8","packets":1,"bytes":0}],)"
      R"("reasons":[{"name":"no grant","packets":3,"bytes":180}]})");
}

}  // namespace desk_flows_test
}  // namespace cordon::node
