#pragma once
// Tells that links, addresses, rules or routes of this host changed. What changed is read back, not taken
// from events: an overflow then costs nothing but a read.

#include "base/result.h"
#include "node/netlink/network.h"

namespace cordon::node::netlink {

class Monitor {
 public:
  static Result<Monitor> open();
  Monitor(Monitor&& other) noexcept;
  Monitor& operator=(Monitor&&) = delete;
  ~Monitor();

  int fd() const { return fd_; }
  /// Empties the socket without waiting.
  NetworkChanges drain();

 private:
  explicit Monitor(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace cordon::node::netlink
