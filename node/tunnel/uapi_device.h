#pragma once
// UAPI over the UNIX socket of a wireguard-go. A connection serves many requests, each bounded in time; one
// that broke is opened again.

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

class UapiDevice final : public Device {
 public:
  explicit UapiDevice(std::filesystem::path socket) : socket_(std::move(socket)) {}
  ~UapiDevice() override { hang_up(); }
  UapiDevice(const UapiDevice&) = delete;
  UapiDevice& operator=(const UapiDevice&) = delete;
  Result<DeviceState> read() override;
  Result<> write(const DeviceChange& change) override;

 private:
  /// The reply; it may hold secret keys.
  Result<std::string> converse(std::string_view request);
  void hang_up();

  std::filesystem::path socket_;
  int fd_ = -1;
};

/// The pid of the process that listens there (SO_PEERCRED); 0: it lives in a pid namespace we can't see.
/// `unavailable` when nobody listens.
Result<pid_t> uapi_listener(const std::filesystem::path& socket);

}  // namespace cordon::node::wireguard
