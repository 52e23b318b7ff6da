#pragma once
// Recorded packets: pcap and pcapng files, read by libpcap one packet at a time.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"

struct pcap;

namespace cordon::node {

enum class LinkType { ethernet, ip };  ///< ip: a packet begins with its IP header

struct CapturedPacket {
  std::span<const std::uint8_t> bytes;  ///< as captured; good until the next one is read
  std::size_t wire_bytes = 0;           ///< as it was sent: more, when the capture kept only its beginning
};

class Capture {
 public:
  /// An error when it is no capture, or one of a link type that holds no IP packets.
  static Result<Capture> open(const std::filesystem::path& path);
  /// Takes the stream over.
  static Result<Capture> read(std::FILE* stream);

  LinkType link() const { return link_; }
  /// The next packet; none at the end; an error where the file is cut short or broken, once the packets
  /// before it were given.
  Result<std::optional<CapturedPacket>> next();

 private:
  struct Close {
    void operator()(pcap* capture) const;
  };
  explicit Capture(pcap* capture) : capture_(capture) {}

  std::unique_ptr<pcap, Close> capture_;
  LinkType link_ = LinkType::ip;
  std::size_t packets_ = 0;
};

}  // namespace cordon::node
