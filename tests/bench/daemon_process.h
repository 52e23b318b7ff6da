#pragma once
// The node's daemon as a process of its own: the real agent on the real filter, with a session over TLS; only
// tunnel and network are the tests' fakes, as they would change this machine.

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "base/address.h"
#include "base/result.h"
#include "node/filter/descriptor.h"
#include "tests/unit/node/link_pki.h"

namespace cordon::bench {

/// Lives until the object goes; then it has removed what it put into the kernel.
class DaemonProcess {
 public:
  /// Forked at once, before this process has threads; it waits for `meet`. `ifindex`: its overlay interface.
  static Result<DaemonProcess> fork(const node::test::Pki& pki, unsigned ifindex);
  DaemonProcess(DaemonProcess&& other) noexcept = default;
  ~DaemonProcess();

  /// Tells it its controller.
  Result<> meet(const Endpoint& controller);

  /// It ended by itself, which is a failure.
  bool ended();

  /// CPU time it has used until now, in the kernel for itself included.
  double cpu_ms() const;
  std::uint64_t resident_bytes() const;
  /// For how long its loop was busy with one thing at most, until now; to be asked once.
  double longest_pause_ms();
  /// Kernel memory of the maps that it holds.
  std::uint64_t map_bytes() const;

 private:
  /// In memory that both processes have.
  struct Pause {
    std::atomic<std::int64_t> longest_ns = 0;
    std::atomic<bool> asked = false;
  };
  class Pulse;
  static Result<> run_agent(const node::test::Pki& pki, unsigned ifindex, node::Descriptor order,
                            Pause& pause);
  DaemonProcess(pid_t process, node::Descriptor order, Pause* pause)
      : process_(process), order_(std::move(order)), pause_(pause) {}
  pid_t process_ = -1;
  node::Descriptor order_;  ///< a pipe: the controller's port; the process ends when it is closed
  Pause* pause_;
};

}  // namespace cordon::bench
