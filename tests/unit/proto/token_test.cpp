#include <gtest/gtest.h>

#include <string>

#include "proto/join_token.h"
#include "proto/receipt.h"

namespace cordon::wire {
namespace {

JoinTokenText sample() {
  JoinTokenText out{.id = TokenId("t-0123456789abcdef"), .secret = Bytes(32, 0x5a)};
  out.ca_fingerprint.fill(0xfb);
  return out;
}
const std::string kText =
    "cordon1.t-0123456789abcdef.WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo.-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-"
    "_v7-_v7-_s";

TEST(JoinToken, GoldenText) {
  EXPECT_EQ(to_string(sample()), kText);
  for (const auto& text : {kText, kText + "\n", "  " + kText + "\r\n"}) {
    const auto token = parse_join_token(text);
    ASSERT_TRUE(token) << token.error().message();
    EXPECT_EQ(token->id, sample().id);
    EXPECT_EQ(token->secret, sample().secret);
    EXPECT_EQ(token->ca_fingerprint, sample().ca_fingerprint);
  }
}

TEST(JoinToken, EveryPrefixIsRefusedAndTheSecretNeverTold) {
  for (std::size_t size = 0; size < kText.size(); ++size) {
    const auto token = parse_join_token(kText.substr(0, size));
    ASSERT_FALSE(token) << size;
    EXPECT_EQ(token.error().code, ErrorCode::invalid);
    EXPECT_EQ(token.error().message().find("Wlpa"), std::string::npos);
  }
}

TEST(JoinToken, EveryPartIsNamed) {
  const auto expect = [](std::string text, std::string_view old_part, std::string_view new_part,
                         std::string_view word) {
    text.replace(text.find(old_part), old_part.size(), new_part);
    const auto token = parse_join_token(text);
    ASSERT_FALSE(token) << text;
    EXPECT_NE(token.error().what.find(word), std::string::npos) << token.error().what;
    EXPECT_FALSE(token.error().hint.empty());
  };
  expect(kText, "cordon1", "cordon2", "begin");
  expect(kText, "t-0123456789abcdef", "a-0123456789abcdef", "id");
  expect(kText, "t-0123456789abcdef", "t-", "id");
  expect(kText, "t-0123456789abcdef", "t-../x", "parts");
  expect(kText, "WlpaWlpa", "Wlpa", "secret");
  expect(kText, "WlpaWlpa", "Wlp+Wlpa", "secret");
  expect(kText, "-_v7-_v7", "-_v7", "fingerprint");
  expect(kText, "-_s", "-_s=", "fingerprint");
  EXPECT_FALSE(parse_join_token(""));
  EXPECT_FALSE(parse_join_token(kText + ".x"));
  EXPECT_FALSE(parse_join_token(std::string(100'000, '.')));
}

TEST(SignedText, GoldenBytes) {
  ReceiptFields fields{.device = DeviceId("web"), .revision = Revision(0x0102), .at = from_us(3)};
  fields.head_hash.fill(0xaa);
  fields.digest.fill(0xbb);
  const std::string aa(64, 'a'), bb(64, 'b');
  EXPECT_EQ(to_hex(receipt_text(fields)), to_hex(as_bytes("cordon receipt 1")) +
                                              "00"
                                              "776562"
                                              "00"
                                              "0000000000000102" +
                                              aa + bb + "0000000000000003");
  EXPECT_EQ(to_hex(head_text(Revision(7), fields.head_hash)), to_hex(as_bytes("cordon head 1")) +
                                                                  "00"
                                                                  "0000000000000007" +
                                                                  aa);
  EXPECT_EQ(to_hex(controllers_text(from_us(3), {cordon::Endpoint::parse("192.0.2.1:7443").value(),
                                                 cordon::Endpoint::parse("[2001:db8::1]:7443").value()})),
            to_hex(as_bytes("cordon controllers 1")) +
                "00"
                "0000000000000003"
                "00000000000000000000ffffc0000201"
                "1d13"
                "20010db8000000000000000000000001"
                "1d13");
  EXPECT_EQ(to_hex(enrol_poll_text(DeviceId("web"), from_us(3))), to_hex(as_bytes("cordon enrol poll")) +
                                                                      "00"
                                                                      "776562"
                                                                      "00"
                                                                      "0000000000000003");
}

}  // namespace
}  // namespace cordon::wire
