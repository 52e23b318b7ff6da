#include "proto/codec.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include "proto/checks.h"
#include "proto/frame.h"

namespace cordon::wire {
namespace {

/// Protobuf would write to standard error by itself whenever a peer sends text that isn't UTF-8.
void ensure_quiet_protobuf() {
  static auto* const before = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(before);
}

template <class Message>
Result<Message> decode_message(std::string_view bytes) {
  ensure_quiet_protobuf();
  if (bytes.size() > kMaxFrameBytes) return refuse("the message", "is longer than a frame");
  Message out;
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return refuse("the message", "is not well-formed protobuf");
  }
  CORDON_TRY(check(out));
  return out;
}

}  // namespace

Result<ToController> decode_to_controller(std::string_view bytes) {
  return decode_message<ToController>(bytes);
}
Result<ToNode> decode_to_node(std::string_view bytes) {
  return decode_message<ToNode>(bytes);
}

std::string encode_address(const Address& address) {
  return std::string(as_text(address.raw()));
}

Result<Address> decode_address(std::string_view bytes) {
  const auto address = Address::from_bytes(as_bytes(bytes));
  if (!address) return refuse("an address", fmt::format("has {} bytes, not 4 or 16", bytes.size()));
  // One address, one encoding.
  if (address->is_v4() && bytes.size() != 4) return refuse("an address", "is IPv4 written in 16 bytes");
  return *address;
}

void encode_endpoint(const cordon::Endpoint& endpoint, Endpoint* out) {
  out->set_address(encode_address(endpoint.address));
  out->set_port(endpoint.port);
}

Result<cordon::Endpoint> decode_endpoint(const Endpoint& endpoint) {
  CORDON_ASSIGN(const Address address, decode_address(endpoint.address()));
  CORDON_TRY(check_most("an endpoint's port", endpoint.port(), 65535));
  return cordon::Endpoint{address, static_cast<std::uint16_t>(endpoint.port())};
}

}  // namespace cordon::wire
