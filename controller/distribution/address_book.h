#pragma once
// Whose an overlay address is and was, and what a machine's ports are called: names for flow reports.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller {

/// Those of sessions that ended stay known; when an address is given anew, its last owner before does.
class AddressBook {
 public:
  struct Owner {
    DeviceId device;
    std::string person;  ///< subject id; "" for the device itself
    Timestamp since{};
  };
  explicit AddressBook(const policy::World& world);
  void update(const Record& record, const policy::World& world);
  /// Who had the address then; null: nobody whom we know of.
  const Owner* find(const Address& address, Timestamp at) const;

 private:
  void add(const policy::OverlayAddresses& addresses, const Owner& owner);
  std::unordered_map<Address, Owner> owners_, before_;
};

/// The segments that a device is in and the services of its ports, by the policy in force.
class TargetBook {
 public:
  struct Name {
    std::string segment;  ///< of the service; without one all of the device's segments, by commas
    std::string service;
  };
  Name find(const policy::World& world, const DeviceId& device, std::uint8_t protocol, std::uint16_t port);

 private:
  struct Entry {
    policy::PolicyPtr policy;
    std::set<std::string> tags;
    policy::DeviceState state{};
    std::vector<std::string> segments;
  };
  const std::vector<std::string>& segments_of(const policy::World& world, const policy::Device& device);
  std::unordered_map<DeviceId, Entry> entries_;
};

}  // namespace cordon::controller
