// links: cordon_replay
// Any bytes as a capture: it is refused or read to an end, and each packet is one that the kernel can be
// given, or has a reason why not.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "node/filter/capture.h"
#include "node/filter/replay_packet.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cordon::node;
  if (size == 0) return 0;
  std::FILE* stream = ::fmemopen(const_cast<std::uint8_t*>(data), size, "rb");
  if (stream == nullptr) return 0;
  auto capture = Capture::read(stream);
  if (!capture) return capture.error().what.empty() ? (std::abort(), 0) : 0;
  for (;;) {
    const auto packet = capture->next();
    if (!packet || !*packet) break;
    if ((*packet)->wire_bytes < (*packet)->bytes.size()) std::abort();
    const auto ip = ip_packet(**packet, capture->link());
    if (!ip) {
      if (ip.error().empty()) std::abort();
      continue;
    }
    if (ip->bytes.size() < 14 || ip->bytes.size() > kLongestReplayed) std::abort();
    if (ip->source.is_v4() != (ip->bytes[0] >> 4 == 4)) std::abort();
  }
  return 0;
}
