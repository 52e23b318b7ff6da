#pragma once
// The REST interface for operators and programs, over HTTPS and over a UNIX socket that only root may use.

#include <cstdint>
#include <memory>

#include "base/result.h"

namespace cordon::controller {

struct Services;

class Api {
 public:
  virtual ~Api() = default;
  virtual std::uint16_t https_port() const = 0;  ///< where it listens, also when the config says port 0
  /// New connections get the certificate that the authority has now. On the strand.
  virtual Result<> reload_certificate() = 0;
  /// Takes no more connections and closes those there are. On the strand; the sooner of this and the
  /// destructor.
  virtual void stop() = 0;
};

/// Listens at config.listen_api and config.admin_socket() (0600). On the strand; `services` outlives the API
/// and every handler queued on its executors.
Result<std::unique_ptr<Api>> start_api(Services& services);

}  // namespace cordon::controller
