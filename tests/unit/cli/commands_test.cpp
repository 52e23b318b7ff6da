#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/table.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace {

class Cli : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
  test::CliRig rig;
};

constexpr const char* kDevices =
    R"({"items":[{"id":"ledger","number":1,"state":"active","tags":["settlement"],"ownership":null,"isolated":false,)"
    R"("addresses":["100.64.0.1","fd00::1"],"platform":"","token":"t-1","enrolled_at":"2026-01-05T02:00:00Z","connected":true},)"
    R"({"id":"zoë\u001b[31m","number":2,"state":"pending","tags":[],"ownership":null,"isolated":false,"addresses":[],)"
    R"("platform":"","token":"t-2","enrolled_at":"2026-01-05T02:00:00Z","connected":false}],"next":null})";

TEST_F(Cli, TablesAreAlignedAndSafeOnATerminal) {
  rig.api["GET /v1/devices?limit=1000"] = {200, kDevices};
  EXPECT_EQ(rig.run({"device", "list"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(),
            "DEVICE    STATE    CONNECTED  TAGS        ADDRESSES\n"
            "ledger    active   yes        settlement  100.64.0.1, fd00::1\n"
            "zoë?[31m  pending  no         -           -\n");
}

TEST_F(Cli, JsonIsOneObjectALineWhereverTheFlagStands) {
  rig.api["GET /v1/devices?limit=1000"] = {200, kDevices};
  EXPECT_EQ(rig.run({"--json", "device", "list"}), kOk);
  const std::string before = rig.out.str();
  EXPECT_EQ(rig.run({"device", "list", "--json"}), kOk);
  EXPECT_EQ(rig.out.str(), before);
  std::istringstream lines(before);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_TRUE(json::parse(line).is_object());
  EXPECT_EQ(count, 2);
}

TEST_F(Cli, ListsFollowTheirPages) {
  rig.api["GET /v1/users?limit=1000"] = {
      200, R"({"items":[{"id":"u-1","name":"ann@x","issuer":"local","disabled":false}],"next":"u-1"})"};
  rig.api["GET /v1/users?limit=1000&after=u-1"] = {
      200, R"({"items":[{"id":"u-2","name":"","issuer":"local","disabled":true}],"next":null})"};
  EXPECT_EQ(rig.run({"user", "list"}), kOk);
  EXPECT_EQ(rig.out.str(),
            "NAME   ID   FROM   STATE\nann@x  u-1  local  active\n-      u-2  local  disabled\n");
}

TEST_F(Cli, IsolateShowsReceiptsAndTellsWhoIsMissing) {
  rig.api["POST /v1/devices/web/isolate"] = {
      200,
      R"({"revision":17,"receipts":[{"device":"ledger","acked":true,"self":false,"after_ms":12,"after_us":11800,"connected":true,"leases_end":null,"nack":""},)"
      R"({"device":"trader","acked":false,"self":false,"after_ms":null,"after_us":null,"connected":true,"leases_end":"2026-01-05T02:15:00Z","nack":""},)"
      R"({"device":"old","acked":false,"self":false,"after_ms":null,"after_us":null,"connected":false,"leases_end":"2026-01-05T02:15:00Z","nack":""},)"
      R"({"device":"web","acked":false,"self":true,"after_ms":null,"after_us":null,"connected":true,"leases_end":null,"nack":""}]})"};
  EXPECT_EQ(rig.run({"isolate", "web", "--reason", "odd"}), kNotAllAcked);
  EXPECT_EQ(json::parse(rig.bodies.back()), json::value({{"reason", "odd"}, {"wait_s", 10}}));
  EXPECT_EQ(rig.out.str(),
            "web is isolated (revision 17)\n"
            "NODE    ACK  AFTER  LEASES END           NOTE\n"
            "ledger  yes  12 ms  -                    -\n"
            "trader  no   -      2026-01-05 02:15:00  -\n"
            "old     no   -      2026-01-05 02:15:00  not connected: its leases run out by themselves\n"
            "web     no   -      -                    the host's own word: not counted\n");
  EXPECT_EQ(rig.run({"--json", "isolate", "web", "--wait", "0"}), kNotAllAcked);
}

TEST_F(Cli, ProblemsBecomeOneLineWithTheMend) {
  rig.api["POST /v1/devices/x/approve"] = {
      404, R"({"status":404,"detail":"there is no device \"x\"","hint":"look","code":"not found"})"};
  EXPECT_EQ(rig.run({"device", "approve", "x"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: there is no device \"x\"; look\n");
  EXPECT_EQ(rig.out.str(), "");
  rig.api["POST /v1/devices/x/approve"] = {500, "gateway"};
  EXPECT_EQ(rig.run({"device", "approve", "x"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: the controller answered with status 500\n");
}

TEST_F(Cli, ADaemonThatIsAwayIsFour) {
  EXPECT_EQ(rig.run({"node", "list"}), kUnreachable);
  EXPECT_EQ(rig.err.str(), "cordon: can't reach the controller at there; start it\n");
  EXPECT_EQ(rig.run({"status"}), kUnreachable);
}

TEST_F(Cli, WrongUsageIsTwoAndNamesTheMend) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{}, "cordon: a command is missing; see `cordon --help`\n"},
      {{"device", "lst"}, "cordon: unknown command or option \"lst\"; see `cordon device --help`\n"},
      {{"why", "ledger", "99x"},
       "cordon: PORT: \"99x\" is not a port; write 5432, tcp/5432, udp/53, icmp/8 or ping; see `cordon why "
       "--help`\n"},
      {{"audit", "list", "--limit", "0"},
       "cordon: --limit: \"0\" is not a whole number from 1 on; see `cordon audit list --help`\n"},
      {{"flows", "--limit", "100001"},
       "cordon: --limit: \"100001\" is not a whole number from 1 to 100000; see `cordon flows --help`\n"},
      {{"token", "create", "--expires", "31d"},
       "cordon: --expires: \"31d\" is too long; give 30d at most; see `cordon token create --help`\n"},
  };
  for (const auto& [arguments, expected] : cases) {
    EXPECT_EQ(rig.run(arguments), kUsage);
    EXPECT_EQ(rig.err.str(), expected);
  }
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"isolate"},
                                             {"isolate", "web", "--wait", "2h"},
                                             {"isolate", "web", "--wat"},
                                             {"receipts", "x"},
                                             {"token", "create", "--expires", "soon"},
                                             {"api-token", "create"},
                                             {"policy", "check"}}) {
    EXPECT_EQ(rig.run(arguments), kUsage) << arguments.front();
    EXPECT_TRUE(rig.err.str().starts_with("cordon: ")) << rig.err.str();
  }
  EXPECT_TRUE(rig.calls.empty());
}

TEST_F(Cli, EveryCommandHasHelpWithAnExample) {
  for (const std::vector<std::string>& path : std::vector<std::vector<std::string>>{{"login"},
                                                                                    {"logout"},
                                                                                    {"status"},
                                                                                    {"why"},
                                                                                    {"policy", "check"},
                                                                                    {"policy", "apply"},
                                                                                    {"policy", "show"},
                                                                                    {"policy", "decide"},
                                                                                    {"policy", "replay"},
                                                                                    {"policy", "confirm"},
                                                                                    {"policy", "rollback"},
                                                                                    {"policy", "history"},
                                                                                    {"policy", "diff"},
                                                                                    {"token", "create"},
                                                                                    {"token", "list"},
                                                                                    {"token", "revoke"},
                                                                                    {"device", "list"},
                                                                                    {"device", "show"},
                                                                                    {"device", "approve"},
                                                                                    {"device", "remove"},
                                                                                    {"device", "tag"},
                                                                                    {"device", "classify"},
                                                                                    {"isolate"},
                                                                                    {"release"},
                                                                                    {"user", "add"},
                                                                                    {"user", "list"},
                                                                                    {"user", "disable"},
                                                                                    {"user", "enable"},
                                                                                    {"session", "list"},
                                                                                    {"session", "close"},
                                                                                    {"session", "signal"},
                                                                                    {"node", "list"},
                                                                                    {"audit", "list"},
                                                                                    {"audit", "verify"},
                                                                                    {"audit", "export"},
                                                                                    {"flows"},
                                                                                    {"drops"},
                                                                                    {"counters"},
                                                                                    {"api-token", "create"},
                                                                                    {"api-token", "list"},
                                                                                    {"api-token", "revoke"},
                                                                                    {"receipts"},
                                                                                    {"ca"}}) {
    std::vector<std::string> arguments = path;
    arguments.emplace_back("--help");
    EXPECT_EQ(rig.run(arguments), kOk);
    std::string example = "Example:\n  cordon";
    for (const std::string& word : path) example += " " + word;
    EXPECT_NE(rig.out.str().find(example), std::string::npos) << rig.out.str();
  }
  EXPECT_EQ(rig.run({"--version"}), kOk);
  EXPECT_EQ(rig.out.str(), "cordon 0.1.0\n");
  EXPECT_EQ(rig.run({"--help"}), kOk);
  EXPECT_NE(rig.out.str().find("3 a connected node has not acked"), std::string::npos);
}

TEST_F(Cli, ChangesTagsByWhatTheDeviceHas) {
  rig.api["GET /v1/devices/ledger"] = {200, R"({"id":"ledger","tags":["hr","web"]})"};
  rig.api["POST /v1/devices/ledger/tags"] = {200, R"({"revision":17})"};
  EXPECT_EQ(rig.run({"device", "tag", "ledger", "+settlement", "-web", "-hr", "--wait", "0"}), kOk)
      << rig.err.str();
  EXPECT_EQ(rig.bodies.back(), R"({"tags":["settlement"]})");
  EXPECT_EQ(rig.run({"device", "tag", "ledger", "-web", "-hr"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.bodies.back(), R"({"tags":[]})");
  EXPECT_EQ(rig.run({"device", "tag", "ledger", "-db"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: the device has no tag \"db\"; it has hr, web\n");
  EXPECT_EQ(rig.run({"device", "tag", "ledger", "settlement"}), kUsage);
  EXPECT_EQ(
      rig.err.str(),
      "cordon: \"settlement\" is no change of a tag; +TAG gives it, -TAG takes it away; see `cordon device "
      "tag --help`\n");
  EXPECT_EQ(rig.run({"device", "tag", "ledger", "--waits"}), kUsage);
  EXPECT_EQ(rig.run({"device", "tag", "ledger"}), kUsage);
}

TEST_F(Cli, SetsRightWhoseADeviceIs) {
  rig.api["POST /v1/devices/laptop/classify"] = {200, R"({"revision":17})"};
  EXPECT_EQ(rig.run({"device", "classify", "laptop", "partner"}), kOk) << rig.err.str();
  EXPECT_EQ(boost::json::parse(rig.bodies.back()).at("ownership"), "partner");
  EXPECT_EQ(rig.run({"device", "classify", "laptop", "unknown"}), kOk) << rig.err.str();
  EXPECT_TRUE(boost::json::parse(rig.bodies.back()).at("ownership").is_null());
  EXPECT_EQ(rig.run({"device", "classify", "laptop", "mine"}), kUsage);
}

TEST_F(Cli, PolicyCheckWorksOffLine) {
  const test::TempDir directory;
  std::ofstream(directory / "a.toml") << "[segments.web]\nmembrs = [\"tag:web\"]\n";
  EXPECT_EQ(rig.run({"policy", "check", directory.path().string()}), kFailed);
  EXPECT_NE(rig.err.str().find("a.toml:2:"), std::string::npos) << rig.err.str();
  EXPECT_EQ(rig.run({"policy", "check", "--json", directory.path().string()}), kFailed);
  EXPECT_FALSE(json::parse(rig.out.str()).at("ok").as_bool());
  EXPECT_EQ(rig.run({"policy", "check", CORDON_SOURCE_DIR "/examples/first-perimeter"}), kOk)
      << rig.err.str();
  EXPECT_TRUE(rig.calls.empty());
  EXPECT_EQ(rig.run({"policy", "check", (directory / "nothing").string()}), kFailed);
}

TEST_F(Cli, TokenIsAloneOnStandardOutput) {
  rig.api["POST /v1/tokens"] = {
      201, R"({"revision":3,"id":"t-1","token":"cordon1.t-1.x.y","expires_at":"2026-01-05T02:00:00Z"})"};
  EXPECT_EQ(rig.run({"token", "create", "--tags", "a,b", "--expires", "8h"}), kOk);
  EXPECT_EQ(rig.out.str(), "cordon1.t-1.x.y\n");
  const json::value body = json::parse(rig.bodies.back());
  EXPECT_EQ(body.at("tags"), json::value(json::array{"a", "b"}));
  EXPECT_EQ(body.at("expires_in_s").as_int64(), 8 * 3600);
}

TEST_F(Cli, PasswordsComeFromFilesOrTheTerminalOnly) {
  rig.api["POST /v1/users"] = {201,
                               R"({"revision":3,"id":"u-1","name":"ann@x","otpauth":"otpauth://totp/x"})"};
  rig.in.str("a long password\r\nrest\n");
  EXPECT_EQ(rig.run({"user", "add", "ann@x", "--password-file", "-"}), kOk);
  EXPECT_EQ(json::parse(rig.bodies.back()).at("password").as_string(), "a long password");
  EXPECT_EQ(rig.out.str(), "ann@x is added (u-1)\notpauth://totp/x\n");
  rig.typed = {"one password", "another one"};
  EXPECT_EQ(rig.run({"user", "add", "ann@x"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: the two passwords differ; try again\n");
}

constexpr const char* kReach =
    R"("reach":[{"target":"ledger","addresses":["100.64.0.1"],"service":"settlement/ledger","access":"tcp/5432","rule":"traders","deadline":"2026-01-05T02:15:00Z"}])";

TEST_F(Cli, LoginAsksAndShowsWhatMayBeReached) {
  rig.node =
      std::string(
          R"({"ok":true,"session":"s-1","user":"ann@x","ends_at":"2026-01-05T14:00:00Z","addresses":[],)") +
      kReach + "}";
  rig.typed = {"ann@x", "a long password", "123 456"};
  EXPECT_EQ(rig.run({"login"}), kOk) << rig.err.str();
  EXPECT_EQ(json::parse(rig.lines.back()),
            json::value(
                {{"verb", "login"}, {"user", "ann@x"}, {"password", "a long password"}, {"totp", "123456"}}));
  EXPECT_EQ(rig.out.str(),
            "logged in as ann@x until 2026-01-05 14:00:00\n"
            "HOST    SERVICE            ACCESS    RULE     UNTIL                ADDRESSES\n"
            "ledger  settlement/ledger  tcp/5432  traders  2026-01-05 02:15:00  100.64.0.1\n");
  rig.node =
      R"({"ok":false,"error":"the code is wrong","hint":"","code":"unauthorized","retry_after_ms":1500})";
  rig.in.str("a long password\n");
  EXPECT_EQ(rig.run({"login", "--user", "ann@x", "--password-file", "-", "--totp", "123456"}), kFailed);
  EXPECT_EQ(rig.err.str(), "cordon: the code is wrong; try again in 2 s\n");
  rig.typed.clear();
  EXPECT_EQ(rig.run({"login"}), kFailed);
}

TEST_F(Cli, WhyTakesPortsAsPeopleWriteThem) {
  rig.node =
      R"({"ok":true,"allowed":false,"rule":"","deadline":null,"answer":"no rule lets you","mends":["log in"]})";
  for (const auto& [typed, sent] : std::map<std::string, std::string>{{"5432", "tcp/5432"},
                                                                      {"tcp/5432", "tcp/5432"},
                                                                      {"udp/53", "udp/53"},
                                                                      {"ping", "icmp/8"},
                                                                      {"icmpv6/128", "icmpv6/128"}}) {
    EXPECT_EQ(rig.run({"why", "ledger", typed}), kFailed);
    EXPECT_EQ(json::parse(rig.lines.back()).at("access").as_string(), sent);
  }
  EXPECT_EQ(rig.out.str(), "no rule lets you\n  - log in\n");
  rig.node =
      R"({"ok":true,"allowed":true,"rule":"traders","deadline":"2026-01-05T02:15:00Z","answer":"you may until 2026-01-05T02:15:00.25Z, or so","mends":[]})";
  EXPECT_EQ(rig.run({"why", "ledger", "5432"}), kOk);
  EXPECT_EQ(rig.out.str(), "you may until 2026-01-05 02:15:00, or so\n");
}

TEST_F(Cli, StatusOfADeviceWithoutASession) {
  rig.node =
      R"({"ok":true,"device":"trader","controller":{"connected":false,"name":"","since":null},"state":{"revision":12,"leases_end":"2026-01-05T02:15:00Z","node_lease_end":null},)"
      R"("tunnel":{"interface":"cdn-cordon","backend":"userspace","peers":[]},"addresses":["100.64.0.2"],"isolated":false,"session":null,"reach":[],"alarms":["filter detached"]})";
  EXPECT_EQ(rig.run({"status"}), kOk);
  EXPECT_EQ(rig.out.str(),
            "device       trader\n"
            "controller   not connected; grants end by themselves, the last at 2026-01-05 02:15:00\n"
            "enforces     revision 12\n"
            "tunnel       cdn-cordon (userspace), 0 peers\n"
            "addresses    100.64.0.2\n"
            "session      nobody; `cordon login` opens one\n"
            "ALARM        filter detached\n"
            "\n"
            "nothing may be reached now\n");
}

TEST_F(Cli, AuditListTellsPayloadsAsPeopleReadThem) {
  rig.api["GET /v1/audit?after=0&limit=100"] = {
      200,
      R"({"items":[{"revision":2,"at":"2026-01-05T02:15:00Z","actor_name":"root@local","kind":"policy applied","payload":)"
      R"({"confirm_by":1767579600000000,"files":[{"name":"a.toml","text":"..."},{"name":"b.toml"}],"note":null,"sealed_name":"x","tags":["db","web"],"uses":3}}],"next":null})"};
  ASSERT_EQ(rig.run({"audit", "list"}), kOk) << rig.err.str() << rig.calls.back();
  EXPECT_NE(rig.out.str().find("  confirm_by=2026-01-05 02:20:00 files=a.toml,b.toml tags=db,web uses=3\n"),
            std::string::npos)
      << rig.out.str();
}

TEST_F(Cli, AuditVerifyTellsTheFaultAndTheCheckpoint) {
  rig.api["GET /v1/audit/verify"] = {
      200,
      R"({"ok":true,"records":3,"heads":2,"revision":3,"at":null,"checkpoint":"3:ab","signers":["c1"],"fault":"","fault_revision":0})"};
  EXPECT_EQ(rig.run({"audit", "verify"}), kOk);
  EXPECT_EQ(rig.out.str(),
            "3 records are as they were written, none is missing; 2 signed heads by c1\ncheckpoint: 3:ab\n");
  rig.api["GET /v1/audit/verify"] = {
      200,
      R"({"ok":false,"records":1,"heads":1,"revision":1,"at":null,"checkpoint":"1:ab","signers":["c1"],"fault":"edited","fault_revision":2})"};
  EXPECT_EQ(rig.run({"audit", "verify"}), kFailed);
  EXPECT_EQ(rig.err.str(),
            "cordon: the log can't be relied on from revision 2: edited; it is good up to 1:ab\n");
  EXPECT_EQ(rig.run({"audit", "verify", "export.jsonl"}), kFailed);
  EXPECT_NE(rig.err.str().find("--ca"), std::string::npos);
}

TEST_F(Cli, AuditExportPassesEverythingOn) {
  rig.api["GET /v1/audit/export"] = {200, "{\"record\":{}}\n{\"head\":{}}\n"};
  EXPECT_EQ(rig.run({"audit", "export"}), kOk);
  EXPECT_EQ(rig.out.str(), "{\"record\":{}}\n{\"head\":{}}\n");
  const test::TempDir directory;
  EXPECT_EQ(rig.run({"audit", "export", "--output", (directory / "no").string() + "/such/file"}), kFailed);
}

TEST_F(Cli, AuditExportThatFailsLeavesTheLastOneAsItWas) {
  const test::TempDir directory;
  const std::string file = (directory / "export.jsonl").string();
  rig.api["GET /v1/audit/export"] = {200, "{\"record\":{}}\n"};
  ASSERT_EQ(rig.run({"audit", "export", "--output", file}), kOk) << rig.err.str();
  rig.api["GET /v1/audit/export"] = {503, R"({"status":503,"detail":"not now","hint":"","code":"busy"})"};
  EXPECT_NE(rig.run({"audit", "export", "--output", file}), kOk);
  std::stringstream kept;
  kept << std::ifstream(file).rdbuf();
  EXPECT_EQ(kept.str(), "{\"record\":{}}\n");
  const std::filesystem::directory_iterator files(std::filesystem::path(file).parent_path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1) << "nothing is left beside it";
}

TEST_F(Cli, WithoutATerminalEachCommandTellsItsOwnOptions) {
  EXPECT_EQ(rig.run({"user", "add", "ann@x"}), kFailed);
  EXPECT_NE(rig.err.str().find("--password-file"), std::string::npos) << rig.err.str();
  EXPECT_EQ(rig.err.str().find("--totp"), std::string::npos) << rig.err.str();
  EXPECT_EQ(rig.run({"login"}), kFailed);
  EXPECT_NE(rig.err.str().find("--totp"), std::string::npos) << rig.err.str();
}

TEST_F(Cli, SessionsCloseByIdOrPerson) {
  rig.api["GET /v1/sessions?limit=1000"] = {
      200,
      R"({"items":[{"id":"s-1","user":"ann@x","user_id":"u-1","device":"a"},{"id":"s-2","user":"ann@x","user_id":"u-1","device":"b"}],"next":null})"};
  rig.api["DELETE /v1/sessions/s-1?wait_s=5"] = {200, R"({"revision":4,"receipts":[]})"};
  rig.api["DELETE /v1/sessions/s-2?wait_s=5"] = {200, R"({"revision":5,"receipts":[]})"};
  EXPECT_EQ(rig.run({"session", "close", "ann@x", "--wait", "5s"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.calls.size(), 3u);
  EXPECT_EQ(rig.run({"session", "close", "bob@x"}), kFailed);
}

TEST_F(Cli, SignalsAreRaisedForAWhileAndCleared) {
  rig.api["POST /v1/sessions/s-1/signals"] = {200, R"({"revision":4})"};
  EXPECT_EQ(rig.run({"session", "signal", "s-1", "new country", "--cost", "40", "--for", "8h"}), kOk)
      << rig.err.str();
  EXPECT_EQ(json::parse(rig.bodies.back()),
            (json::object{{"name", "new country"}, {"cost", 40}, {"lasts_s", 28800}}));
  EXPECT_EQ(rig.out.str(),
            "\"new country\" takes 40 from the behaviour of session s-1, for 8h (revision 4)\n");
  rig.api["DELETE /v1/sessions/s-1/signals?name=new%20country&wait_s=5"] = {
      200, R"({"revision":5,"receipts":[]})"};
  EXPECT_EQ(rig.run({"session", "signal", "s-1", "new country", "--clear", "--wait", "5s"}), kOk)
      << rig.err.str();
  EXPECT_EQ(rig.run({"session", "signal", "s-1", "new country"}), kFailed);
  EXPECT_NE(rig.err.str().find("--cost"), std::string::npos);
  EXPECT_NE(rig.run({"session", "signal", "s-1", "new country", "--cost", "40", "--for", "7x"}), kOk);
}

TEST(CliTable, PrintableKeepsUtf8AndNothingElse) {
  EXPECT_EQ(printable("zoë 日本"), "zoë 日本");
  EXPECT_EQ(printable("a\x1b[2Jb\tc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(printable("\xff\xc3"), "??");
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "evil"),
            "???evil");
}

}  // namespace
}  // namespace cordon::cli
