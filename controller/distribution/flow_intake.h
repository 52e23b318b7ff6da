#pragma once
// Flow reports as they arrive: bounded, given the names of their time, handed to who keeps them. On the
// strand.

#include <map>
#include <string>

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
  FlowIntake(Flows& store, Metrics& metrics, const Clock& clock, const DistributionLimits& limits);
  /// `boot` is Hello.boot_id. A report that was taken in the same boot already, and is sent again for want of
  /// an ack, is passed over. Gives the number up to which all are kept, to be acked; 0: that comes with
  /// kept().
  std::uint64_t take(const DeviceId& node, const std::string& boot, const wire::FlowReport& report,
                     const AddressBook& book, const policy::World& world);
  /// As Flows::on_kept() tells it. False: the node has forgotten that report.
  bool kept(const FlowMark& mark);
  void forget(const DeviceId& node) { taken_.erase(node); }

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
  /// The last of a node's reports that was taken, and that is kept; both of its latest boot.
  struct Taken {
    std::string boot;
    std::uint64_t taken = 0, kept = 0;
  };
  std::map<DeviceId, Taken> taken_;
};

}  // namespace cordon::controller
