// Whose uids are people's.

#include "node/agent/people.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "node/agent/config.h"
#include "tests/support/temp_dir.h"

namespace cordon::node {
namespace people_test {

std::string refusal(const auto& result) {
  EXPECT_FALSE(result);
  return result ? "" : result.error().message();
}

TEST(PeopleUids, ARangeIsReadStrictly) {
  EXPECT_EQ(parse_uid_range("1000-60000"), (UidRange{1000, 60000}));
  EXPECT_EQ(parse_uid_range("3001"), (UidRange{3001, 3001}));
  for (const char* wrong : {"", "-", "1000-", "-1000", "1000-2000-3000", "ann", "1000 - 2000", "+1000",
                            "0x10", "4294967296", "2000-1000"})
    EXPECT_FALSE(parse_uid_range(wrong)) << wrong;
  EXPECT_NE(refusal(parse_uid_range("0-100")).find("root"), std::string::npos);
  EXPECT_NE(refusal(parse_uid_range("60000-70000")).find("65534"), std::string::npos);
  EXPECT_FALSE(parse_uid_range("70000-4294967295"));
}

TEST(PeopleUids, PeopleAreFromUidMinOnWhoeverGivesTheUids) {
  using Ranges = std::vector<UidRange>;
  constexpr UidRange kAbove{65536, 4294967294};
  const auto people = uids_of_login_defs("", "login.defs").value();
  EXPECT_EQ(people, (Ranges{{1000, 60513}, kAbove})) << "as useradd does";
  for (const std::uint32_t person : {1000u, 60001u, 60513u, 70000u, 1106401104u, 4294967294u})
    EXPECT_TRUE(is_among(people, person)) << person << ": an account, of systemd-homed, of a directory";
  for (const std::uint32_t other : {0u, 33u, 999u, 61184u, 65519u, 65534u, 65535u, 4294967295u})
    EXPECT_FALSE(is_among(people, other)) << other << ": a system account, dynamic, nobody's";
  EXPECT_EQ(
      uids_of_login_defs("# UID_MIN 5\n UID_MIN\t\t500 # here\nUID_MAX 0x1000\nSYS_UID_MIN 100\nMAIL_DIR /m",
                         "login.defs"),
      (Ranges{{500, 60513}, kAbove}))
      << "where useradd ends says nothing of a directory";
  EXPECT_EQ(uids_of_login_defs("UID_MIN \"02000\"\n", "login.defs"), (Ranges{{1024, 60513}, kAbove}));
  EXPECT_EQ(uids_of_login_defs("UID_MIN 62000\n", "f"), Ranges{kAbove});
  EXPECT_EQ(uids_of_login_defs("UID_MIN 70000\n", "f"), (Ranges{{70000, 4294967294}}));
  const std::string said = refusal(uids_of_login_defs("\nUID_MIN many\n", "/etc/login.defs"));
  EXPECT_TRUE(said.starts_with("/etc/login.defs:2: UID_MIN is \"many\"")) << said;
  EXPECT_NE(said.find("people_uids"), std::string::npos) << "the mend";
  for (const char* wrong : {"UID_MIN\n", "UID_MIN 0\n", "UID_MIN 4294967295\n"})
    EXPECT_NE(refusal(uids_of_login_defs(wrong, "f")).find("f:1:"), std::string::npos) << wrong;
}

TEST(PeopleUids, SubordinateUidsArePeoplesToo) {
  const auto read =
      uids_of_subuid("ann:100000:65536\n\n# none\nben:165536:65536\n3003:300000:1\nold:7:0\n", "subuid");
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, (std::vector<UidRange>{{100000, 165535}, {165536, 231071}, {300000, 300000}}));
  for (const char* wrong : {"ann", "ann:100000", ":100000:5", "ann:many:5", "ann:100000:5:6", "ann:0:5",
                            "ann:65000:1000", "ann:4294967290:6", "ann:4294967290:4294967295"}) {
    const std::string said = refusal(uids_of_subuid(std::string("ben:100000:5\n") + wrong, "/etc/subuid"));
    EXPECT_TRUE(said.starts_with("/etc/subuid:2:")) << said;
  }
}

TEST(PeopleUids, OfAMachineTheyAreOneList) {
  cordon::test::TempDir directory;
  const auto defs = directory / "login.defs", subuid = directory / "subuid";
  EXPECT_EQ(people_of_machine(defs, subuid).value(),
            (std::vector<UidRange>{{1000, 60513}, {65536, 4294967294}}));
  ASSERT_TRUE(write_file(defs, "UID_MIN 200000\n", 0644));
  ASSERT_TRUE(write_file(subuid, "ben:165536:100\nann:100000:65536\n", 0644));
  const auto all = people_of_machine(defs, subuid).value();
  EXPECT_EQ(all, (std::vector<UidRange>{{100000, 165635}, {200000, 4294967294}}))
      << "those that touch are one";
  EXPECT_EQ(in_words(all), "100000-165635, 200000-4294967294");
  EXPECT_EQ(in_words({{7, 7}}), "7");
  EXPECT_EQ(in_words({}), "nobody");
}

TEST(PeopleUids, TheConfigurationNamesThemInstead) {
  const std::string controllers = "name = \"jump\"\ncontrollers = [\"198.51.100.1:7443\"]\n";
  const auto with = [&](const std::string& line) {
    return parse_node_config(controllers + line, "node.toml");
  };
  EXPECT_FALSE(with("")->people_uids) << "the machine's accounts are asked";
  EXPECT_EQ(with("people_uids = [\"5000\", \"1000-2000\", \"2001-2002\"]")->people_uids,
            (std::vector<UidRange>{{1000, 2002}, {5000, 5000}}));
  EXPECT_EQ(with("people_uids = []")->people_uids, std::vector<UidRange>{}) << "nobody";
  const std::string said = refusal(with("people_uids = [\"1000-2000\", \"0\"]"));
  EXPECT_TRUE(said.starts_with("node.toml:3:29: \"people_uids\": \"0\" has root in it")) << said;
  EXPECT_FALSE(with("people_uids = \"1000-2000\""));
  EXPECT_FALSE(with("people_uids = [1000]"));
  EXPECT_EQ(filter_config(*with("people_uids = [\"7\"]"), "").people, (std::vector<UidRange>{{7, 7}}));
}

}  // namespace people_test
}  // namespace cordon::node
