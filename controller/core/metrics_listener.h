#pragma once
// Metrics for Prometheus: GET /metrics over plain HTTP, for an address that only the monitoring reaches.

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>

#include "base/address.h"
#include "base/result.h"
#include "controller/core/metrics.h"

namespace cordon::controller {

class MetricsListener {
 public:
  virtual ~MetricsListener() = default;
  virtual std::uint16_t port() const = 0;
  virtual void stop() = 0;  ///< on `executor`
};

/// Serves on `executor`, a strand; `metrics` outlives it.
Result<std::unique_ptr<MetricsListener>> listen_metrics(boost::asio::any_io_executor executor,
                                                        const Endpoint& at, const Metrics& metrics);

}  // namespace cordon::controller
