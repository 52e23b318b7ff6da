#include <gtest/gtest.h>

#include "policy/coverage.h"
#include "policy/model.h"

namespace cordon::policy {
namespace access_test {

Access one(std::string_view text) {
  const auto parsed = parse_access(text);
  EXPECT_TRUE(parsed) << text;
  return parsed && parsed->size() == 1 ? parsed->front() : Access{};
}

TEST(Access, ReadsEveryFormOfTheLanguage) {
  EXPECT_EQ(one("tcp/443"), (Access{.protocol = kTcp, .ports = {443, 443}}));
  EXPECT_EQ(one("udp/8000-8099"), (Access{.protocol = kUdp, .ports = {8000, 8099}}));
  EXPECT_EQ(one("sctp/9"), (Access{.protocol = kSctp, .ports = {9, 9}}));
  EXPECT_EQ(one("icmp/8"), (Access{.protocol = kIcmp, .ports = {8, 8}}));
  EXPECT_EQ(one("icmp/0"), (Access{.protocol = kIcmp, .ports = {0, 0}}));
  EXPECT_EQ(one("icmpv6/128"), (Access{.protocol = kIcmpv6, .ports = {128, 128}}));
  EXPECT_EQ(one("tcp"), (Access{.protocol = kTcp, .ports = {}}));
  EXPECT_EQ(one("any"), (Access{}));
}

TEST(Access, PingIsEchoRequestOfBothFamilies) {
  const auto ping = parse_access("ping");
  ASSERT_TRUE(ping);
  EXPECT_EQ(*ping, (std::vector<Access>{{.protocol = kIcmp, .ports = {8, 8}},
                                        {.protocol = kIcmpv6, .ports = {128, 128}}}));
}

TEST(Access, WritesWhatItReads) {
  for (const char* text : {"tcp/443", "udp/8000-8099", "sctp/9", "icmp/8", "icmpv6/128", "tcp", "udp", "any"})
    EXPECT_EQ(to_string(one(text)), text);
}

TEST(Access, RefusesWhatItCantReadWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "names no known protocol"},
      {"http", "names no known protocol"},
      {"TCP/80", "names no known protocol"},
      {"tcp/", "has no number"},
      {"tcp/x", "has no number"},
      {"tcp/80x", "has no number"},
      {"tcp/-1", "has no number"},
      {"tcp/80-", "has no number"},
      {"tcp/0", "out of range"},
      {"tcp/65536", "out of range"},
      {"tcp/99999999999999", "has no number"},
      {"icmp/256", "out of range"},
      {"tcp/90-80", "ends before it starts"},
      {"any/80", "names no known protocol"},
      {"ping/8", "names no known protocol"},
      {"tcp/80-90-95", "has no number"},
      {"tcp/ 80", "has no number"},
  };
  for (const auto& [text, why] : cases) {
    const auto parsed = parse_access(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid);
    EXPECT_NE(parsed.error().what.find(why), std::string::npos) << parsed.error().what;
    EXPECT_FALSE(parsed.error().hint.empty());
  }
}

TEST(Access, CoversPortsWithBothEndsIn) {
  EXPECT_TRUE(covers(one("tcp/80-90"), kTcp, 80));
  EXPECT_TRUE(covers(one("tcp/80-90"), kTcp, 90));
  EXPECT_FALSE(covers(one("tcp/80-90"), kTcp, 91));
  EXPECT_FALSE(covers(one("tcp/80-90"), kUdp, 85));
  EXPECT_TRUE(covers(one("any"), 47, 0));
}

TEST(Access, CoversAndOverlapsAccesses) {
  EXPECT_TRUE(covers(one("tcp"), one("tcp/22")));
  EXPECT_TRUE(covers(one("any"), one("tcp")));
  EXPECT_FALSE(covers(one("tcp/1-100"), one("tcp/100-101")));
  EXPECT_FALSE(covers(one("tcp"), one("any")));
  EXPECT_TRUE(overlap(one("tcp/1-100"), one("tcp/100-101")));
  EXPECT_FALSE(overlap(one("tcp/1-100"), one("tcp/101")));
  EXPECT_FALSE(overlap(one("tcp"), one("udp")));
  EXPECT_TRUE(overlap(one("udp"), one("any")));
}

}  // namespace access_test
}  // namespace cordon::policy
