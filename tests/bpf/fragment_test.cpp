// Fragments at the overlay: the first is judged like any packet, later ones by it and behind it.

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace fragment_test {

class FragmentTest : public FamilyTest {
 protected:
  Packet request(std::size_t payload = 64) const { return udp(to_server(53), payload); }
};
CORDON_BOTH_FAMILIES(FragmentTest);

TEST_P(FragmentTest, LaterOnesPassWithTheirFirst) {
  write();
  EXPECT_EQ(in(fragment(request(), 40, 16, 7)), dropped("fragment"));
  EXPECT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  EXPECT_EQ(in(fragment(request(), 40, 16, 7)), accepted(2));
  EXPECT_EQ(in(fragment(request(), 56, 16, 7)), accepted(2));
  EXPECT_EQ(out(fragment(udp(to_server(53).reversed(), 64), 0, 40, 7)), accepted(2));
  EXPECT_EQ(out(fragment(udp(to_server(53).reversed(), 64), 40, 32, 7)), accepted(2));
}

TEST_P(FragmentTest, OtherDatagramsHooksAndEndsHaveNoPartInIt) {
  write();
  ASSERT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  EXPECT_EQ(in(fragment(request(), 40, 16, 8)), dropped("fragment"));
  EXPECT_EQ(out(fragment(request(), 40, 16, 7)), dropped("fragment"));
  Flow other = to_server(53);
  other.source = address(GetParam().other);
  EXPECT_EQ(in(fragment(udp(other, 64), 40, 16, 7)), dropped("fragment"));
}

TEST_P(FragmentTest, TheFirstHoldsTheWholeLayerFourHeader) {
  write();
  const Packet whole = tcp(to_server(5432), kSyn);
  EXPECT_EQ(in(fragment(whole, 0, 8, 7)), dropped("malformed packet"));
  EXPECT_EQ(in(fragment(whole, 0, 16, 7)), dropped("malformed packet"));
  // Options count: a header that says 40 bytes is not whole in 24.
  Packet options = tcp(to_server(5432), kSyn);
  options.resize(options.size() + 28);
  if (client().is_v4()) {
    options[3] = static_cast<std::uint8_t>(options.size());
    options[32] = 0xa0;
  } else {
    options[5] = static_cast<std::uint8_t>(options.size() - 40);
    options[52] = 0xa0;
  }
  EXPECT_EQ(in(fragment(options, 0, 24, 7)), dropped("malformed packet"));
  EXPECT_EQ(in(fragment(options, 0, 40, 7)), accepted(1));
  EXPECT_EQ(in(fragment(options, 40, 8, 7)), accepted(1));
}

TEST_P(FragmentTest, NothingMayOverlapTheFirst) {
  write();
  ASSERT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  for (std::size_t at : {8u, 16u, 24u, 32u})
    EXPECT_EQ(in(fragment(request(), at, 16, 7)), dropped("fragment")) << at;
}

TEST_P(FragmentTest, EndsThatNoReceiverTakesAreMalformed) {
  write();
  Packet odd = fragment(request(), 0, 40, 7);
  odd.pop_back();
  odd[client().is_v4() ? 3 : 5] -= 1;  // more to come, but not at a multiple of 8
  EXPECT_EQ(in(odd), dropped("malformed packet"));
  ASSERT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  Packet far = fragment(request(), 40, 32, 7);
  const std::size_t field = client().is_v4() ? 6 : 42;
  if (client().is_v4())
    far[field] = 0x1f, far[field + 1] = 0xff;
  else
    far[field] = 0xff, far[field + 1] = 0xf8;
  EXPECT_EQ(in(far), dropped("malformed packet"));  // would end behind 65,535
}

TEST_P(FragmentTest, ADroppedFirstTakesItsLaterOnesAlong) {
  write();
  ASSERT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  EXPECT_EQ(in(fragment(udp(to_server(54), 64), 0, 40, 7)), dropped("no grant"));
  EXPECT_EQ(in(fragment(request(), 40, 16, 7)), dropped("fragment"));
}

TEST_P(FragmentTest, RevocationAndDeadlineReachLaterFragments) {  // I3
  write();
  ASSERT_EQ(in(fragment(request(), 0, 40, 7)), accepted(2));
  principal(GetParam().client).class_id = ClassId(2);
  update();
  EXPECT_EQ(in(fragment(request(), 40, 16, 7)), dropped("no grant"));
  principal(GetParam().client).class_id = ClassId(1);
  principal(GetParam().client).isolated = true;
  update();
  EXPECT_EQ(in(fragment(request(), 40, 16, 7)), dropped("principal isolated"));
}

TEST_P(FragmentTest, NoFragmentIsAnError) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  const Packet error = icmp_error(server(), client(), client().is_v4() ? 3 : 1, 3, udp(to_server(53), 64));
  EXPECT_EQ(out(fragment(error, 0, 64, 7)), dropped("icmp error"));
}

TEST_P(FragmentTest, LargePingsPass) {
  write();
  Packet l4 = echo_request(client(), server(), 7);
  l4.erase(l4.begin(), l4.begin() + (client().is_v4() ? 20 : 40));
  l4.resize(64);
  const Packet whole = ip(client(), server(), client().is_v4() ? policy::kIcmp : policy::kIcmpv6, l4);
  EXPECT_EQ(in(fragment(whole, 0, 32, 9)), accepted(3));
  EXPECT_EQ(in(fragment(whole, 32, 32, 9)), accepted(3));
}

}  // namespace fragment_test
}  // namespace cordon::test
