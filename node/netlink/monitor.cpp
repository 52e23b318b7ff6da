#include "node/netlink/monitor.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace cordon::node::netlink {

Result<Monitor> Monitor::open() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return fail_errno("can't open a netlink socket", errno);
  Monitor monitor(fd);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("can't watch links, addresses and routes", errno);
  }
  return monitor;
}

Monitor::Monitor(Monitor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Monitor::~Monitor() {
  if (fd_ >= 0) close(fd_);
}

bool Monitor::drain() {
  bool changed = false;
  std::array<char, 512> scrap;  // the rest of a datagram is dropped by the kernel
  while (true) {
    const ssize_t got = recv(fd_, scrap.data(), scrap.size(), 0);
    if (got >= 0 || errno == ENOBUFS) {
      changed = true;
    } else if (errno != EINTR) {
      return changed;
    }
  }
}

}  // namespace cordon::node::netlink
