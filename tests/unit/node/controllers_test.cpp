#include "node/agent/controllers.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "node/agent/identity.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace controllers_test {

Endpoint endpoint(std::string_view text) {
  return Endpoint::parse(text).value();
}

const std::vector<Endpoint> kOfConfig{endpoint("198.51.100.1:7443"), endpoint("198.51.100.2:7443")};
const std::vector<Endpoint> kNamed{endpoint("198.51.100.1:7443"), endpoint("[2001:db8::1]:7443")};

class ControllersTest : public testing::Test {
 protected:
  void enrol(const test::Pki& pki) {
    const Keys keys = store.load_or_make_keys().value();
    const std::string csr = crypto::make_csr(keys.device, "trader").value();
    ASSERT_TRUE(store.save({.device = DeviceId{"trader"},
                            .certificate_pem = pki.device(csr, "trader"),
                            .trust_pem = pki.root_pem}));
  }
  Controllers open() const { return Controllers::open(kOfConfig, store); }
  static ControllerTrust trust(const test::Pki& pki) {
    return {.roots_pem = pki.root_pem, .domain = pki.domain};
  }

  test::TemporaryDirectory directory;
  IdentityStore store{directory.path()};
};

TEST_F(ControllersTest, BeforeAnyWordItIsTheConfigurations) {
  EXPECT_EQ(open().allowed(), kOfConfig) << "not enrolled";
  enrol(test::Pki());
  EXPECT_EQ(open().allowed(), kOfConfig);
  EXPECT_EQ(open().tried(true), kOfConfig);
  EXPECT_EQ(open().alarm(), "");
}

TEST_F(ControllersTest, WhatOneSignedTakesItsPlaceAndIsKept) {
  const test::Pki pki;
  enrol(pki);
  Controllers controllers = open();
  ASSERT_TRUE(controllers.take(pki.controllers(kNamed), kNamed[0], trust(pki), pki.now));
  for (const Controllers& each : {controllers, open()}) {
    EXPECT_EQ(each.allowed(), kNamed);
    EXPECT_EQ(each.tried(true), kNamed);
    EXPECT_EQ(each.tried(false), (std::vector<Endpoint>{kOfConfig[0], kOfConfig[1], kNamed[1]}));
    EXPECT_EQ(each.alarm(), "");
  }
  controllers.forget();
  EXPECT_EQ(open().allowed(), kOfConfig);
}

TEST_F(ControllersTest, TheOneItWasToldOverStaysReachable) {
  const test::Pki pki;
  enrol(pki);
  Controllers controllers = open();
  ASSERT_TRUE(controllers.take(pki.controllers(kNamed), kOfConfig[1], trust(pki), pki.now));
  for (const Controllers& each : {controllers, open()}) {
    EXPECT_EQ(each.allowed(), (std::vector<Endpoint>{kNamed[0], kNamed[1], kOfConfig[1]}));
    EXPECT_NE(each.alarm().find("198.51.100.2:7443"), std::string::npos);
  }
  ASSERT_TRUE(controllers.take(pki.controllers(kNamed), kNamed[1], trust(pki), pki.now));
  EXPECT_EQ(open().allowed(), kNamed);
}

TEST_F(ControllersTest, OnlyAControllerInForceIsBelieved) {
  const test::Pki pki, stranger;
  enrol(pki);
  Controllers controllers = open();
  const auto refused = [&](const wire::Controllers& told, const ControllerTrust& whom, Timestamp now) {
    const auto taken = controllers.take(told, kNamed[0], whom, now);
    EXPECT_EQ(controllers.allowed(), kOfConfig);
    return !taken;
  };
  EXPECT_TRUE(refused(stranger.controllers(kNamed), trust(pki), pki.now));
  EXPECT_TRUE(
      refused(pki.controllers(kNamed), {.roots_pem = pki.root_pem, .domain = "other.example"}, pki.now));
  EXPECT_TRUE(refused(pki.controllers(kNamed), trust(pki), pki.now + std::chrono::hours(200))) << "expired";
  auto changed = pki.controllers(kNamed);
  changed.mutable_endpoints(1)->set_port(7444);
  EXPECT_TRUE(refused(changed, trust(pki), pki.now));
  changed = pki.controllers(kNamed);
  changed.set_at_us(changed.at_us() - 1);
  EXPECT_TRUE(refused(changed, trust(pki), pki.now));
  // A device's certificate leads to the same root.
  const Keys keys = store.load_keys().value();
  changed = pki.controllers(kNamed);
  changed.set_signer_pem(store.load().value()->certificate_pem);
  const Bytes signature = keys.device.sign(wire::controllers_text(from_us(changed.at_us()), kNamed));
  changed.set_signature(signature.data(), signature.size());
  EXPECT_TRUE(refused(changed, trust(pki), pki.now));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "controllers.bin"));
}

TEST_F(ControllersTest, WhatWasInForceThenHoldsAfterALongTimeOff) {
  const test::Pki pki(system_clock().now() - std::chrono::hours(500));  // its certificates ended since
  enrol(pki);
  Controllers controllers = open();
  ASSERT_TRUE(controllers.take(pki.controllers(kNamed), kNamed[0], trust(pki), pki.now));
  EXPECT_EQ(open().allowed(), kNamed);
}

TEST_F(ControllersTest, AFileThatCannotBeBelievedCountsForNothing) {
  const test::Pki pki;
  enrol(pki);
  Controllers controllers = open();
  ASSERT_TRUE(controllers.take(pki.controllers(kNamed), kNamed[0], trust(pki), pki.now));
  const auto file = directory.path() / "controllers.bin";
  const std::string whole = read_file(file).value();
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, whole.size() / 2, whole.size() - 1}) {
    ASSERT_TRUE(write_file(file, whole.substr(0, length), 0600));
    EXPECT_EQ(open().allowed(), kOfConfig) << length;
  }
  std::string other = whole;
  const auto at = other.find(std::string("\x20\x01\x0d\xb8", 4));
  ASSERT_NE(at, std::string::npos);
  other[at + 4] = 1;
  ASSERT_TRUE(write_file(file, other, 0600));
  EXPECT_EQ(open().allowed(), kOfConfig) << "another address than was signed";
  ASSERT_TRUE(write_file(file, whole, 0600));
  EXPECT_EQ(open().allowed(), kNamed);
  enrol(test::Pki());
  EXPECT_EQ(open().allowed(), kOfConfig) << "signed for another installation";
}

}  // namespace controllers_test
}  // namespace cordon::node
