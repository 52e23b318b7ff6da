#pragma once
// The one wireguard-go behind a userspace interface: started, found again after a restart, never two.

#include <filesystem>
#include <string>

#include "base/result.h"
#include "node/tunnel/process.h"

namespace cordon::node::wireguard {

/// Fixed in wireguard-go, and shared by all network namespaces of a machine: interface names hold the
/// instance.
inline const std::filesystem::path kUapiDirectory = "/var/run/wireguard";

struct WireguardGoConfig {
  std::string program;  ///< a path, or a name for PATH
  std::string interface;
  std::filesystem::path run_directory;  ///< its pid file is kept here
};

class WireguardGo {
 public:
  explicit WireguardGo(WireguardGoConfig config) : config_(std::move(config)) {}

  std::filesystem::path socket() const;

  /// Adopts the one that answers at the socket, else starts one and waits until it answers. One that runs but
  /// doesn't answer is ended first.
  Result<> ensure();
  /// Does it run, and does somebody listen at its socket? Cheap enough for once a second.
  bool alive();
  /// Ends it; the interface goes with it.
  Result<> stop();

 private:
  Result<bool> adopt();
  Result<> start();
  Result<> check_surroundings() const;
  void end_unresponsive();
  std::filesystem::path pid_file() const;

  WireguardGoConfig config_;
  ProcessId process_;  ///< pid 0: lives in a pid namespace that we don't see
};

}  // namespace cordon::node::wireguard
