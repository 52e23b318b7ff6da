#pragma once
// The listener for nodes and everything behind it. On the controller's strand.

#include <filesystem>
#include <memory>

#include "controller/distribution/distribution.h"
#include "controller/distribution/limits.h"

namespace cordon::controller {

struct Services;

class DistributionServer {
 public:
  virtual ~DistributionServer() = default;
  virtual Distribution& distribution() = 0;
  virtual std::uint16_t port() const = 0;  ///< where it listens, also when the config says port 0
  /// New connections get the certificate that the authority has now.
  virtual Result<> reload_certificate() = 0;
  /// Takes no more connections, says goodbye on those there are, writes what is to be kept.
  virtual void stop() = 0;
};

/// Listens at config.listen_nodes; receipts are kept in `receipts`. `services` outlives every handler queued
/// on its executors. services.identity is needed by the time that a node asks for a login.
Result<std::unique_ptr<DistributionServer>> start_distribution(Services& services,
                                                               const std::filesystem::path& receipts,
                                                               const DistributionLimits& limits = {});

}  // namespace cordon::controller
