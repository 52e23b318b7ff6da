// `cordon flows`, `drops` and `counters`: what people read, what collectors get, and how following goes on.

#include <gtest/gtest.h>

#include "cli/context.h"
#include "cli/flow_lines.h"
#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace cli_flows_test {

// Times are shown in local time.
class CliFlows : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
  static std::string flow(int id, const std::string& node, const std::string& members) {
    return R"({"id":)" + std::to_string(id) + R"(,"at":"2026-01-05T10:00:00.25Z","node":")" + node +
           R"(","protocol":"tcp","source":"100.64.0.2","source_port":40000,"destination":"100.64.0.9",)"
           R"("destination_port":5432,)" +
           members + "}";
  }
  static std::string opened(int id, const std::string& node) {
    return flow(
        id, node,
        R"("kind":"opened","verdict":"allowed","person":"ann@acme.example","source_device":"laptop",)"
        R"("destination_device":"ledger","segment":"settlement","service":"ledger","rule":"traders")");
  }
  static std::string closed(int id) {
    return flow(id, "ledger",
                R"("kind":"closed","verdict":"allowed","person":"ann@acme.example","source_device":"laptop",)"
                R"("destination_device":"ledger","segment":"settlement","service":"ledger","rule":"traders",)"
                R"("reason":"grant expired","bytes":18636)");
  }
  static std::string denied(int id) {
    return flow(id, "web",
                R"("kind":"denied","verdict":"denied","person":"","source_device":"web",)"
                R"("destination_device":"ledger","segment":"settlement","service":"","reason":"no grant",)"
                R"("suppressed":1234)");
  }
  static std::string stranger(int id) {
    return flow(
        id, "ledger",
        R"("kind":"underlay","verdict":"denied","person":"","source_device":"",)"
        R"("destination_device":"ledger","segment":"settlement","service":"ledger","reason":"underlay")");
  }
  static cli::ApiReply page(const std::string& items, const std::string& next = "null") {
    return {200, R"({"items":[)" + items + R"(],"next":)" + next + "}"};
  }
  /// What the list holds, newest first.
  void hold(const std::string& query, const std::string& items) {
    rig.api["GET /v1/flows/follow"] = page("", R"("9")");
    rig.api["GET /v1/flows?" + query] = page(items);
  }

  test::CliRig rig;
};

TEST_F(CliFlows, PeopleReadEachFlowOnceWithNames) {
  hold("limit=200", stranger(5) + "," + denied(4) + "," + closed(3) + "," + opened(2, "ledger") + "," +
                        opened(1, "laptop"));
  EXPECT_EQ(rig.run({"flows"}), kOk) << rig.err.str();
  EXPECT_EQ(
      rig.out.str(),
      "TIME                     VERDICT  FROM                        TO                                    "
      "BYTES     RULE OR REASON\n"
      "2026-01-05 10:00:00.250  allowed  ann@acme.example on laptop  settlement/ledger tcp/5432 at ledger  "
      "-         traders\n"
      "2026-01-05 10:00:00.250  ended    ann@acme.example on laptop  settlement/ledger tcp/5432 at ledger  "
      "18.2 KiB  grant expired (traders)\n"
      "2026-01-05 10:00:00.250  denied   web                         settlement tcp/5432 at ledger         "
      "-         no grant (+1,234 of this source and reason)\n"
      "2026-01-05 10:00:00.250  denied   100.64.0.2                  settlement/ledger tcp/5432 at ledger  "
      "-         underlay\n");
}

TEST_F(CliFlows, DropsTellWhoDroppedIt) {
  hold("verdict=denied&limit=200", denied(4));
  EXPECT_EQ(rig.run({"drops"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(),
            "TIME                     DROPPED BY  FROM  TO                             REASON\n"
            "2026-01-05 10:00:00.250  web         web   settlement tcp/5432 at ledger  no grant (+1,234 of "
            "this source and reason)\n");
  hold("verdict=denied&limit=200", "");
  EXPECT_EQ(rig.run({"drops"}), kOk);
  EXPECT_EQ(rig.out.str(), "");
  EXPECT_EQ(rig.err.str(), "nothing was dropped\n");
}

// Of a source that nobody could tell apart from others no more is known than why.
TEST_F(CliFlows, DropsOfOthersHaveNoSource) {
  const std::string others =
      R"({"id":4,"at":"2026-01-05T10:00:00.25Z","node":"ledger","kind":"denied","verdict":"denied",)"
      R"("source":"::","source_port":0,"source_device":"","person":"","destination":"::",)"
      R"("destination_port":0,"destination_device":"","segment":"","service":"","protocol":"0",)"
      R"("reason":"unknown principal","suppressed":147455})";
  hold("verdict=denied&limit=200", others);
  EXPECT_EQ(rig.run({"drops"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(),
            "TIME                     DROPPED BY  FROM    TO  REASON\n"
            "2026-01-05 10:00:00.250  ledger      others  -   unknown principal (+147,455 of this reason)\n");
  hold("verdict=denied&limit=100", others);
  EXPECT_EQ(rig.run({"--json", "drops"}), kOk);
  EXPECT_NE(rig.out.str().find(R"("source":"::")"), std::string::npos);
}

TEST_F(CliFlows, FiltersAreTheControllers) {
  hold(
      "since=2027-01-15T07%3A45%3A00Z&from=ann%40acme.example&to=settlement%2Fledger&verdict=allowed&rule=r&"
      "reason=no%20grant&device=d&kind=opened&limit=10",
      "");
  EXPECT_EQ(rig.run({"flows", "--since", "15m", "--from", "ann@acme.example", "--to", "settlement/ledger",
                     "--verdict", "allowed", "--rule", "r", "--reason", "no grant", "--device", "d", "--kind",
                     "opened", "--limit", "5"}),
            kOk)
      << rig.err.str() << (rig.calls.empty() ? "" : rig.calls.back());
}

TEST_F(CliFlows, RefusesWhatIsNoFilter) {
  EXPECT_EQ(rig.run({"flows", "--verdict", "maybe"}), kUsage);
  EXPECT_EQ(rig.run({"flows", "--since", "yesterday"}), kUsage);
  EXPECT_EQ(rig.run({"drops", "--reason", "no grunt"}), kUsage);
  EXPECT_NE(rig.err.str().find("no grant"), std::string::npos) << "those that there are are told";
  EXPECT_EQ(rig.run({"drops", "--verdict", "allowed"}), kUsage);
}

TEST_F(CliFlows, CollectorsGetWhatEachEndToldOneObjectALine) {
  hold("limit=100", opened(2, "ledger") + "," + opened(1, "laptop"));
  EXPECT_EQ(rig.run({"--json", "flows"}), kOk);
  EXPECT_EQ(rig.out.str(), opened(1, "laptop") + "\n" + opened(2, "ledger") + "\n") << "the oldest first";
}

TEST_F(CliFlows, FollowingGoesOnBehindWhatWasListed) {
  // The one with id 10 came between the two questions: it is told by the second.
  hold("limit=200", denied(10) + "," + opened(1, "laptop"));
  rig.api["GET /v1/flows/follow?after=9&limit=1000&wait_s=25"] = page(denied(10), R"("12")");
  rig.api["GET /v1/flows/follow?after=12&limit=1000&wait_s=25"] = page("", R"("12")");
  EXPECT_EQ(rig.run({"flows", "--follow"}), kOk) << rig.err.str();
  const std::string out = rig.out.str();
  EXPECT_EQ(std::ranges::count(out, '\n'), 3) << out;
  EXPECT_LT(out.find("allowed"), out.find("denied"));
  EXPECT_EQ(rig.calls.back(), "GET /v1/flows/follow?after=12&limit=1000&wait_s=25");
}

TEST_F(CliFlows, FollowingOutlivesTheController) {
  hold("verdict=denied&limit=100", "");
  rig.most_pauses = 4;
  rig.on_pause = [this] {
    if (rig.pauses.size() == 3)
      rig.api["GET /v1/flows/follow?verdict=denied&after=9&limit=1000&wait_s=25"] =
          page(denied(10), R"("10")");
  };
  EXPECT_EQ(rig.run({"--json", "drops", "--follow"}), kOk);
  EXPECT_EQ(rig.out.str(), denied(10) + "\n");
  EXPECT_EQ(rig.err.str().find("can't reach the controller at there; trying again"),
            std::string("cordon: ").size())
      << rig.err.str();
  using std::chrono::milliseconds;
  EXPECT_EQ(rig.pauses, (std::vector<milliseconds>{milliseconds(1000), milliseconds(2000), milliseconds(4000),
                                                   milliseconds(1000)}))
      << "once, and again after it came back";
}

TEST_F(CliFlows, FollowingEndsWhenItIsRefused) {
  hold("limit=100", "");
  rig.api["GET /v1/flows/follow?after=9&limit=1000&wait_s=25"] = {403,
                                                                  R"({"detail":"the token has expired"})"};
  EXPECT_EQ(rig.run({"--json", "flows", "--follow"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: the token has expired\n");
}

TEST_F(CliFlows, TheControllerAwayAtTheStartIsToldByTheStatus) {
  for (const char* command : {"flows", "counters"}) {
    EXPECT_EQ(rig.run({command}), kUnreachable);
    EXPECT_EQ(
        rig.err.str(),
        "cordon: can't reach the controller at there; start it; on a device, --here asks its own node\n");
  }
  EXPECT_EQ(rig.run({"flows", "--follow", "--here"}), kUnreachable);
  EXPECT_EQ(rig.err.str(), "cordon: can't reach the node at there; start it\n");
}

TEST_F(CliFlows, HereAsksTheNodeAndFiltersByItself) {
  rig.node_answers = {
      R"({"ok":true,"items":[)" + opened(1, "laptop") + "," + denied(2) + R"(],"next":"a-2","missed":0})",
      R"({"ok":true,"items":[],"next":"a-2","missed":0})",
      R"({"ok":true,"items":[)" + opened(3, "laptop") + "," + stranger(9) + R"(],"next":"a-9","missed":5})"};
  EXPECT_EQ(rig.run({"drops", "--here", "--follow"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.lines.at(0), R"({"verb":"flows","wait_s":0})");
  EXPECT_EQ(rig.lines.at(1), R"({"verb":"flows","wait_s":0,"after":"a-2"})");
  EXPECT_EQ(rig.lines.at(2), R"({"verb":"flows","wait_s":20,"after":"a-2"})");
  const std::string out = rig.out.str();
  EXPECT_EQ(std::ranges::count(out, '\n'), 3) << out;
  EXPECT_EQ(out.find("allowed"), std::string::npos);
  EXPECT_NE(rig.err.str().find("5 flows went by unseen"), std::string::npos) << rig.err.str();
  EXPECT_TRUE(rig.calls.empty()) << "no controller is asked";
}

TEST_F(CliFlows, CountersOfAllAndOfEach) {
  const std::string ledger =
      R"({"device":"ledger","connected":true,"events_lost":3,"rules":[{"name":"traders","packets":1200,"bytes":2048}],)"
      R"("reasons":[{"name":"no grant","packets":5,"bytes":300},{"name":"observed","packets":1,"bytes":60}]})";
  const std::string web =
      R"({"device":"web","connected":true,"events_lost":0,"rules":[{"name":"traders","packets":34,"bytes":100}],"reasons":[]})";
  rig.api["GET /v1/counters?limit=1000"] = page(ledger + "," + web);
  EXPECT_EQ(rig.run({"counters"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(),
            "NODE    COUNTED      NAME      PACKETS  BYTES\n"
            "(all)   allowed by   traders   1,234    2.1 KiB\n"
            "(all)   dropped for  no grant  5        300 B\n"
            "(all)   let through  observed  1        60 B\n"
            "(all)   events lost  -         3        -\n"
            "ledger  allowed by   traders   1,200    2.0 KiB\n"
            "ledger  dropped for  no grant  5        300 B\n"
            "ledger  let through  observed  1        60 B\n"
            "ledger  events lost  -         3        -\n"
            "web     allowed by   traders   34       100 B\n"
            "web     events lost  -         0        -\n");
  EXPECT_EQ(rig.run({"--json", "counters", "--node", "web"}), kOk);
  EXPECT_EQ(rig.out.str(), R"({"node":"web","counter":"rule","name":"traders","packets":34,"bytes":100})"
                           "\n"
                           R"({"node":"web","counter":"events_lost","events":0})"
                           "\n");
  EXPECT_EQ(rig.run({"counters", "--node", "nowhere"}), kFailed);
  rig.node = R"({"ok":true,)" + web.substr(1);
  EXPECT_EQ(rig.run({"counters", "--here"}), kOk);
  EXPECT_EQ(rig.out.str(),
            "NODE  COUNTED      NAME     PACKETS  BYTES\n"
            "web   allowed by   traders  34       100 B\n"
            "web   events lost  -        0        -\n");
}

TEST_F(CliFlows, NumbersAreEasyToRead) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1'000), "1,000");
  EXPECT_EQ(grouped(12'345'678), "12,345,678");
  EXPECT_EQ(bytes_text(1'023), "1023 B");
  EXPECT_EQ(bytes_text(1'536), "1.5 KiB");
  EXPECT_EQ(bytes_text(1'048'575), "1.0 MiB");
}

TEST_F(CliFlows, ManyFlowsDoNotFillTheMemory) {
  SeenOnce once(10);
  const auto of_port = [](int port, const std::string& node) {
    return json::object{{"verdict", "allowed"},
                        {"kind", "opened"},
                        {"source_port", port},
                        {"node", node},
                        {"at", "2026-01-05T10:00:00Z"}};
  };
  for (int port = 0; port < 1'000; ++port) EXPECT_TRUE(once.first(of_port(port, "laptop")));
  EXPECT_FALSE(once.first(of_port(999, "ledger")));
  EXPECT_TRUE(once.first(of_port(3, "ledger"))) << "long forgotten";
  EXPECT_TRUE(once.first(of_port(999, "laptop"))) << "the same end again: another flow";
}

}  // namespace cli_flows_test
}  // namespace cordon::cli
