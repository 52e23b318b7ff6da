#include "base/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

namespace cordon {
namespace {

TEST(Hex, RoundTripsAndRefuses) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0xab, 0xff}), "00abff");
  EXPECT_EQ(from_hex("00ABff").value(), (Bytes{0x00, 0xab, 0xff}));
  EXPECT_EQ(from_hex("").value(), Bytes{});
  for (const auto* text : {"0", "0g", "g0", " 00", "0x00", "00 "}) EXPECT_FALSE(from_hex(text)) << text;
}

TEST(Base64, VectorsOfRfc4648) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : cases) {
    EXPECT_EQ(to_base64(as_bytes(plain)), text);
    EXPECT_EQ(as_text(from_base64(text).value()), plain);
  }
  EXPECT_EQ(to_base64(Bytes{0xfb, 0xff, 0xfe}), "+//+");
  EXPECT_EQ(to_base64url(Bytes{0xfb, 0xff, 0xfe, 0xfb}), "-__--w");
}

TEST(Base64, OneValueHasOneText) {
  for (const auto* text : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "====", "Zm9v=", "Zm9v====", "Zm 9v",
                           "Zm9v\n", "-__-", "Zg==Zg==", "=Zg=", "Z===", "="}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
  for (const auto* text : {"Zg==", "Zh", "Z", "Zm9", "+//+", "Zm9vY=", " Zm9v"}) {
    EXPECT_FALSE(from_base64url(text)) << text;
  }
}

TEST(Base64, ErrorsNeverQuoteTheText) {
  EXPECT_EQ(from_base64("sEcReT!!").error().message().find("sEcReT"), std::string::npos);
  EXPECT_EQ(from_hex("deadbeefx!").error().message().find("dead"), std::string::npos);
}

TEST(Encodings, RoundTripAnyBytes) {
  EXPECT_TRUE(rc::check([](const Bytes& bytes) {
    RC_ASSERT(from_hex(to_hex(bytes)).value() == bytes);
    RC_ASSERT(from_base64(to_base64(bytes)).value() == bytes);
    RC_ASSERT(from_base64url(to_base64url(bytes)).value() == bytes);
  }));
}

TEST(Put, IsBigEndian) {
  Bytes out;
  put_u8(out, 0x01);
  put_u16(out, 0x0203);
  put_u32(out, 0x04050607);
  put_u64(out, 0x08090a0b0c0d0e0f);
  put_sized(out, "hi");
  EXPECT_EQ(to_hex(out), "0102030405060708090a0b0c0d0e0f000000026869");
}

TEST(Sha256, VectorOfFips180) {
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(SetDigest, IsTheSumOfItsElements) {
  SetDigest digest;
  EXPECT_EQ(digest.value(), Sha256{});
  digest.add(as_bytes("abc"));
  EXPECT_EQ(digest.value(), sha256(as_bytes("abc")));
  digest.add(as_bytes("abc"));  // twice is not once
  EXPECT_NE(digest.value(), sha256(as_bytes("abc")));
  digest.remove(as_bytes("abc"));
  digest.remove(as_bytes("abc"));
  EXPECT_EQ(digest.value(), Sha256{});
}

TEST(SetDigest, OrderDoesNotMatterAndRemovalUndoes) {
  EXPECT_TRUE(rc::check([](std::vector<Bytes> elements, const std::vector<Bytes>& passing) {
    SetDigest straight, shuffled;
    for (const auto& e : elements) straight.add(e);
    // Removing before adding is fine too: the sum is modulo 2^256.
    for (const auto& e : passing) shuffled.remove(e);
    std::ranges::reverse(elements);
    for (const auto& e : elements) shuffled.add(e);
    for (const auto& e : passing) shuffled.add(e);
    RC_ASSERT(straight == shuffled);
  }));
}

TEST(ConstantTime, Compares) {
  EXPECT_TRUE(equal_in_constant_time(as_bytes("abc"), as_bytes("abc")));
  EXPECT_FALSE(equal_in_constant_time(as_bytes("abc"), as_bytes("abd")));
  EXPECT_FALSE(equal_in_constant_time(as_bytes("abc"), as_bytes("ab")));
  EXPECT_TRUE(equal_in_constant_time({}, {}));
}

TEST(Random, HasTheLengthAskedForAndDiffers) {
  EXPECT_EQ(random_bytes(0).size(), 0u);
  EXPECT_EQ(random_bytes(33).size(), 33u);
  EXPECT_NE(random_bytes(32), random_bytes(32));
}

}  // namespace
}  // namespace cordon
