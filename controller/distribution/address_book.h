#pragma once
// Whose an overlay address is and was, and what a machine's ports are called: names for flow reports.

#include <functional>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller {

/// A flow report that is later than this isn't believed to be of its time.
inline constexpr Seconds kLatestReport{24 * 3600};

/// Who had an address stays known for as long as a report of their time may come: kLatestReport after the
/// session's end (after the next owner's begin, if that is sooner).
class AddressBook {
 public:
  /// Past so many owners those that would be forgotten next go at once: people of then are told by the log.
  static constexpr std::size_t kMostOwners = 1'000'000;
  struct Owner {
    DeviceId device;
    std::string person;  ///< subject id; "" for the device itself
    Timestamp since{};
  };
  explicit AddressBook(const policy::World& world, std::size_t most = kMostOwners);
  void update(const Record& record, const policy::World& world);
  /// Who had the address then; null: nobody whom we know of.
  const Owner* find(const Address& address, Timestamp at) const;
  std::size_t size() const { return size_; }

 private:
  struct Had {
    Owner owner;
    Timestamp until;  ///< at the latest
  };
  using Due = std::pair<Timestamp, Address>;
  void add(const policy::OverlayAddresses& addresses, const Owner& owner, Timestamp until);
  void forget(Timestamp now);
  void forget_next();

  std::unordered_map<Address, std::vector<Had>> owners_;            ///< in the order in which they had it
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;  ///< when there is somebody to forget
  std::size_t size_ = 0;
  std::size_t most_;
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
