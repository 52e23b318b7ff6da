// links: cordon_proto
// The first byte says which side reads and in what pieces the rest arrives; then frames, as a peer sends
// them.

#include <cstdint>
#include <cstdlib>

#include "proto/codec.h"
#include "proto/frame.h"

namespace {

using namespace cordon;

/// What decoded must decode again to the same: the node acts on it.
void use(const wire::ToNode& message) {
  for (const auto* list : {&message.part().entries(), &message.delta().upserts()}) {
    for (const auto& entry : *list) {
      const auto change = wire::decode_entry(entry, false);
      if (!change) continue;
      const auto again = wire::decode_entry(wire::encode_entry(change->key, &*change->value), false);
      if (!again || *again != *change) std::abort();
    }
  }
}

void read_message(std::string_view bytes, bool by_node) {
  if (by_node) {
    if (const auto message = wire::decode_to_node(bytes)) use(*message);
  } else if (const auto message = wire::decode_to_controller(bytes)) {
    if (!wire::decode_to_controller(message->SerializeAsString())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool by_node = (data[0] & 1) != 0;
  const std::size_t piece = (data[0] >> 1) + 1u;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  wire::FrameReader reader;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(stream.substr(at, piece));
    while (true) {
      const auto next = reader.next();
      if (!next) return 0;
      if (!*next) break;
      read_message(**next, by_node);
    }
  }
  return 0;
}
