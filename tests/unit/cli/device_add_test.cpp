#include <gtest/gtest.h>

#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace device_add_test {

constexpr const char* kPrinter = R"({"id":"printer","state":"active","tags":["print"],"gateway":"gw-1",
  "prefixes":["192.168.7.20/32"],"gateway_isolated":false,"connected":false,"enrolled_at":"2026-01-05T10:00:00Z"})";

TEST(CliDeviceAdd, PutsADeviceBehindAnotherAndPassesWarningsOn) {
  test::CliRig rig;
  rig.api["POST /v1/devices"] = {200, R"({"revision":17,"warnings":["gw-1 doesn't forward to 10.0.0.0/8"]})"};
  EXPECT_EQ(rig.run({"device", "add", "printer", "--behind", "gw-1", "--prefix", "192.168.7.20", "--prefix",
                     "10.0.0.0/8", "--tag", "print", "--ownership", "company"}),
            0);
  EXPECT_EQ(rig.out.str(), "printer is behind gw-1 (revision 17)\n");
  EXPECT_NE(rig.err.str().find("warning: gw-1 doesn't forward to 10.0.0.0/8"), std::string::npos)
      << rig.err.str();
}

TEST(CliDeviceAdd, WantsAGatewayAndPrefixesThatAreSome) {
  test::CliRig rig;
  EXPECT_EQ(rig.run({"device", "add", "printer", "--behind", "gw-1"}), 2);
  EXPECT_EQ(rig.run({"device", "add", "printer", "--prefix", "192.168.7.20"}), 2);
  EXPECT_EQ(rig.run({"device", "add", "printer", "--behind", "gw-1", "--prefix", "192.168.7.20/24"}), 2);
  EXPECT_NE(rig.err.str().find("192.168.7.0/24"), std::string::npos) << "what was meant: " << rig.err.str();
}

TEST(CliDeviceAdd, ListAndShowSayWhereItStands) {
  test::CliRig rig;
  rig.api["GET /v1/devices/printer"] = {200, kPrinter};
  EXPECT_EQ(rig.run({"device", "show", "printer"}), 0);
  EXPECT_NE(rig.out.str().find("addresses    192.168.7.20/32 behind gw-1\n"), std::string::npos)
      << rig.out.str();
  EXPECT_EQ(rig.out.str().find("tunnel key"), std::string::npos) << "it has none";
  rig.api["GET /v1/devices/gw-1"] = {200,
                                     R"({"id":"gw-1","gateway":null,"gateway_subnets":["192.168.7.0/24"]})"};
  EXPECT_EQ(rig.run({"device", "show", "gw-1"}), 0);
  EXPECT_NE(rig.out.str().find("forwards to  192.168.7.0/24\n"), std::string::npos) << rig.out.str();
}

}  // namespace device_add_test
}  // namespace cordon::cli
