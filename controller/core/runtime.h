#pragma once
// A whole controller: opens its storage, makes what is missing at the first start, listens, runs, ends
// cleanly.

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "controller/core/config.h"

namespace cordon::controller {

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::uint16_t node_port() const = 0;
  virtual std::uint16_t api_port() const = 0;
  /// Until stop() or SIGTERM or SIGINT; everything acknowledged is durable by then. Only once.
  virtual Result<> run() = 0;
  virtual void stop() = 0;  ///< from any thread
};

/// Refuses to start on a state directory that another process uses, or that belongs to another trust domain.
Result<std::unique_ptr<Runtime>> start_controller(const ControllerConfig& config);

}  // namespace cordon::controller
