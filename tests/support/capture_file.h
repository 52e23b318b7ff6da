#pragma once
// Captures for tests, byte by byte: pcap (as tcpdump writes) and pcapng (as dumpcap does).

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace cordon::test {

inline constexpr std::uint32_t kEthernetLink = 1, kRawLink = 101;

class CaptureFile {
 public:
  enum class Format { pcap, pcapng };
  explicit CaptureFile(std::uint32_t link = kRawLink, Format format = Format::pcap) : format_(format) {
    if (format == Format::pcap) {
      put32(0xa1b2c3d4), put16(2), put16(4), put32(0), put32(0), put32(262144), put32(link);
    } else {
      put32(0x0a0d0d0a), put32(28), put32(0x1a2b3c4d), put16(1), put16(0), put32(~0u), put32(~0u), put32(28);
      put32(1), put32(20), put16(link), put16(0), put32(262144), put32(20);
    }
  }

  /// `kept`: how many of its bytes the capture holds.
  CaptureFile& add(const std::vector<std::uint8_t>& packet, std::size_t kept = SIZE_MAX) {
    kept = std::min(kept, packet.size());
    if (format_ == Format::pcap) {
      put32(0), put32(0), put32(kept), put32(packet.size());
      text_.append(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(kept));
      return *this;
    }
    const std::size_t padded = (kept + 3) / 4 * 4;
    put32(6), put32(32 + padded), put32(0), put32(0), put32(0), put32(kept), put32(packet.size());
    text_.append(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(kept));
    text_.append(padded - kept, '\0');
    put32(32 + padded);
    return *this;
  }

  const std::string& text() const { return text_; }
  /// A stream of all but the last `cut` bytes, good while this lives.
  std::FILE* open(std::size_t cut = 0) const {
    return ::fmemopen(const_cast<char*>(text_.data()), text_.size() - cut, "rb");
  }

 private:
  void put16(std::size_t v) { text_.append({static_cast<char>(v & 255), static_cast<char>(v >> 8 & 255)}); }
  void put32(std::size_t v) { put16(v & 0xffff), put16(v >> 16 & 0xffff); }

  Format format_;
  std::string text_;
};

}  // namespace cordon::test
