#include <gtest/gtest.h>

#include "controller/api/fields.h"
#include "controller/api/routes.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_rotate_test {

TEST(ApiRotate, AsksOnceShowsThatAKeyTurnsAndWhichOneThereIs) {
  test::ApiRig rig;
  rig.add_device("ledger");
  const auto before = rig.call("GET", "/v1/devices/ledger");
  EXPECT_FALSE(before.json().at("tunnel_key_turns").as_bool());
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/rotate").status, 200u);
  const auto asked = rig.call("GET", "/v1/devices/ledger");
  EXPECT_TRUE(api::check_object(asked.json(), api::schema("Device"), "")) << asked.body;
  EXPECT_TRUE(asked.json().at("tunnel_key_turns").as_bool());
  EXPECT_EQ(asked.text("tunnel_key"), before.text("tunnel_key"));
  const auto again = rig.call("POST", "/v1/devices/ledger/rotate");
  EXPECT_EQ(again.status, 409u);
  EXPECT_NE(again.text("detail").find("was asked"), std::string::npos) << again.body;

  WireguardKey key{};
  key.fill(9);
  rig.add(kinds::WireguardKeyOffered{DeviceId("ledger"), key});
  rig.add(kinds::WireguardKeyChanged{DeviceId("ledger"), key});
  const auto after = rig.call("GET", "/v1/devices/ledger");
  EXPECT_FALSE(after.json().at("tunnel_key_turns").as_bool());
  EXPECT_EQ(after.text("tunnel_key"), to_base64(key));

  rig.add(kinds::DeviceIsolated{DeviceId("ledger"), "test"});
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/rotate").status, 409u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/nobody/rotate").status, 404u);
}

TEST(ApiRotate, AReleaseAsksForANewKey) {
  test::ApiRig rig;
  rig.add_device("ledger");
  const auto turns = [&] {
    return rig.call("GET", "/v1/devices/ledger").json().at("tunnel_key_turns").as_bool();
  };
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/release").status, 409u);
  EXPECT_FALSE(turns()) << "it wasn't isolated";
  rig.add(kinds::DeviceIsolated{DeviceId("ledger"), "test"});
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/release").status, 200u);
  EXPECT_TRUE(turns());
  rig.add(kinds::DeviceIsolated{DeviceId("ledger"), "test"});
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/release").status, 200u) << "one that was asked already";
}

}  // namespace api_rotate_test
}  // namespace cordon::controller
