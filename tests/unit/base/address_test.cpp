#include "base/address.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>
#include <unordered_set>

#include "base/bytes.h"

namespace cordon {
namespace {

Address address(std::string_view text) {
  auto out = Address::parse(text);
  EXPECT_TRUE(out) << text;
  return out.value_or(Address{});
}
Prefix prefix(std::string_view text) {
  auto out = Prefix::parse(text);
  EXPECT_TRUE(out) << text;
  return out.value_or(Prefix{});
}

TEST(Address, CanonicalTextOfRfc5952) {
  const std::pair<const char*, const char*> cases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // 4.2.2: one group is not shortened
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},           // 4.2.3: the longest run
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // 4.2.3: the first of two
      {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(address(in).to_string(), out) << in;
}

TEST(Address, RefusesWhatIsNone) {
  using namespace std::string_view_literals;
  for (const auto text :
       {""sv, "1.2.3"sv, "1.2.3.4.5"sv, "01.2.3.4"sv, "256.1.1.1"sv, "1.2.3.4 "sv, ":::"sv, "1:2:3:4:5:6:7"sv,
        "fe80::1%eth0"sv, "[::1]"sv, "1.2.3.4\0"sv, "::1\0x"sv, "g::"sv}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
  EXPECT_FALSE(Address::parse(std::string(10'000, '1')));
}

TEST(Address, BytesAreFourOrSixteen) {
  const Bytes four = {192, 0, 2, 1};
  EXPECT_EQ(*Address::from_bytes(four), address("192.0.2.1"));
  for (std::size_t size = 0; size < 20; ++size) {
    EXPECT_EQ(Address::from_bytes(Bytes(size)).has_value(), size == 4 || size == 16) << size;
  }
  EXPECT_EQ(Address::from_v4(0xc0000201), address("192.0.2.1"));
  EXPECT_EQ(address("192.0.2.1").v4_host_order(), 0xc0000201u);
  EXPECT_EQ(address("192.0.2.1").raw().size(), 4u);
  EXPECT_TRUE(address("0.0.0.0").is_unspecified());
  EXPECT_TRUE(address("::").is_unspecified());
  EXPECT_FALSE(address("0.0.0.1").is_unspecified());
}

TEST(Address, TextAndBytesRoundTrip) {
  EXPECT_TRUE(rc::check([](const std::array<std::uint8_t, 16>& bytes, bool v4, std::uint8_t zeros) {
    Address a{bytes};
    // Runs of zeros are what text shortens.
    for (std::size_t i = zeros % 16; i < 16 && i < zeros % 16 + 6u; ++i) a.bytes[i] = 0;
    if (v4) a = Address::from_v4(a.v4_host_order());
    RC_ASSERT(Address::parse(a.to_string()).value() == a);
    RC_ASSERT(Address::from_bytes(a.raw()).value() == a);
  }));
}

TEST(Address, Hashes) {
  const std::unordered_set<Address> set = {address("192.0.2.1"), address("::ffff:192.0.2.1"), address("::1")};
  EXPECT_EQ(set.size(), 2u);
}

TEST(Prefix, ReadsBothFamiliesInTheirOwnTerms) {
  EXPECT_EQ(prefix("192.0.2.0/24").bits, 120);
  EXPECT_EQ(prefix("192.0.2.0/24").length(), 24u);
  EXPECT_EQ(prefix("0.0.0.0/0").bits, 96);
  EXPECT_EQ(prefix("fd00::/48").length(), 48u);
  EXPECT_EQ(prefix("::/0").length(), 0u);
  EXPECT_EQ(prefix("192.0.2.1"), Prefix::host(address("192.0.2.1")));
  for (const auto* text : {"192.0.2.0/24", "0.0.0.0/0", "::/0", "fd00::/48", "fd00::1/128", "192.0.2.1/32"}) {
    EXPECT_EQ(prefix(text).to_string(), text);
  }
}

TEST(Prefix, RefusesWithTheMend) {
  const auto stray = Prefix::parse("192.0.2.1/24");
  ASSERT_FALSE(stray);
  EXPECT_NE(stray.error().hint.find("192.0.2.0/24"), std::string::npos);
  for (const auto* text :
       {"192.0.2.0/33", "fd00::/129", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/+8", "192.0.2.0/08",
        "192.0.2.0/8/8", "/8", "192.0.2.0/99999999999", "::ffff:192.0.2.0/120", "192.0.2.0/2 "}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(Prefix, ContainsAgreesWithComparingBitByBit) {
  const auto bit = [](const Address& a, unsigned i) { return a.bytes[i / 8] >> (7 - i % 8) & 1; };
  EXPECT_TRUE(rc::check([&](std::array<std::uint8_t, 16> bytes, std::uint8_t length, std::uint8_t flip) {
    const Address a{bytes};
    if (a.is_v4()) return;
    const Prefix p = Prefix::of(a, length % 129);
    Address b = a;
    b.bytes[flip / 8 % 16] ^= static_cast<std::uint8_t>(1 << flip % 8);
    bool same = true;
    for (unsigned i = 0; i < p.bits; ++i) same = same && bit(p.address, i) == bit(b, i);
    RC_ASSERT(p.contains(a));
    RC_ASSERT(p.contains(b) == same);
    for (unsigned i = p.bits; i < 128; ++i) RC_ASSERT(bit(p.address, i) == 0);
  }));
  EXPECT_TRUE(prefix("192.0.2.0/24").contains(address("192.0.2.255")));
  EXPECT_FALSE(prefix("192.0.2.0/24").contains(address("192.0.3.0")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(address("2001:db8::1")));
}

TEST(Prefix, LongerThanItsFamilyIsAHost) {
  EXPECT_EQ(Prefix::of(address("192.0.2.1"), 99), Prefix::host(address("192.0.2.1")));
  EXPECT_EQ(Prefix::of(address("fd00::1"), 999), Prefix::host(address("fd00::1")));
}

TEST(Endpoint, RoundTripsAndRefuses) {
  for (const auto* text : {"192.0.2.1:51820", "[2001:db8::1]:51820", "0.0.0.0:0", "[::]:65535"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
  for (const auto* text :
       {"192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "2001:db8::1:80", "[192.0.2.1]:80", "[]:80", ":80",
        "[::1]80", "[::1:80", "192.0.2.1:+8", "192.0.2.1:080", "host:80"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
}

}  // namespace
}  // namespace cordon
