#include "proto/frame.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

namespace cordon::wire {
namespace {

using namespace std::string_view_literals;

TEST(Frame, GoldenBytes) {
  EXPECT_EQ(frame("abc").value(),
            "\x00\x00\x00\x03"
            "abc"sv);
  EXPECT_EQ(frame(std::string(0x010203, 'x'))->substr(0, 4), "\x00\x01\x02\x03"sv);
}

TEST(Frame, LimitsHoldOnBothSides) {
  EXPECT_TRUE(frame(std::string(kMaxFrameBytes, 'x')));
  EXPECT_EQ(frame(std::string(kMaxFrameBytes + 1, 'x')).error().code, ErrorCode::exhausted);
  EXPECT_FALSE(frame(""));
  FrameReader reader;
  reader.feed(*frame(std::string(kMaxFrameBytes, 'x')));
  EXPECT_EQ(reader.next().value()->size(), kMaxFrameBytes);
  for (const auto header : {"\x00\x00\x00\x00"sv, "\x00\x40\x00\x01"sv, "\xff\xff\xff\xff"sv}) {
    FrameReader bad;
    bad.feed(header);
    EXPECT_EQ(bad.next().error().code, ErrorCode::protocol);
  }
}

TEST(Frame, AfterAnErrorItStaysInErrorAndKeepsNothing) {
  FrameReader reader;
  reader.feed("\x00\x00\x00\x00"sv);
  EXPECT_FALSE(reader.next());
  reader.feed(*frame("good"));
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.buffered(), 0u);
}

TEST(Frame, EveryPrefixWaitsForMore) {
  const std::string whole = *frame("message");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    FrameReader reader;
    reader.feed(std::string_view(whole).substr(0, size));
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.buffered(), size);
    reader.feed(std::string_view(whole).substr(size));
    EXPECT_EQ(reader.next().value(), "message");
    EXPECT_EQ(reader.buffered(), 0u);
  }
}

TEST(Frame, MessagesComeOutAsTheyWentInHoweverTheyAreCut) {
  EXPECT_TRUE(rc::check([](const std::vector<std::string>& messages) {
    std::string stream;
    std::vector<std::string> sent;
    for (const auto& m : messages) {
      if (m.empty()) continue;
      stream += *frame(m);
      sent.push_back(m);
    }
    FrameReader reader;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < stream.size();) {
      const auto count = *rc::gen::inRange<std::size_t>(1, 12);
      reader.feed(std::string_view(stream).substr(at, count));
      at += count;
      while (auto next = reader.next().value()) got.push_back(*std::move(next));
    }
    RC_ASSERT(got == sent);
  }));
}

}  // namespace
}  // namespace cordon::wire
