#include "node/filter/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cordon::node {
namespace {

std::optional<LinkType> link_of(int type) {
  switch (type) {
    case DLT_EN10MB:
      return LinkType::ethernet;
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6:
      return LinkType::ip;
    default:
      return std::nullopt;
  }
}

std::string name_of(int type) {
  const char* name = pcap_datalink_val_to_name(type);
  return name != nullptr ? name : std::to_string(type);
}

}  // namespace

void Capture::Close::operator()(pcap* capture) const {
  pcap_close(capture);
}

Result<Capture> Capture::open(const std::filesystem::path& path) {
  const int opened =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe's writer isn't waited for
  std::FILE* file = opened < 0 ? nullptr : ::fdopen(opened, "rb");
  if (file == nullptr) return fail_errno(fmt::format("can't open \"{}\"", path.string()), errno);
  struct stat status{};
  if (::fstat(opened, &status) != 0 || !S_ISREG(status.st_mode)) {
    std::fclose(file);
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is no regular file", path.string()));
  }
  auto capture = read(file);
  // NOLINTNEXTLINE(clang-analyzer-unix.Stream): libpcap closes what it was given.
  if (!capture) return std::unexpected(in_context(capture.error(), fmt::format("\"{}\"", path.string())));
  return capture;
}

Result<Capture> Capture::read(std::FILE* stream) {
  char why[PCAP_ERRBUF_SIZE] = "";
  pcap_t* opened = pcap_fopen_offline(stream, why);
  if (opened == nullptr) {
    std::fclose(stream);
    return fail(ErrorCode::invalid, fmt::format("can't be read as a capture: {}", why),
                "give a pcap or pcapng file, as tcpdump -w writes it");
  }
  Capture capture(opened);
  const int type = pcap_datalink(opened);
  const auto link = link_of(type);
  if (!link)
    return fail(ErrorCode::invalid, fmt::format("a capture of link type {} can't be replayed", name_of(type)),
                "capture on one Ethernet or tunnel interface, not on \"any\"");
  capture.link_ = *link;
  return capture;
}

Result<std::optional<CapturedPacket>> Capture::next() {
  pcap_pkthdr* header = nullptr;
  const unsigned char* bytes = nullptr;
  switch (pcap_next_ex(capture_.get(), &header, &bytes)) {
    case 1:
      ++packets_;
      return CapturedPacket{.bytes = {bytes, header->caplen},
                            .wire_bytes = std::max<std::size_t>(header->len, header->caplen)};
    case PCAP_ERROR_BREAK:
      return std::nullopt;
    default:
      return fail(ErrorCode::invalid, fmt::format("the capture can be read no further than {} packets: {}",
                                                  packets_, pcap_geterr(capture_.get())));
  }
}

}  // namespace cordon::node
