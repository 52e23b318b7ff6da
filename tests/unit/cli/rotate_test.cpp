#include <gtest/gtest.h>

#include "tests/unit/cli/cli_rig.h"

namespace cordon::cli {
namespace rotate_test {

TEST(CliRotate, AsksAndShowsTheKey) {
  test::CliRig rig;
  rig.api["POST /v1/devices/ledger/rotate"] = {200, R"({"revision":17})"};
  EXPECT_EQ(rig.run({"device", "rotate", "ledger"}), 0);
  EXPECT_EQ(rig.out.str(), "ledger turns to a new WireGuard key once its peers know it (revision 17)\n");
  rig.api["GET /v1/devices/ledger"] = {200, R"({"id":"ledger","tunnel_key":"a2V5","tunnel_key_turns":true})"};
  EXPECT_EQ(rig.run({"device", "show", "ledger"}), 0);
  EXPECT_NE(rig.out.str().find("tunnel key   a2V5, turns to another\n"), std::string::npos) << rig.out.str();
}

}  // namespace rotate_test
}  // namespace cordon::cli
