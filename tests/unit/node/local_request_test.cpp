#include "node/local/request.h"

#include <gtest/gtest.h>

namespace cordon::node::local {
namespace local_request_test {

TEST(LocalRequest, ReadsTheVerbs) {
  const auto login = parse_request(R"({"verb":"login","user":"a@b","password":"p","totp":"123456"})");
  ASSERT_TRUE(login);
  EXPECT_EQ(std::get<Login>(*login).user, "a@b");
  EXPECT_TRUE(std::holds_alternative<Logout>(*parse_request(R"({"verb":"logout"})")));
  EXPECT_TRUE(std::holds_alternative<Status>(*parse_request(R"({"verb":"status"})")));
  const auto why = parse_request(R"({"verb":"why","target":"ledger","access":"tcp/5432"})");
  ASSERT_TRUE(why);
  EXPECT_EQ(std::get<Why>(*why).protocol, 6);
  EXPECT_EQ(std::get<Why>(*why).port, 5432);
  const auto flows = parse_request(R"({"verb":"flows","after":"abc-17","limit":5,"wait_s":20})");
  ASSERT_TRUE(flows);
  EXPECT_EQ(std::get<Flows>(*flows).after, "abc-17");
  EXPECT_EQ(std::get<Flows>(*flows).limit, 5u);
  EXPECT_EQ(std::get<Flows>(*flows).wait_s, 20u);
  EXPECT_EQ(std::get<Flows>(*parse_request(R"({"verb":"flows"})")).wait_s, 0u);
  EXPECT_TRUE(std::holds_alternative<Counters>(*parse_request(R"({"verb":"counters"})")));
}

TEST(LocalRequest, RefusesWhatIsNone) {
  for (const char* line : {"",
                           "status",
                           "[]",
                           "3",
                           "{}",
                           R"({"verb":3})",
                           R"({"verb":"reboot"})",
                           R"({"verb":"status","more":1})",
                           R"({"verb":"login","user":"a"})",
                           R"({"verb":"login","user":"a","password":["p"],"totp":"1"})",
                           R"({"verb":"why","target":"ledger","access":"tcp"})",
                           R"({"verb":"why","target":"ledger","access":"tcp/0"})",
                           R"({"verb":"why","target":"ledger","access":"tcp/65536"})",
                           R"({"verb":"why","target":"","access":"tcp/1"})",
                           R"({"verb":"why","target":"ledger","access":"tcp/5432x"})",
                           R"({"verb":"flows","wait_s":21})",
                           R"({"verb":"flows","limit":0})",
                           R"({"verb":"flows","limit":"5"})",
                           R"({"verb":"counters","node":"x"})",
                           R"({"verb":"status"} x)",
                           R"({"a":{"a":{"a":{"a":{"a":1}}}}})"}) {
    const auto request = parse_request(line);
    EXPECT_FALSE(request) << line;
    if (request) continue;
    EXPECT_EQ(request.error().code, ErrorCode::invalid) << line;
  }
  const auto huge = parse_request(R"({"verb":")" + std::string(kMaxLineBytes, 'a') + "\"}");
  EXPECT_FALSE(huge);
}

TEST(LocalRequest, NeverQuotesAPassword) {
  const auto request =
      parse_request(R"({"verb":"login","user":"a","password":"hunter2","totp":"1","hunter":"hunter2"})");
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().message().find("hunter2"), std::string::npos);
}

TEST(LocalRequest, AccessBothWays) {
  EXPECT_EQ(parse_access("icmp/8").value(), (std::pair{std::uint8_t{1}, std::uint16_t{8}}));
  EXPECT_EQ(parse_access("icmpv6/0").value(), (std::pair{std::uint8_t{58}, std::uint16_t{0}}));
  EXPECT_EQ(parse_access("sctp/9")->first, 132);
  for (const char* wrong : {"icmp", "icmp/256", "tcp/0", "tcp", "tcp/65536", "icmp/x"})
    EXPECT_FALSE(parse_access(wrong)) << wrong;
  EXPECT_EQ(access_text(6, 5432, 16), "tcp/5432");
  EXPECT_EQ(access_text(17, 0x1000, 4), "udp/4096-8191");
  EXPECT_EQ(access_text(6, 0, 0), "tcp");
  EXPECT_EQ(access_text(0, 0, 0), "any");
  EXPECT_EQ(access_text(58, 0, 0), "icmpv6");
  EXPECT_EQ(access_text(1, 8, 16), "icmp/8");
}

TEST(LocalRequest, ErrorsAreOneLineOfJson) {
  const std::string reply =
      error_reply({.code = ErrorCode::unauthorized, .what = "no \"such\"\nthing", .hint = "try"}, 250);
  EXPECT_EQ(reply.find('\n'), std::string::npos);
  EXPECT_NE(reply.find(R"("retry_after_ms":250)"), std::string::npos);
  EXPECT_NE(reply.find(R"("code":"unauthorized")"), std::string::npos);
}

}  // namespace local_request_test
}  // namespace cordon::node::local
