// `cordon policy`: what each command says and does, wrong input included.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "cli/context.h"
#include "tests/support/capture_file.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace {

constexpr const char* kSmall = R"([groups]
traders = { users = ["trader@acme.example"] }
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to = ["settlement/ledger"]
when = { assurance = "aal3", countries = ["TW"] }
)";

constexpr const char* kTests = R"([[test]]
name = "a trader in Taiwan"
who = { user = "trader@acme.example", assurance = "aal3", device = { country = "TW" } }
access = "settlement/ledger"
expect = "allow"
rule = "traders-to-ledger"
[[test]]
name = "a trader abroad"
who = { user = "trader@acme.example", assurance = "aal3", device = { country = "US" } }
access = "settlement/ledger"
expect = "deny"
)";

constexpr const char* kFacts = R"({ "at": "2026-01-05T10:00:00+08:00",
  "devices": [ { "id": "ledger-1", "tags": ["settlement"] },
               { "id": "laptop", "checks": ["os_updates"], "country": "TW" },
               { "id": "abroad", "country": "US" } ],
  "sessions": [ { "id": "s1", "user": "trader@acme.example", "device": "laptop", "assurance": "aal3" },
                { "id": "s2", "user": "trader@acme.example", "device": "abroad", "assurance": "aal2" } ],
  "queries": [ { "principal": "s1", "target": "ledger-1", "access": "tcp/5432" },
               { "principal": "s2", "target": "ledger-1", "access": "tcp/5432" },
               { "principal": "s1", "target": "nowhere", "access": "tcp/5432" },
               { "principal": "laptop", "target": "ledger-1", "access": "tcp/22" } ] }
)";

class CliPolicy : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
  CliPolicy() { write("a.toml", kSmall); }
  std::string write(const std::string& name, std::string_view text) {
    std::ofstream(directory / name) << text;
    return (directory / name).string();
  }
  std::string path(const std::string& name = ".") const { return (directory / name).string(); }
  bool said(std::string_view part) const { return rig.err.str().find(part) != std::string::npos; }

  test::TempDir directory;
  test::CliRig rig;
};

TEST_F(CliPolicy, CheckRunsThePolicysTests) {
  EXPECT_EQ(rig.run({"policy", "check", path()}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "the policy is good: 1 file, 1 segment, 1 rule, no tests\n");
  write("b.toml", kTests);
  EXPECT_EQ(rig.run({"policy", "check", path()}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "the policy is good: 2 files, 1 segment, 1 rule, 2 tests passed\n");
  EXPECT_EQ(rig.err.str(), "");
}

TEST_F(CliPolicy, CheckFailsWithATestAndTellsItsPlace) {
  std::string tests = kTests;
  tests.replace(tests.find("\"deny\""), 6, "\"allow\"");
  write("b.toml", tests);
  EXPECT_EQ(rig.run({"policy", "check", path()}), kFailed);
  EXPECT_EQ(rig.out.str(), "");
  EXPECT_TRUE(said("b.toml:7:")) << rig.err.str();
  EXPECT_TRUE(said("countries")) << rig.err.str();
  EXPECT_TRUE(said(" fails 1 of its 2 tests\n")) << rig.err.str();
  EXPECT_EQ(rig.run({"policy", "check", "--json", path()}), kFailed);
  const json::value answer = json::parse(rig.out.str());
  EXPECT_FALSE(answer.at("ok").as_bool());
  EXPECT_TRUE(answer.at("diagnostics").as_array().empty());
  const json::array& told = answer.at("tests").as_array();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].at("name").as_string(), "a trader abroad");
  EXPECT_FALSE(told[0].at("passed").as_bool());
  EXPECT_EQ(told[0].at("found").as_string(), "deny");
  EXPECT_TRUE(told[1].at("passed").as_bool());
  EXPECT_EQ(told[1].at("rule").as_string(), "traders-to-ledger");
}

TEST_F(CliPolicy, CheckWarnsWithoutAnotherStatus) {
  write("b.toml", "[groups]\nnobody = { users = [\"x@y\"] }\n");
  EXPECT_EQ(rig.run({"policy", "check", path()}), kOk);
  EXPECT_TRUE(said("b.toml:2:1: warning: no rule uses group \"nobody\"")) << rig.err.str();
  EXPECT_TRUE(rig.out.str().starts_with("the policy is good: "));
}

TEST_F(CliPolicy, DecideAnswersALineAQuery) {
  const std::string facts = write("facts.json", kFacts);
  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", facts, "--json"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.err.str(), "");
  std::istringstream lines(rig.out.str());
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line,
            R"({"principal":"s1","target":"ledger-1","access":"tcp/5432","verdict":"allow",)"
            R"("rule":"traders-to-ledger","deadline":"2026-01-05T10:15:00+08:00","health":4,"trust":76,)"
            R"("because":[{"rule":"traders-to-ledger","holds":true,"failed":[]}]})");
  std::getline(lines, line);
  EXPECT_EQ(json::parse(line).at("verdict").as_string(), "deny");
  std::getline(lines, line);
  EXPECT_EQ(json::parse(line).at("reason").as_string(), "unknown target");
  std::getline(lines, line);
  EXPECT_EQ(line,
            R"({"principal":"laptop","target":"ledger-1","access":"tcp/22","verdict":"deny","rule":null,)"
            R"("deadline":null,"health":4,"trust":null,"because":[]})");
  EXPECT_FALSE(std::getline(lines, line));
  EXPECT_TRUE(rig.calls.empty());
}

TEST_F(CliPolicy, DecideIsReadableToo) {
  const std::string facts = write("facts.json", kFacts);
  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", facts}), kOk);
  EXPECT_EQ(rig.out.str(),
            "s1 to ledger-1 tcp/5432: allow by \"traders-to-ledger\" until 2026-01-05T10:15:00+08:00; "
            "health 0.4, trust 76\n"
            "s2 to ledger-1 tcp/5432: deny\n"
            "  \"traders-to-ledger\" needs assurance aal3, found aal2\n"
            "  \"traders-to-ledger\" needs countries TW, found US\n"
            "s1 to nowhere tcp/5432: deny (unknown target); health 0.4, trust 76\n"
            "laptop to ledger-1 tcp/22: deny (no rule allows it); health 0.4\n");
}

TEST_F(CliPolicy, DecideRefusesWhatItCantRead) {
  const std::string facts =
      write("facts.json", "{ \"at\": \"2026-01-05T10:00:00+08:00\",\n  \"devcies\": [] }");
  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", facts, "--json"}), kFailed);
  EXPECT_EQ(rig.out.str(), "");
  EXPECT_TRUE(said("facts.json:2:3: error: ")) << rig.err.str();
  EXPECT_TRUE(said("did you mean \"devices\"?")) << rig.err.str();
  EXPECT_TRUE(said("have 1 error\n")) << rig.err.str();

  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", write("cut.json", "{ \"at\": ")}), kFailed);
  EXPECT_TRUE(said("cut.json:1:")) << rig.err.str();
  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", path("none.json")}), kFailed);
  EXPECT_TRUE(said("none.json")) << rig.err.str();
  EXPECT_EQ(rig.run({"policy", "decide", path()}), kUsage);

  write("a.toml", "[segments.web]\nmembrs = [\"tag:web\"]\n");
  EXPECT_EQ(rig.run({"policy", "decide", path(), "--facts", write("facts.json", kFacts)}), kFailed);
  EXPECT_EQ(rig.out.str(), "");
  EXPECT_TRUE(said("a.toml:2:1: error: ")) << rig.err.str();
}

TEST_F(CliPolicy, ReplayRefusesWhatItCantRead) {
  const std::string facts = write("facts.json", kFacts);
  const auto replay = [&](const std::string& capture) {
    return rig.run({"policy", "replay", path(), "--facts", facts, "--pcap", capture});
  };
  EXPECT_EQ(replay(path("none.pcap")), kFailed);
  EXPECT_TRUE(said("none.pcap")) << rig.err.str();
  EXPECT_TRUE(said("the facts give nobody \"addresses\"")) << rig.err.str();
  EXPECT_EQ(replay(facts), kFailed);
  EXPECT_TRUE(said("can't be read as a capture")) << rig.err.str();
  EXPECT_EQ(replay(write("wifi.pcap", test::CaptureFile(105).text())), kFailed);
  EXPECT_TRUE(said("link type IEEE802_11 can't be replayed")) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "");
  EXPECT_EQ(rig.run({"policy", "replay", path(), "--facts", facts}), kUsage);
}

constexpr const char* kApplied =
    R"({"revision":17,"confirm_by":"2026-01-05T02:05:00Z","diagnostics":[{"text":"a.toml:1:1: warning: odd"}],)"
    R"("plan":{"summary":"1 person loses access","lines":["1 person loses access","  ann@x on laptop loses settlement/ledger tcp/5432"],"warnings":[]}})";

TEST_F(CliPolicy, ApplyTellsHowToKeepIt) {
  rig.api["POST /v1/policy/apply"] = {200, kApplied};
  EXPECT_EQ(rig.run({"policy", "apply", path()}), kOk) << rig.err.str();
  const json::value body = json::parse(rig.bodies.back());
  EXPECT_EQ(body.at("confirm_within_s").as_int64(), 300);
  EXPECT_EQ(body.at("files").at(0).at("name").as_string(), "a.toml");
  EXPECT_EQ(body.at("files").at(0).at("text").as_string(), kSmall);
  EXPECT_EQ(rig.err.str(), "a.toml:1:1: warning: odd\n");
  EXPECT_EQ(
      rig.out.str(),
      "1 person loses access\n"
      "  ann@x on laptop loses settlement/ledger tcp/5432\n"
      "the policy is in force (revision 17, 1 file)\n"
      "it stays only if it is confirmed by 2026-01-05 02:05:00:\n"
      "    cordon policy confirm 17\n"
      "otherwise the policy before comes back by itself; `cordon policy rollback` brings it back at once\n");
  EXPECT_EQ(rig.run({"policy", "apply", path(), "--confirm-within", "30m", "--wait", "5s", "--json"}), kOk);
  EXPECT_EQ(json::parse(rig.bodies.back()).at("confirm_within_s").as_int64(), 1800);
  EXPECT_EQ(json::parse(rig.bodies.back()).at("wait_s").as_int64(), 5);
  EXPECT_EQ(json::parse(rig.out.str()), json::parse(kApplied));
}

TEST_F(CliPolicy, ApplyRefusesOddTimesAndShowsWhyItWasRefused) {
  for (const char* within : {"9s", "25h", "soon", "", "-5m"}) {
    EXPECT_EQ(rig.run({"policy", "apply", path(), std::string("--confirm-within=") + within}), kUsage)
        << within;
    EXPECT_TRUE(said("10s to 24h") || *within == '\0') << rig.err.str();
  }
  EXPECT_TRUE(rig.calls.empty());
  rig.api["POST /v1/policy/apply"] = {
      422,
      R"({"status":422,"detail":"the policy fails 1 of its 2 tests\na.toml:9:1: error: test \"x\"","hint":"nothing changed"})"};
  EXPECT_EQ(rig.run({"policy", "apply", path()}), kFailed);
  EXPECT_EQ(rig.err.str(),
            "cordon: the policy fails 1 of its 2 tests\n  a.toml:9:1: error: test \"x\"\ncordon: nothing "
            "changed\n");
}

TEST_F(CliPolicy, ConfirmKeepsTheOneNamedOrTheOneThatWaits) {
  rig.api["POST /v1/policy/confirm"] = {200, R"({"revision":18,"policy_revision":17})"};
  EXPECT_EQ(rig.run({"policy", "confirm", "17"}), kOk);
  EXPECT_EQ(rig.calls, std::vector<std::string>{"POST /v1/policy/confirm"});
  EXPECT_EQ(json::parse(rig.bodies.back()), json::value({{"revision", 17}}));
  EXPECT_EQ(rig.out.str(), "the policy of revision 17 is confirmed and stays (revision 18)\n");
  rig.api["GET /v1/policy"] = {
      200, R"({"revision":17,"files":[],"confirm_by":"2026-01-05T02:05:00Z","confirmed_revision":3})"};
  EXPECT_EQ(rig.run({"policy", "confirm"}), kOk);
  EXPECT_EQ(json::parse(rig.bodies.back()), json::value({{"revision", 17}}));
  rig.api["GET /v1/policy"] = {200,
                               R"({"revision":17,"files":[],"confirm_by":null,"confirmed_revision":17})"};
  EXPECT_EQ(rig.run({"policy", "confirm"}), kFailed);
  EXPECT_EQ(
      rig.err.str(),
      "cordon: no policy waits for confirmation; revision 17 is in force; `cordon policy history` tells "
      "what became of each\n");
  EXPECT_EQ(rig.run({"policy", "confirm", "0"}), kUsage);
  EXPECT_EQ(rig.run({"policy", "confirm", "x"}), kUsage);
}

TEST_F(CliPolicy, RollbackTakesBackOrGoesBack) {
  rig.api["POST /v1/policy/rollback"] = {
      200, R"({"revision":19,"policy_revision":3,"undone":17,"confirm_by":null,"diagnostics":[]})"};
  EXPECT_EQ(rig.run({"policy", "rollback", "--reason", "it cut us off"}), kOk) << rig.err.str();
  EXPECT_EQ(json::parse(rig.bodies.back()), json::value({{"reason", "it cut us off"}}));
  EXPECT_EQ(rig.out.str(), "the policy of revision 3 is in force again (revision 19)\n");
  rig.api["POST /v1/policy/rollback"] = {
      200,
      R"({"revision":20,"policy_revision":2,"undone":0,"confirm_by":"2026-01-05T02:10:00Z","diagnostics":[]})"};
  EXPECT_EQ(rig.run({"policy", "rollback", "2", "--confirm-within", "10m"}), kOk);
  EXPECT_EQ(json::parse(rig.bodies.back()), json::value({{"revision", 2}, {"confirm_within_s", 600}}));
  EXPECT_NE(rig.out.str().find("    cordon policy confirm 20\n"), std::string::npos) << rig.out.str();
  rig.api["POST /v1/policy/rollback"] = {200, R"({"revision":21,"policy_revision":0,"undone":20})"};
  EXPECT_EQ(rig.run({"policy", "rollback"}), kOk);
  EXPECT_EQ(rig.out.str(), "no policy is in force: nothing is reachable (revision 21)\n");
}

TEST_F(CliPolicy, HistoryIsATable) {
  rig.api["GET /v1/policy/history?limit=20"] = {
      200,
      R"({"items":[)"
      R"({"revision":17,"at":"2026-01-05T02:00:00Z","actor_name":"ann@x","files":3,"state":"pending","since":"2026-01-05T02:00:00Z","by_name":"ann@x","reason":"","replaced_by":0,"confirm_by":"2026-01-05T02:05:00Z"},)"
      R"({"revision":12,"at":"2026-01-04T02:00:00Z","actor_name":"bob@x","files":3,"state":"rolled back","since":"2026-01-04T02:05:00Z","by_name":"controller","reason":"not confirmed in time","replaced_by":0,"confirm_by":"2026-01-04T02:05:00Z"},)"
      R"({"revision":3,"at":"2026-01-01T02:00:00Z","actor_name":"ann@x","files":1,"state":"confirmed","since":"2026-01-01T02:01:00Z","by_name":"ann@x","reason":"","replaced_by":0,"confirm_by":null}],)"
      R"("next":null})"};
  EXPECT_EQ(rig.run({"policy", "history"}), kOk) << rig.err.str();
  EXPECT_EQ(
      rig.out.str(),
      "REVISION  APPLIED              BY     FILES  STATE        SINCE                NOTE\n"
      "17        2026-01-05 02:00:00  ann@x  3      pending      2026-01-05 02:00:00  to be confirmed by "
      "2026-01-05 02:05:00\n"
      "12        2026-01-04 02:00:00  bob@x  3      rolled back  2026-01-04 02:05:00  by controller: not "
      "confirmed in time\n"
      "3         2026-01-01 02:00:00  ann@x  1      confirmed    2026-01-01 02:01:00  -\n");
}

TEST_F(CliPolicy, DiffIsShownAsItIsWrittenAndSafely) {
  rig.api["GET /v1/policy/diff?a=3&b=17"] = {
      200,
      R"({"a":3,"b":17,"files":[{"name":"a.toml","change":"changed","diff":"--- a.toml\trevision 3\n+++ a.toml\trevision 17\n@@ -1 +1 @@\n-x\n+\u001b[31my\n"}]})"};
  EXPECT_EQ(rig.run({"policy", "diff", "3", "17"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "--- a.toml revision 3\n+++ a.toml revision 17\n@@ -1 +1 @@\n-x\n+?[31my\n");
  rig.api["GET /v1/policy/diff?a=17"] = {200, R"({"a":17,"b":17,"files":[]})"};
  EXPECT_EQ(rig.run({"policy", "diff", "17"}), kOk);
  EXPECT_EQ(rig.out.str(), "revisions 17 and 17 have the same policy\n");
  EXPECT_EQ(rig.run({"policy", "diff"}), kUsage);
  EXPECT_EQ(rig.run({"policy", "diff", "-1"}), kUsage);
}

TEST_F(CliPolicy, ShowTellsOfAPolicyThatWaits) {
  rig.api["GET /v1/policy"] = {
      200,
      R"({"revision":17,"files":[{"name":"a.toml","text":"x = 1\n"}],"confirm_by":"2026-01-05T02:05:00Z","confirmed_revision":3})"};
  EXPECT_EQ(rig.run({"policy", "show"}), kOk);
  EXPECT_EQ(rig.out.str(),
            "# in force since revision 17\n"
            "# waits for `cordon policy confirm 17` until 2026-01-05 02:05:00; then revision 3 comes back\n"
            "\n# ---- a.toml\nx = 1\n");
}

}  // namespace
}  // namespace cordon::cli
