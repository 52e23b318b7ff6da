#pragma once
// Netlink messages built and taken apart in memory, apart from any socket. Lengths and alignment follow
// linux/netlink.h; numbers are in the host's order, as netlink has them.

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::node::netlink {

/// One request. Attributes are appended; `rewind` takes back what came after a mark.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags);

  /// The family's own header (ifinfomsg, rtmsg, genlmsghdr, ...).
  template <class Header>
    requires std::is_trivially_copyable_v<Header>
  void put_header(const Header& header) {
    append(&header, sizeof header);
  }

  void put(std::uint16_t type, ByteView payload);
  void put_u8(std::uint16_t type, std::uint8_t value);
  void put_u16(std::uint16_t type, std::uint16_t value);
  void put_u32(std::uint16_t type, std::uint32_t value);
  void put_text(std::uint16_t type, std::string_view text);  ///< with the closing zero

  /// Opens an attribute that holds attributes; `flags` such as NLA_F_NESTED are or-ed to its type.
  std::size_t begin_nest(std::uint16_t type, std::uint16_t flags = 0);
  void end_nest(std::size_t nest);

  std::size_t mark() const { return bytes_.size(); }
  void rewind(std::size_t mark) { bytes_.resize(mark); }

  bool is_dump() const;
  /// The message as it is sent. The length is written here.
  Bytes finish(std::uint32_t sequence) const;
  /// Overwrites what was written: for messages that held a secret.
  void wipe();

 private:
  void append(const void* data, std::size_t size);
  Bytes bytes_;
};

/// A message as received; the views point into the datagram.
struct MessageView {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint32_t sequence = 0;
  ByteView payload;
};

/// All messages of a datagram; one whose length breaks is `protocol`.
Result<std::vector<MessageView>> split(ByteView datagram);

struct Attribute {
  std::uint16_t type = 0;  ///< without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  ByteView payload;
};

/// The attributes of a region in their order.
class Attributes {
 public:
  /// A length that breaks is `protocol`.
  static Result<Attributes> parse(ByteView region);

  const std::vector<Attribute>& all() const { return all_; }
  /// The last of that type, as the kernel reads it.
  std::optional<ByteView> find(std::uint16_t type) const;
  /// None when absent or not of exactly that size.
  std::optional<std::uint8_t> u8(std::uint16_t type) const { return number<std::uint8_t>(type); }
  std::optional<std::uint16_t> u16(std::uint16_t type) const { return number<std::uint16_t>(type); }
  std::optional<std::uint32_t> u32(std::uint16_t type) const { return number<std::uint32_t>(type); }
  std::optional<std::uint64_t> u64(std::uint16_t type) const { return number<std::uint64_t>(type); }
  std::string text(std::uint16_t type) const;  ///< up to the closing zero; "" when absent

 private:
  template <class T>
  std::optional<T> number(std::uint16_t type) const {
    auto payload = find(type);
    if (!payload || payload->size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, payload->data(), sizeof value);
    return value;
  }
  std::vector<Attribute> all_;
};

/// The family's header at the front of a payload, and the region of attributes behind it.
template <class Header>
Result<Header> take_header(ByteView payload, ByteView& rest) {
  constexpr std::size_t kAligned = (sizeof(Header) + 3) & ~std::size_t{3};
  if (payload.size() < sizeof(Header)) return fail(ErrorCode::protocol, "netlink message is too short");
  Header header;
  std::memcpy(&header, payload.data(), sizeof header);
  rest = payload.size() > kAligned ? payload.subspan(kAligned) : ByteView{};
  return header;
}

}  // namespace cordon::node::netlink
