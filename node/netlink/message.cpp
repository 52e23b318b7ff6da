#include "node/netlink/message.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <algorithm>

namespace cordon::node::netlink {
namespace {

constexpr std::size_t kHeader = NLMSG_HDRLEN;

template <class T>
void store(Bytes& bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

}  // namespace

Message::Message(std::uint16_t type, std::uint16_t flags) : bytes_(kHeader) {
  store(bytes_, offsetof(nlmsghdr, nlmsg_type), type);
  store(bytes_, offsetof(nlmsghdr, nlmsg_flags), flags);
}

void Message::append(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::uint8_t*>(data);
  bytes_.insert(bytes_.end(), first, first + size);
  bytes_.resize(MNL_ALIGN(bytes_.size()));
}

void Message::put(std::uint16_t type, ByteView payload) {
  const nlattr header{.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + payload.size()), .nla_type = type};
  append(&header, sizeof header);
  append(payload.data(), payload.size());
}

void Message::put_u8(std::uint16_t type, std::uint8_t value) {
  put(type, {&value, 1});
}

void Message::put_u16(std::uint16_t type, std::uint16_t value) {
  put(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

void Message::put_u32(std::uint16_t type, std::uint32_t value) {
  put(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

void Message::put_text(std::uint16_t type, std::string_view text) {
  Bytes payload(text.begin(), text.end());
  payload.push_back(0);
  put(type, payload);
}

std::size_t Message::begin_nest(std::uint16_t type, std::uint16_t flags) {
  const std::size_t nest = bytes_.size();
  put(static_cast<std::uint16_t>(type | flags), {});
  return nest;
}

void Message::end_nest(std::size_t nest) {
  store(bytes_, nest + offsetof(nlattr, nla_len), static_cast<std::uint16_t>(bytes_.size() - nest));
}

bool Message::is_dump() const {
  std::uint16_t flags;
  std::memcpy(&flags, bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), sizeof flags);
  return (flags & NLM_F_DUMP) == NLM_F_DUMP;
}

Bytes Message::finish(std::uint32_t sequence) const {
  Bytes out = bytes_;
  store(out, offsetof(nlmsghdr, nlmsg_len), static_cast<std::uint32_t>(out.size()));
  store(out, offsetof(nlmsghdr, nlmsg_seq), sequence);
  return out;
}

void Message::wipe() {
  explicit_bzero(bytes_.data(), bytes_.size());
}

Result<std::vector<MessageView>> split(ByteView datagram) {
  std::vector<MessageView> out;
  while (!datagram.empty()) {
    nlmsghdr header;
    if (datagram.size() < sizeof header) return fail(ErrorCode::protocol, "netlink message is cut off");
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_len < kHeader || header.nlmsg_len > datagram.size()) {
      return fail(ErrorCode::protocol, "netlink message has a wrong length");
    }
    out.push_back({.type = header.nlmsg_type,
                   .flags = header.nlmsg_flags,
                   .sequence = header.nlmsg_seq,
                   .payload = datagram.subspan(kHeader, header.nlmsg_len - kHeader)});
    datagram = datagram.subspan(std::min<std::size_t>(MNL_ALIGN(header.nlmsg_len), datagram.size()));
  }
  return out;
}

Result<Attributes> Attributes::parse(ByteView region) {
  Attributes out;
  while (region.size() >= NLA_HDRLEN) {
    nlattr header;
    std::memcpy(&header, region.data(), sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > region.size()) {
      return fail(ErrorCode::protocol, "netlink attribute has a wrong length");
    }
    out.all_.push_back({.type = static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                        .payload = region.subspan(NLA_HDRLEN, header.nla_len - NLA_HDRLEN)});
    region = region.subspan(std::min<std::size_t>(MNL_ALIGN(header.nla_len), region.size()));
  }
  if (!region.empty()) return fail(ErrorCode::protocol, "netlink attribute is cut off");
  return out;
}

std::optional<ByteView> Attributes::find(std::uint16_t type) const {
  for (auto it = all_.rbegin(); it != all_.rend(); ++it) {
    if (it->type == type) return it->payload;
  }
  return std::nullopt;
}

std::string Attributes::text(std::uint16_t type) const {
  const auto payload = find(type);
  if (!payload) return {};
  const auto end = std::find(payload->begin(), payload->end(), 0);
  return {payload->begin(), end};
}

}  // namespace cordon::node::netlink
