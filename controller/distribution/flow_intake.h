#pragma once
// Flow reports as they arrive: bounded, given the names of their time, handed to who keeps them. On the
// strand.

#include <map>

#include "controller/distribution/address_book.h"
#include "controller/distribution/limits.h"
#include "controller/flows/flow_store.h"

namespace cordon::wire {
class Flow;
class FlowReport;
}  // namespace cordon::wire

namespace cordon::controller {

class Flows;
class Metrics;

class FlowIntake {
 public:
  FlowIntake(Flows& store, Metrics& metrics, const Clock& clock, const DistributionLimits& limits)
      : store_(store), metrics_(metrics), clock_(clock), by_node_(limits.flows) {}
  void take(const DeviceId& node, const wire::FlowReport& report, const AddressBook& book,
            const policy::World& world);

 private:
  FlowRecord resolve(const DeviceId& node, const wire::Flow& flow, const AddressBook& book,
                     const policy::World& world);
  const std::string& rule_name(std::uint32_t id, const policy::World& world);

  Flows& store_;
  Metrics& metrics_;
  const Clock& clock_;
  RateLimiter by_node_;
  std::map<std::uint32_t, std::string> rule_names_;
  TargetBook targets_;
};

}  // namespace cordon::controller
