// The agent and people: sessions, logins, whose uids are people's.

#include <fstream>

#include "base/files.h"
#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_people_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentPeople : public test::AgentRig {};

TEST_F(AgentPeople, TellsWhenItsSessionsWereActive) {
  enrolled();
  policy::NodeState state = base_state();
  state.entries[policy::LocalSessionKey{SessionId{"s-0000000000000001"}}] = test::session(::getuid());
  filter.packets[test::session().v4] = system_clock().boot_ns();
  std::atomic<bool> told = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, state, 1, 2);
    while (const auto message = link.read()) {
      if (!message->has_heartbeat()) continue;
      answer_heartbeat(link, message->heartbeat(), 2);
      if (message->heartbeat().sessions_size() != 1) continue;
      EXPECT_EQ(message->heartbeat().sessions(0).session(), "s-0000000000000001");
      EXPECT_LT(message->heartbeat().sessions(0).silent_s(), 30u);
      told = true;
    }
  });
  run_agent();
  EXPECT_TRUE(until([&] { return told.load(); }));
  const auto& features = last_hello.features();
  EXPECT_NE(std::ranges::find(features, "activity/1"), features.end());
  finish();
}

TEST_F(AgentPeople, WhoIsTheDeviceCannotLogIn) {
  config.people_uids = {{.first = ::getuid() + 1, .last = ::getuid() + 1}};
  enrolled();
  std::atomic<bool> asked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    while (const auto message = link.read()) asked = asked || message->has_login();
  });
  run_agent();
  const std::string told = ask(R"({"verb":"login","user":"ann@acme.example","password":"right","totp":"1"})"
                               "\n");
  EXPECT_NE(told.find("is the device here, not a person"), std::string::npos) << told;
  EXPECT_NE(told.find("people_uids"), std::string::npos) << "the mend";
  EXPECT_FALSE(asked) << "no password travels for nothing";
  finish();
}

TEST_F(AgentPeople, HoldsAStateConfirmsItsLeasesAndAnswersPeople) {
  enrolled();
  std::atomic<bool> acked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read()) {
      wire::ToNode out;
      if (message->has_ack()) acked = true;
      if (message->has_heartbeat()) answer_heartbeat(link, message->heartbeat(), 2);
      if (message->has_login()) {
        EXPECT_EQ(message->login().uid(), ::getuid());
        policy::NodeState next = base_state();
        next.entries[policy::LocalSessionKey{SessionId{"s-0000000000000001"}}] = test::session(::getuid());
        out.mutable_login()->set_request(message->login().request());
        out.mutable_login()->set_ok(message->login().password() == "right");
        out.mutable_login()->set_session("s-0000000000000001");
        out.mutable_login()->set_user(message->login().user());
        out.mutable_login()->set_reason("user, password or code is wrong");
        link.send(out);
        if (out.login().ok()) send_state(link, next, 2, 3);
      }
    }
  });
  run_agent();
  EXPECT_EQ(network.mtu, 1420u);
  EXPECT_EQ(filter.underlay, (std::vector<unsigned>{2, 3}));
  EXPECT_TRUE(until([&] { return acked && filter.confirmed != 0; }));
  EXPECT_EQ(last_hello.features(0), "state/1");
  EXPECT_EQ(last_hello.applied_sequence(), 0u) << "nothing is claimed that this process did not apply";

  const std::string wrong =
      ask(R"({"verb":"login","user":"trader@acme.example","password":"wrong","totp":"1"})"
          "\n");
  EXPECT_NE(wrong.find("user, password or code is wrong"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("unauthorized"), std::string::npos);
  const std::string login =
      ask(R"({"verb":"login","user":"trader@acme.example","password":"right","totp":"1"})"
          "\n");
  EXPECT_NE(login.find("100.64.1.1"), std::string::npos)
      << "answered when the state holds the session: " << login;
  EXPECT_EQ(filter.held.entries.count(policy::LocalSessionKey{SessionId{"s-0000000000000001"}}), 1u);

  controller.reset();
  EXPECT_TRUE(until([&] { return !agent->alarms().empty(); }));
  const std::string status = ask("{\"verb\":\"status\"}\n");
  EXPECT_NE(status.find(R"("connected":false)"), std::string::npos) << status;
  EXPECT_NE(status.find("100.64.1.1"), std::string::npos) << "the node knows its session by itself";
  EXPECT_NE(ask("{\"verb\":\"why\",\"target\":\"ledger\",\"access\":\"tcp/1\"}\n").find("unavailable"),
            std::string::npos);
  finish();
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "state.bin"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "node.sock"));
}

TEST_F(AgentPeople, TheMachinesAccountsAreFollowed) {
  enrolled();
  const auto write = [&](std::string_view file, std::string_view text) {
    ASSERT_TRUE(write_file(directory.path() / file, text, 0644));
  };
  write("login.defs", "UID_MIN 200000\n");
  write("subuid", "ann:100000:65536\n");
  config.people_of_machine = true;
  config.people_uids = {{100000, 165535}, {200000, 4294967294}};
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (link.read()) continue;
  });
  run_agent();
  const auto people = [](std::uint32_t last) {
    return std::vector<UidRange>{{100000, last}, {200000, 4294967294}};
  };
  ASSERT_TRUE(until([&] { return network.people.people == people(165535); }));
  write("subuid", "ann:100000:65536\nben:165536:1000\n");  // as useradd does, renamed over
  EXPECT_TRUE(until([&] { return network.people.people == people(166535); }));
  EXPECT_EQ(filter.people, people(166535));
  EXPECT_LT(std::ranges::find(steps, "filter.people"), steps.end() - 1) << "before the routes";

  const auto alarmed = [&] {
    return std::ranges::any_of(agent->alarms(), [](const auto& a) { return a.contains("subuid:1"); });
  };
  write("subuid", "ann:0:5\n");
  EXPECT_TRUE(until(alarmed));
  EXPECT_EQ(filter.people, people(166535)) << "as they were";
  std::ofstream(directory.path() / "subuid") << "ann:100000:10\n";  // in place
  EXPECT_TRUE(until([&] { return filter.people == people(100009) && !alarmed(); }));
  finish();
}

}  // namespace agent_people_test
}  // namespace cordon::node
