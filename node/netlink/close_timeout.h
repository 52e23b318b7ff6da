#pragma once
// net.mptcp.close_timeout of this network namespace: how long an MPTCP socket whose last subflow is gone
// waits for another one before who reads from it is told. sock_diag destroys the subflows and not the socket,
// so while sockets are cut it is zero.

#include <filesystem>
#include <string>

namespace cordon::node {

inline constexpr const char* kMptcpCloseTimeout = "/proc/sys/net/mptcp/close_timeout";
inline constexpr const char* kMptcpMemory = "mptcp_close_timeout";  ///< of the daemon, in its run directory

class CloseTimeout {
 public:
  /// What was found is kept in `memory` until it is put back; what a daemon left that was killed meanwhile is
  /// put back at once.
  CloseTimeout(std::filesystem::path setting, std::filesystem::path memory);
  ~CloseTimeout();
  CloseTimeout(const CloseTimeout&) = delete;
  CloseTimeout& operator=(const CloseTimeout&) = delete;

  /// Zero from now on. Nothing where the kernel has no such setting (6.1) or it is zero already; what
  /// can't be written is logged, once.
  void lower();
  /// What can't be put back stays in `memory`.
  void restore();

 private:
  bool write(const std::string& value);

  std::filesystem::path setting_, memory_;
  std::string found_;  ///< empty: it isn't lowered
  bool failed_ = false;
};

}  // namespace cordon::node
