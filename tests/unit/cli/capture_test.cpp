// Captures and what of them a node's programs are given; the programs themselves are asked in tests/bpf.

#include "node/filter/capture.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "node/filter/replay_packet.h"
#include "tests/support/capture_file.h"

namespace cordon::node {
namespace {

using Bytes = std::vector<std::uint8_t>;
using test::CaptureFile;

/// An IPv4 packet whose header says `told` bytes, of which `kept` are there.
Bytes ipv4(std::size_t told, std::size_t kept) {
  Bytes out{0x45,
            0,
            static_cast<std::uint8_t>(told >> 8),
            static_cast<std::uint8_t>(told),
            0,
            0,
            0,
            0,
            64,
            17,
            0,
            0,
            100,
            64,
            0,
            20,
            100,
            64,
            0,
            10};
  out.resize(kept);
  return out;
}

Bytes ipv6(std::size_t payload, std::size_t kept) {
  Bytes out{0x60, 0, 0, 0, static_cast<std::uint8_t>(payload >> 8), static_cast<std::uint8_t>(payload),
            17,   64};
  out.resize(kept);
  out[8] = out[24] = 0xfd;
  out[23] = 0x20, out[39] = 0x10;
  return out;
}

std::size_t length_in(const Bytes& packet) {
  const std::size_t at = packet[0] >> 4 == 4 ? 2 : 4;
  return static_cast<std::size_t>(packet[at]) << 8 | packet[at + 1];
}

auto given(const Bytes& bytes, std::size_t wire_bytes, LinkType link = LinkType::ip) {
  return ip_packet({.bytes = bytes, .wire_bytes = wire_bytes}, link);
}

TEST(Capture, BothFormatsAndBothLinkTypesAreRead) {
  for (const auto format : {CaptureFile::Format::pcap, CaptureFile::Format::pcapng})
    for (const auto link : {test::kRawLink, test::kEthernetLink}) {
      CaptureFile file(link, format);
      file.add(Bytes(60, 1)).add(Bytes(1000, 2), 100).add(Bytes{});
      auto capture = Capture::read(file.open());
      ASSERT_TRUE(capture) << capture.error().message();
      EXPECT_EQ(capture->link(), link == test::kRawLink ? LinkType::ip : LinkType::ethernet);
      const std::pair<std::size_t, std::size_t> sizes[] = {{60, 60}, {100, 1000}, {0, 0}};
      for (const auto& [kept, sent] : sizes) {
        const auto packet = capture->next();
        ASSERT_TRUE(packet && *packet);
        EXPECT_EQ((*packet)->bytes.size(), kept);
        EXPECT_EQ((*packet)->wire_bytes, sent);
      }
      const auto end = capture->next();
      ASSERT_TRUE(end);
      EXPECT_FALSE(*end);
    }
}

TEST(Capture, EachCutIsFoundAtItsPacket) {
  for (const auto format : {CaptureFile::Format::pcap, CaptureFile::Format::pcapng}) {
    CaptureFile file(test::kRawLink, format);
    file.add(Bytes(40, 1));
    const std::size_t one = file.text().size();
    file.add(Bytes(40, 2));
    for (std::size_t cut = 1; cut < file.text().size() - one; ++cut) {
      auto capture = Capture::read(file.open(cut));
      ASSERT_TRUE(capture);
      ASSERT_TRUE(capture->next());
      const auto second = capture->next();
      ASSERT_FALSE(second) << cut;
      EXPECT_TRUE(second.error().what.starts_with("the capture can be read no further than 1 packet"))
          << second.error().what;
    }
  }
}

TEST(ReplayPacket, AddressesAndBytesAreTheHeaders) {
  const auto v4 = given(ipv4(28, 28), 28);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->source.to_string(), "100.64.0.20");
  EXPECT_EQ(v4->destination.to_string(), "100.64.0.10");
  EXPECT_EQ(v4->bytes, ipv4(28, 28));
  const auto v6 = given(ipv6(8, 48), 48);
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->source.to_string(), "fd00::20");
  EXPECT_EQ(v6->bytes, ipv6(8, 48));
}

TEST(ReplayPacket, WhatIsMissingOrTooLongIsTakenOffTheLengthToo) {
  EXPECT_EQ(length_in(given(ipv4(1500, 96), 1500)->bytes), 96u);
  EXPECT_EQ(length_in(given(ipv6(1460, 96), 1500)->bytes), 56u);
  const auto long_one = given(ipv4(60000, 60000), 60000);
  EXPECT_EQ(long_one->bytes.size(), kLongestReplayed);
  EXPECT_EQ(length_in(long_one->bytes), kLongestReplayed);
  // Ethernet's padding is no part of the packet; a length that was wrong on the wire stays wrong.
  EXPECT_EQ(length_in(given(ipv4(28, 46), 46)->bytes), 28u);
  EXPECT_EQ(length_in(given(ipv4(1500, 96), 1499)->bytes), 1500u);
}

TEST(ReplayPacket, FragmentsKeepTheirMultiplesOfEight) {
  Bytes cut = ipv4(1500, 96), whole = ipv4(9020, 9020), last = ipv4(1499, 96);
  cut[6] = whole[6] = 0x20;
  last[7] = 0x10;
  EXPECT_EQ(length_in(given(cut, 1500)->bytes), 1500u);
  EXPECT_EQ(given(cut, 1500)->bytes.size(), 1500u);
  const Bytes shorter = given(whole, 9020)->bytes;
  EXPECT_LE(shorter.size(), kLongestReplayed);
  EXPECT_EQ(length_in(shorter), shorter.size());
  EXPECT_EQ((shorter.size() - 20) % 8, 0u);
  EXPECT_EQ(length_in(given(last, 1499)->bytes), 1499u);
  Bytes six = ipv6(1448, 96);
  six[6] = 44;
  EXPECT_EQ(length_in(given(six, 1488)->bytes), 1448u);
  EXPECT_EQ(given(six, 1488)->bytes.size(), 1488u);
}

TEST(ReplayPacket, AFlowIsOneInBothDirections) {
  const auto udp = [](std::uint8_t from, std::uint8_t to, std::uint16_t from_port, std::uint16_t to_port) {
    Bytes packet = ipv4(28, 28);
    packet[15] = from, packet[19] = to;
    packet[20] = static_cast<std::uint8_t>(from_port >> 8), packet[21] = static_cast<std::uint8_t>(from_port);
    packet[22] = static_cast<std::uint8_t>(to_port >> 8), packet[23] = static_cast<std::uint8_t>(to_port);
    return flow_hash(*given(packet, packet.size()));
  };
  const std::uint64_t flow = udp(1, 2, 40000, 53);
  EXPECT_EQ(flow, udp(2, 1, 53, 40000));
  EXPECT_NE(flow, udp(2, 1, 40000, 53));
  EXPECT_NE(flow, udp(1, 2, 40001, 53));
  EXPECT_NE(flow, udp(1, 3, 40000, 53));
}

TEST(ReplayPacket, WhatIsNoPacketSaysWhy) {
  const auto why = [](const Bytes& bytes, LinkType link = LinkType::ip) {
    const auto packet = given(bytes, bytes.size(), link);
    return packet ? std::string_view("a packet") : packet.error();
  };
  EXPECT_EQ(why({}), "malformed packet");
  EXPECT_EQ(why({0x45, 0}), "malformed packet");
  EXPECT_EQ(why(Bytes(39, 0x60)), "malformed packet");
  EXPECT_EQ(why(Bytes(60, 0x11)), "not ip");
  Bytes mapped = ipv6(8, 48);
  std::ranges::fill(mapped.begin() + 8, mapped.begin() + 18, std::uint8_t{0});
  mapped[18] = mapped[19] = 0xff;
  EXPECT_EQ(why(mapped), "malformed packet");

  Bytes frame(14);
  EXPECT_EQ(why(Bytes(13), LinkType::ethernet), "malformed packet");
  EXPECT_EQ(why(frame, LinkType::ethernet), "not ip");
  frame[12] = 0x08;
  EXPECT_EQ(why(frame, LinkType::ethernet), "malformed packet");
  const Bytes six = ipv6(8, 48);
  Bytes other_version = frame;
  other_version.insert(other_version.end(), six.begin(), six.end());
  EXPECT_EQ(why(other_version, LinkType::ethernet), "not ip");
  const Bytes four = ipv4(28, 28);
  frame.insert(frame.end(), four.begin(), four.end());
  EXPECT_EQ(why(frame, LinkType::ethernet), "a packet");
  const Bytes tags{0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6};
  frame.insert(frame.begin() + 12, tags.begin(), tags.end());
  EXPECT_EQ(why(frame, LinkType::ethernet), "a packet");
  frame.insert(frame.begin() + 12, tags.begin(), tags.begin() + 4);
  EXPECT_EQ(why(frame, LinkType::ethernet), "not ip") << "three tags are nobody's";
}

}  // namespace
}  // namespace cordon::node
