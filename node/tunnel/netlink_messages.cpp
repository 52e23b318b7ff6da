#include "node/tunnel/netlink_messages.h"

#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace cordon::node::wireguard {
namespace {

using netlink::Attributes;
using netlink::Message;

template <class T>
ByteView raw(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

void put_endpoint(Message& message, const Endpoint& endpoint) {
  const ByteView address = endpoint.address.raw();
  if (endpoint.address.is_v4()) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(endpoint.port);
    std::memcpy(&out.sin_addr, address.data(), address.size());
    message.put(WGPEER_A_ENDPOINT, raw(out));
  } else {
    sockaddr_in6 out{};
    out.sin6_family = AF_INET6;
    out.sin6_port = htons(endpoint.port);
    std::memcpy(&out.sin6_addr, address.data(), address.size());
    message.put(WGPEER_A_ENDPOINT, raw(out));
  }
}

void put_allowed_ip(Message& message, const Prefix& prefix) {
  const auto nest = message.begin_nest(0, NLA_F_NESTED);
  message.put_u16(WGALLOWEDIP_A_FAMILY, prefix.address.is_v4() ? AF_INET : AF_INET6);
  message.put(WGALLOWEDIP_A_IPADDR, prefix.address.raw());
  message.put_u8(WGALLOWEDIP_A_CIDR_MASK, static_cast<std::uint8_t>(prefix.length()));
  message.end_nest(nest);
}

/// Fills messages up to the limit and opens the next one when the current is full.
class Splitter {
 public:
  Splitter(std::uint16_t family, unsigned ifindex, std::size_t limit)
      : family_(family), ifindex_(ifindex), limit_(limit) {}

  std::vector<Message> build(const DeviceChange& change) {
    open();
    if (change.private_key) current().put(WGDEVICE_A_PRIVATE_KEY, *change.private_key);
    if (change.listen_port) current().put_u16(WGDEVICE_A_LISTEN_PORT, *change.listen_port);
    if (change.firewall_mark) current().put_u32(WGDEVICE_A_FWMARK, *change.firewall_mark);
    if (!change.peers.empty()) peers_ = current().begin_nest(WGDEVICE_A_PEERS, NLA_F_NESTED);
    for (const PeerChange& peer : change.peers) add(peer);
    if (!change.peers.empty()) current().end_nest(peers_);
    return std::move(messages_);
  }

 private:
  Message& current() { return messages_.back(); }

  void open() {
    messages_.emplace_back(family_, static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK));
    current().put_header(genlmsghdr{.cmd = WG_CMD_SET_DEVICE, .version = WG_GENL_VERSION, .reserved = 0});
    current().put_u32(WGDEVICE_A_IFINDEX, ifindex_);
  }

  void next() {
    current().end_nest(peers_);
    open();
    peers_ = current().begin_nest(WGDEVICE_A_PEERS, NLA_F_NESTED);
    fresh_ = current().mark();
  }

  bool over() { return current().mark() > limit_; }

  void add(const PeerChange& peer) {
    const std::size_t before = current().mark();
    std::size_t nest = head(peer);
    if (over() && before != fresh_) {  // it opens the next message instead
      current().rewind(before);
      next();
      nest = head(peer);
    }
    if (!peer.add_allowed_ips.empty()) {
      std::size_t ips = current().begin_nest(WGPEER_A_ALLOWEDIPS, NLA_F_NESTED);
      std::size_t written = 0;
      for (const Prefix& prefix : peer.add_allowed_ips) {
        const std::size_t mark = current().mark();
        put_allowed_ip(current(), prefix);
        if (over() && written > 0) {
          current().rewind(mark);
          current().end_nest(ips);
          current().end_nest(nest);
          next();
          nest = head({.public_key = peer.public_key, .update_only = peer.update_only});
          ips = current().begin_nest(WGPEER_A_ALLOWEDIPS, NLA_F_NESTED);
          put_allowed_ip(current(), prefix);
          written = 0;
        }
        ++written;
      }
      current().end_nest(ips);
    }
    current().end_nest(nest);
  }

  std::size_t head(const PeerChange& peer) {
    const std::size_t nest = current().begin_nest(0, NLA_F_NESTED);
    current().put(WGPEER_A_PUBLIC_KEY, peer.public_key);
    std::uint32_t flags = 0;
    if (peer.remove) flags = WGPEER_F_REMOVE_ME;
    if (peer.update_only && !peer.remove) flags = WGPEER_F_UPDATE_ONLY;
    if (flags != 0) current().put_u32(WGPEER_A_FLAGS, flags);
    if (peer.preshared_key) current().put(WGPEER_A_PRESHARED_KEY, *peer.preshared_key);
    if (peer.endpoint) put_endpoint(current(), *peer.endpoint);
    if (peer.keepalive_s) current().put_u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, *peer.keepalive_s);
    return nest;
  }

  std::uint16_t family_;
  unsigned ifindex_;
  std::size_t limit_;
  std::vector<Message> messages_;
  std::size_t peers_ = 0;
  std::size_t fresh_ = 0;  // where the first peer of a follow-up message begins
};

Result<std::optional<Endpoint>> parse_endpoint(ByteView payload) {
  std::uint16_t family = 0;
  if (payload.size() >= sizeof family) std::memcpy(&family, payload.data(), sizeof family);
  Endpoint out;
  if (family == AF_INET && payload.size() >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, payload.data(), sizeof in);
    CORDON_ASSIGN(out.address, Address::from_bytes(raw(in.sin_addr)));
    out.port = ntohs(in.sin_port);
  } else if (family == AF_INET6 && payload.size() >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, payload.data(), sizeof in);
    CORDON_ASSIGN(out.address, Address::from_bytes(raw(in.sin6_addr)));
    out.port = ntohs(in.sin6_port);
  } else {
    return fail(ErrorCode::protocol, "the kernel gave a WireGuard endpoint of an unknown form");
  }
  return out;
}

Result<Prefix> parse_allowed_ip(ByteView payload) {
  CORDON_ASSIGN(auto attributes, Attributes::parse(payload));
  const auto address = attributes.find(WGALLOWEDIP_A_IPADDR);
  const auto length = attributes.u8(WGALLOWEDIP_A_CIDR_MASK);
  if (!address || !length || *length > address->size() * 8) {
    return fail(ErrorCode::protocol, "the kernel gave a WireGuard allowed-IP of an unknown form");
  }
  CORDON_ASSIGN(auto parsed, Address::from_bytes(*address));
  return Prefix{parsed, static_cast<std::uint8_t>(128 - address->size() * 8 + *length)};
}

Result<PeerState> parse_peer(ByteView payload) {
  CORDON_ASSIGN(auto attributes, Attributes::parse(payload));
  PeerState out;
  const auto key = attributes.find(WGPEER_A_PUBLIC_KEY);
  if (!key || key->size() != out.public_key.size()) {
    return fail(ErrorCode::protocol, "the kernel gave a WireGuard peer without a key");
  }
  std::ranges::copy(*key, out.public_key.begin());
  if (const auto preshared = attributes.find(WGPEER_A_PRESHARED_KEY);
      preshared && preshared->size() == out.preshared_key.size())
    std::ranges::copy(*preshared, out.preshared_key.begin());
  if (auto endpoint = attributes.find(WGPEER_A_ENDPOINT)) {
    CORDON_ASSIGN(out.endpoint, parse_endpoint(*endpoint));
  }
  out.keepalive_s = attributes.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL).value_or(0);
  out.received_bytes = attributes.u64(WGPEER_A_RX_BYTES).value_or(0);
  out.sent_bytes = attributes.u64(WGPEER_A_TX_BYTES).value_or(0);
  // struct __kernel_timespec
  if (auto time = attributes.find(WGPEER_A_LAST_HANDSHAKE_TIME); time && time->size() == 16) {
    std::memcpy(&out.last_handshake.seconds, time->data(), 8);
    std::memcpy(&out.last_handshake.nanoseconds, time->data() + 8, 8);
  }
  if (auto ips = attributes.find(WGPEER_A_ALLOWEDIPS)) {
    CORDON_ASSIGN(auto list, Attributes::parse(*ips));
    for (const auto& item : list.all()) {
      CORDON_ASSIGN(auto prefix, parse_allowed_ip(item.payload));
      out.allowed_ips.push_back(prefix);
    }
  }
  return out;
}

}  // namespace

netlink::Message netlink_get(std::uint16_t family, unsigned ifindex) {
  Message message(family, NLM_F_REQUEST | NLM_F_DUMP);
  message.put_header(genlmsghdr{.cmd = WG_CMD_GET_DEVICE, .version = WG_GENL_VERSION, .reserved = 0});
  message.put_u32(WGDEVICE_A_IFINDEX, ifindex);
  return message;
}

std::vector<netlink::Message> netlink_set(std::uint16_t family, unsigned ifindex, const DeviceChange& change,
                                          std::size_t limit_bytes) {
  return Splitter(family, ifindex, limit_bytes).build(change);
}

Result<> merge_netlink_get(DeviceState& state, ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, netlink::take_header<genlmsghdr>(payload, rest));
  if (header.cmd != WG_CMD_GET_DEVICE) return fail(ErrorCode::protocol, "WireGuard answered something else");
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  if (auto port = attributes.u16(WGDEVICE_A_LISTEN_PORT)) state.listen_port = *port;
  if (auto mark = attributes.u32(WGDEVICE_A_FWMARK)) state.firewall_mark = *mark;
  const auto peers = attributes.find(WGDEVICE_A_PEERS);
  if (!peers) return {};
  CORDON_ASSIGN(auto list, Attributes::parse(*peers));
  for (const auto& item : list.all()) {
    CORDON_ASSIGN(auto peer, parse_peer(item.payload));
    if (!state.peers.empty() && state.peers.back().public_key == peer.public_key) {
      std::ranges::move(peer.allowed_ips, std::back_inserter(state.peers.back().allowed_ips));
    } else {
      state.peers.push_back(std::move(peer));
    }
  }
  return {};
}

}  // namespace cordon::node::wireguard
