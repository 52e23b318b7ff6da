#pragma once
// UAPI over the UNIX socket of a wireguard-go. Each request is a connection of its own, bounded in time.

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

class UapiDevice final : public Device {
 public:
  explicit UapiDevice(std::filesystem::path socket) : socket_(std::move(socket)) {}
  Result<DeviceState> read() override;
  Result<> write(const DeviceChange& change) override;

 private:
  std::filesystem::path socket_;
};

/// The pid of the process that listens there (SO_PEERCRED); 0: it lives in a pid namespace we can't see.
/// `unavailable` when nobody listens.
Result<pid_t> uapi_listener(const std::filesystem::path& socket);

}  // namespace cordon::node::wireguard
