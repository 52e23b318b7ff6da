#include "controller/core/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <mutex>

namespace cordon::controller {

namespace {
constexpr std::string_view kPrefix = "cordon_controller_";
}

struct Metrics::Parts {
  mutable std::mutex mutex;  // guards the family maps; the values themselves are atomic
  prometheus::Registry registry;
  std::map<std::string, prometheus::Family<prometheus::Counter>*, std::less<>> counters;
  std::map<std::string, prometheus::Family<prometheus::Gauge>*, std::less<>> gauges;

  prometheus::Counter& counter(std::string_view name, std::string_view reason) {
    auto found = counters.find(name);
    if (found == counters.end()) {
      auto& family = prometheus::BuildCounter()
                         .Name(std::string(kPrefix) + std::string(name) + "_total")
                         .Help("events since the start")
                         .Register(registry);
      found = counters.emplace(std::string(name), &family).first;
    }
    prometheus::Labels labels;
    if (!reason.empty()) labels.emplace("reason", std::string(reason));
    return found->second->Add(labels);
  }
};

Metrics::Metrics() : parts_(std::make_unique<Parts>()) {}
Metrics::~Metrics() = default;

void Metrics::count(std::string_view name, std::string_view reason, std::uint64_t by) {
  const std::scoped_lock lock(parts_->mutex);
  parts_->counter(name, reason).Increment(static_cast<double>(by));
}

void Metrics::gauge(std::string_view name, double value) {
  const std::scoped_lock lock(parts_->mutex);
  auto found = parts_->gauges.find(name);
  if (found == parts_->gauges.end()) {
    auto& family = prometheus::BuildGauge()
                       .Name(std::string(kPrefix) + std::string(name))
                       .Help("as of now")
                       .Register(parts_->registry);
    found = parts_->gauges.emplace(std::string(name), &family).first;
  }
  found->second->Add({}).Set(value);
}

std::uint64_t Metrics::counted(std::string_view name, std::string_view reason) const {
  const std::scoped_lock lock(parts_->mutex);
  if (!parts_->counters.contains(name)) return 0;
  return static_cast<std::uint64_t>(parts_->counter(name, reason).Value());
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(parts_->registry.Collect());
}

}  // namespace cordon::controller
