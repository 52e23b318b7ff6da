#pragma once
// Network namespaces of a test's own. Needs root.

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <utility>

#include "node/netlink/network.h"

namespace cordon::node {

/// A new namespace, without link-local IPv6 addresses (their checks would come as changes at any time).
class TestNamespace {
 public:
  TestNamespace() {
    const int home = current();
    if (unshare(CLONE_NEWNET) != 0) std::abort();
    fd_ = current();
    std::ofstream("/proc/sys/net/ipv6/conf/default/addr_gen_mode") << 1;
    enter(home);
    close(home);
  }
  TestNamespace(const TestNamespace&) = delete;
  TestNamespace& operator=(const TestNamespace&) = delete;
  ~TestNamespace() { close(fd_); }

  int fd() const { return fd_; }

  /// Runs `body` inside; what it opens stays there.
  template <class Body>
  auto in(Body body) const {
    struct Home {
      int fd = current();
      ~Home() {
        enter(fd);
        close(fd);
      }
    } home;
    enter(fd_);
    return body();
  }

 private:
  static int current() { return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }
  static void enter(int fd) {
    if (setns(fd, CLONE_NEWNET) != 0) std::abort();
  }
  int fd_ = -1;
};

inline bool is_root() {
  return geteuid() == 0;
}

/// Reads changes away until none came for a while.
inline void wait_until_quiet(Network& network) {
  for (int round = 0; round < 50; ++round) {
    pollfd wait{.fd = network.monitor_fd(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, 100) == 0) return;
    network.drain();
  }
}

}  // namespace cordon::node
