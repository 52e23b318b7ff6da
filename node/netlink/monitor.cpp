#include "node/netlink/monitor.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace cordon::node::netlink {

Result<Monitor> Monitor::open() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return fail_errno("can't open a netlink socket", errno);
  Monitor monitor(fd);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  constexpr std::uint32_t kIpv6Rule = 1u << (RTNLGRP_IPV6_RULE - 1);  // the only one without a name
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                      RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | kIpv6Rule;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("can't watch links, addresses, rules and routes", errno);
  }
  return monitor;
}

Monitor::Monitor(Monitor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Monitor::~Monitor() {
  if (fd_ >= 0) close(fd_);
}

namespace {

/// One datagram is one message; its beginning says which link it is about.
void take_told(std::span<const char> datagram, NetworkChanges& changes) {
  changes.any = true;
  nlmsghdr header{};
  ifinfomsg link{};
  if (datagram.size() < NLMSG_HDRLEN) return;
  std::memcpy(&header, datagram.data(), sizeof header);
  if (header.nlmsg_type != RTM_NEWLINK && header.nlmsg_type != RTM_DELLINK) return;
  changes.links = true;
  if (header.nlmsg_type != RTM_NEWLINK || datagram.size() < NLMSG_HDRLEN + sizeof link) return;
  std::memcpy(&link, datagram.data() + NLMSG_HDRLEN, sizeof link);
  changes.links_here.push_back(static_cast<unsigned>(link.ifi_index));
}

}  // namespace

NetworkChanges Monitor::drain() {
  NetworkChanges changes;
  std::array<char, 512> begin;  // the rest of a datagram is dropped by the kernel
  while (true) {
    const ssize_t got = recv(fd_, begin.data(), begin.size(), 0);
    if (got >= 0) {
      take_told({begin.data(), static_cast<std::size_t>(got)}, changes);
    } else if (errno == ENOBUFS) {
      changes.any = changes.links = true;
    } else if (errno != EINTR) {
      return changes;
    }
  }
}

}  // namespace cordon::node::netlink
