#pragma once
// Counters and gauges by name, as Prometheus text. Safe to use from any thread.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cordon::controller {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// Adds one to cordon_controller_NAME_total{reason="REASON"}. Both are words of our own, never a peer's
  /// text.
  void count(std::string_view name, std::string_view reason = {}, std::uint64_t by = 1);
  /// Sets cordon_controller_NAME.
  void gauge(std::string_view name, double value);
  /// What count() added so far.
  std::uint64_t counted(std::string_view name, std::string_view reason = {}) const;
  /// Text exposition format 0.0.4.
  std::string text() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cordon::controller
