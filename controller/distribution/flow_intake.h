#pragma once
// Flow reports as they arrive: bounded, resolved to people and devices by address, kept. On the strand.

#include <map>
#include <unordered_map>

#include "controller/distribution/limits.h"
#include "controller/flows/flow_store.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::wire {
class Flow;
class FlowReport;
}  // namespace cordon::wire

namespace cordon::controller {

class Metrics;

/// Whose an overlay address is. Those of sessions that ended stay known until the address is given anew.
class AddressBook {
 public:
  struct Owner {
    DeviceId device;
    std::string person;  ///< subject id; "" for the device itself
  };
  explicit AddressBook(const policy::World& world);
  void update(const Record& record, const policy::World& world);
  const Owner* find(const Address& address) const;

 private:
  void add(const policy::OverlayAddresses& addresses, Owner owner);
  std::unordered_map<Address, Owner> owners_;
};

class FlowIntake {
 public:
  FlowIntake(FlowStore& store, Metrics& metrics, const Clock& clock, const DistributionLimits& limits)
      : store_(store), metrics_(metrics), clock_(clock), by_node_(limits.flows) {}
  void take(const DeviceId& node, const wire::FlowReport& report, const AddressBook& book,
            const policy::World& world);

 private:
  FlowRecord resolve(const DeviceId& node, const wire::Flow& flow, const AddressBook& book);
  const std::string& rule_name(std::uint32_t id, const policy::World& world);

  FlowStore& store_;
  Metrics& metrics_;
  const Clock& clock_;
  RateLimiter by_node_;
  std::map<std::uint32_t, std::string> rule_names_;
};

}  // namespace cordon::controller
