// The tunnel's MTU follows every route that it uses.

#include "node/agent/mtu.h"

#include <gtest/gtest.h>

#include "tests/unit/node/agent_fakes.h"

namespace cordon::node {
namespace overlay_mtu_test {

Address at(std::uint32_t number) {
  return Address::from_v4(0xc6120000u + number);
}

/// Routes by their destination.
class RoutedNetwork : public test::FakeNetwork {
 public:
  using FakeNetwork::FakeNetwork;
  Result<std::uint32_t> route_mtu(const Address& to) const override {
    ++asked;
    const auto it = mtus.find(to);
    if (it == mtus.end()) return fail(ErrorCode::io, "no route");
    return it->second;
  }
  std::map<Address, std::uint32_t> mtus;
  mutable std::size_t asked = 0;
};

class OverlayMtuTest : public testing::Test {
 protected:
  std::uint32_t of(const std::map<Address, std::uint32_t>& mtus) {
    network.mtus = mtus;
    std::set<Address> reached{at(0)};  // a route that isn't known
    for (const auto& [address, value] : mtus) reached.insert(address);
    return OverlayMtu().look(network, reached);
  }
  test::Steps steps;
  RoutedNetwork network{steps};
};

TEST_F(OverlayMtuTest, IsTheLeastRoutesLess80AndAtLeast1280) {
  EXPECT_EQ(of({}), 1420u);
  EXPECT_EQ(of({{at(1), 1500}, {at(2), 1450}}), 1370u);
  EXPECT_EQ(of({{at(1), 1360}}), 1280u);
  EXPECT_EQ(of({{at(1), 1010}}), 1280u);
}

TEST_F(OverlayMtuTest, FollowsWhatChangesAndWhoGoes) {
  OverlayMtu mtu;
  network.mtus = {{at(1), 1500}, {at(2), 1400}};
  EXPECT_EQ(mtu.look(network, {at(1), at(2)}), 1320u);
  EXPECT_FALSE(mtu.wants_more());
  network.mtus[at(2)] = 1450;
  EXPECT_EQ(mtu.look(network, {at(1), at(2)}), 1370u);
  EXPECT_EQ(mtu.look(network, {at(1)}), 1420u);
}

TEST_F(OverlayMtuTest, ManyAreLookedAtInTurns) {
  OverlayMtu mtu;
  std::set<Address> reached;
  for (std::uint32_t n = 0; n < 600; ++n) {
    reached.insert(at(n));
    network.mtus[at(n)] = 1500;
  }
  network.mtus[at(599)] = 1400;
  EXPECT_EQ(mtu.look(network, reached), 1420u);
  EXPECT_EQ(network.asked, OverlayMtu::kRoutesALook);
  EXPECT_TRUE(mtu.wants_more());
  EXPECT_EQ(mtu.look(network, reached), 1420u);
  EXPECT_EQ(mtu.look(network, reached), 1320u) << "all were asked";
  EXPECT_EQ(mtu.look(network, reached), 1320u) << "and what was found stays";
  network.mtus[at(599)] = 1500;
  for (int look = 0; look < 3; ++look) mtu.look(network, reached);
  EXPECT_EQ(mtu.look(network, reached), 1420u);
  EXPECT_EQ(network.asked, 8 * OverlayMtu::kRoutesALook);
}

}  // namespace overlay_mtu_test
}  // namespace cordon::node
