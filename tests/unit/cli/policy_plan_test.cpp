// `cordon policy plan`, `learn` and `explain`: what people read, and how they end.

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cli/context.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace {

class CliPolicyPlan : public ::testing::Test {
 protected:
  CliPolicyPlan() {
    std::filesystem::create_directory(directory / "policy");
    std::ofstream(directory / "policy/a.toml") << "[groups.a]\nusers = [\"a@x\"]\n";
  }
  std::string path(const std::string& name) const { return (directory / name).string(); }
  int plan(const std::string& answer, std::vector<std::string> options = {}) {
    rig.api["POST /v1/policy/plan"] = {200, answer};
    std::vector<std::string> arguments{"policy", "plan", path("policy")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return rig.run(arguments);
  }

  test::TempDir directory;
  test::CliRig rig;
};

TEST_F(CliPolicyPlan, PlanTellsSummaryWarningsChangesAndObstacles) {
  EXPECT_EQ(plan(R"({"summary":"1 person loses access; 2 live flows are cut",
      "totals":{"changes_left_out":0},
      "warnings":[{"kind":"starts-enforcing","text":"segment lab starts to enforce","lines":["a to b","c to d"]}],
      "changes":[{"lines":["t on l loses s/x tcp/1; 2 live flows are cut"]},{"lines":["u\u0007 on m gains s/y tcp/2"]}],
      "obstacles":["another policy waits"],"diagnostics":[]})"),
            kOk)
      << rig.err.str();
  EXPECT_EQ(rig.out.str(),
            "1 person loses access; 2 live flows are cut\n"
            "warning: segment lab starts to enforce\n"
            "    a to b\n"
            "    c to d\n"
            "  t on l loses s/x tcp/1; 2 live flows are cut\n"
            "  u? on m gains s/y tcp/2\n"
            "apply would be refused now: another policy waits\n");
  EXPECT_NE(rig.bodies.back().find("a.toml"), std::string::npos);
}

TEST_F(CliPolicyPlan, ALongPlanIsCutAndJsonIsWhole) {
  std::string lines;
  for (int i = 0; i < 70; ++i) lines += std::string(i == 0 ? "" : ",") + "\"line\"";
  const std::string answer = R"({"summary":"s","totals":{},"warnings":[],"obstacles":[],"diagnostics":[],)"
                             R"("changes":[{"lines":[)" +
                             lines + "]}]}";
  EXPECT_EQ(plan(answer), kOk);
  EXPECT_NE(rig.out.str().find("  and 20 lines more; --json tells all\n"), std::string::npos)
      << rig.out.str();
  EXPECT_EQ(plan(answer, {"--json"}), kOk);
  EXPECT_NE(rig.out.str().find("\"changes\":[{\"lines\":[\"line\""), std::string::npos);
}

TEST_F(CliPolicyPlan, ADirectoryWithoutPoliciesIsAnErrorBeforeAnybodyIsAsked) {
  std::filesystem::create_directory(directory / "empty");
  EXPECT_EQ(rig.run({"policy", "plan", path("empty")}), kFailed);
  EXPECT_TRUE(rig.calls.empty());
}

TEST_F(CliPolicyPlan, LearnPrintsTheProposalOrWritesANewFile) {
  rig.api["POST /v1/policy/learn"] = {
      200,
      R"({"text":"# proposed\n[[allow]]\n","rules":[{}],"flows_covered":12,"flows_left_out":1,"flows_allowed":0})"};
  EXPECT_EQ(rig.run({"policy", "learn", "lab", "--since", "12h"}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "# proposed\n[[allow]]\n");
  EXPECT_EQ(rig.err.str(), "cordon: 1 rule covers 12 flows; 1 left out\n");
  EXPECT_EQ(rig.bodies.back(), R"({"segment":"lab","since_s":43200,"one_off":1})");

  const std::string file = path("lab.toml");
  EXPECT_EQ(rig.run({"policy", "learn", "lab", "--out", file}), kOk) << rig.err.str();
  EXPECT_EQ(rig.out.str(), "1 rule covers 12 flows; 1 left out, in " + file + "\n");
  std::ostringstream written;
  written << std::ifstream(file).rdbuf();
  EXPECT_EQ(written.str(), "# proposed\n[[allow]]\n");

  const std::size_t calls = rig.calls.size();
  EXPECT_EQ(rig.run({"policy", "learn", "lab", "--out", file}), kFailed);
  EXPECT_NE(rig.err.str().find("exists already; give another name to --out"), std::string::npos)
      << rig.err.str();
  EXPECT_EQ(rig.calls.size(), calls) << "nobody is asked";
  EXPECT_EQ(rig.run({"policy", "learn", "lab", "--since", "soon"}), kUsage);
}

TEST_F(CliPolicyPlan, ExplainSaysWhyAndItsStatusIsTheAnswer) {
  rig.api["POST /v1/policy/explain"] = {200,
                                        R"({"allowed":true,"lines":["a on l may reach s/x"],"answers":[]})"};
  EXPECT_EQ(rig.run({"policy", "explain", "--user", "a@x", "--device", "l", "--to", "s/x"}), kOk)
      << rig.err.str();
  EXPECT_EQ(rig.out.str(), "a on l may reach s/x\n");
  EXPECT_EQ(rig.bodies.back(), R"({"device":"l","to":"s/x","assurance":"aal2","user":"a@x"})");

  rig.api["POST /v1/policy/explain"] = {200,
                                        R"({"allowed":false,"lines":["machine l may not"],"answers":[]})"};
  EXPECT_EQ(rig.run({"policy", "explain", "--device", "l", "--to", "s tcp/22", "--assurance", "aal3"}),
            kFailed);
  EXPECT_EQ(rig.out.str(), "machine l may not\n");
  EXPECT_EQ(rig.bodies.back(), R"({"device":"l","to":"s tcp/22","assurance":"aal3"})");
  EXPECT_EQ(rig.run({"policy", "explain", "--device", "l", "--to", "s/x", "--assurance", "aal9"}), kUsage);
  EXPECT_EQ(rig.run({"policy", "explain", "--to", "s/x"}), kUsage);
}

}  // namespace
}  // namespace cordon::cli
