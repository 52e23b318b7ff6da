#pragma once
// The IPv4 overlay addresses that are given and come back: the next free one going round; one that came back
// rests first. The cost of each step is that of what it gives, takes or wakes, however many are in use.

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/shared_map.h"
#include "base/time.h"

namespace cordon::policy {

class AddressPool {
 public:
  AddressPool() = default;
  /// Of an IPv4 prefix; without its first and last address.
  explicit AddressPool(const Prefix& prefix);

  /// The one that is given next at `at`; none: all are in use or rest.
  std::optional<Address> next(Timestamp at) const;
  /// Takes what next() gave. What has rested by `at` is free from now on.
  void take(const Address& address, Timestamp at);
  /// It rests until `free_at`. Nothing happens when it isn't in use.
  void give_back(const Address& address, Timestamp free_at);
  /// What has rested by `at` is free.
  void wake(Timestamp at);

  std::uint64_t capacity() const { return capacity_; }
  std::uint64_t in_use() const { return in_use_; }
  std::uint64_t resting() const { return resting_.size(); }  ///< not woken yet
  bool is_in_use(const Address& address) const;
  bool is_resting(const Address& address) const;
  /// Where the next one is looked for first: an offset in the prefix.
  std::uint32_t next_offset() const { return next_; }
  /// Those that rest, with when they are free again, in that order.
  std::vector<std::pair<Address, Timestamp>> at_rest() const;

 private:
  using Offset = std::uint32_t;  ///< 1 to capacity_; 0: none
  Address address_of(Offset offset) const;
  Offset offset_of(const Address& address) const;
  bool is_taken(Offset offset) const;
  void mark(Offset offset, bool taken);
  Offset first_free(Offset from, Offset until) const;
  void free(Offset offset);

  std::uint32_t base_ = 0;
  Offset capacity_ = 0;
  Offset next_ = 1;
  std::vector<std::uint64_t> taken_;  ///< a bit each: in use or resting; as far as there are any
  std::uint64_t in_use_ = 0;
  SharedMap<Offset, Timestamp> resting_;
  SharedMap<std::pair<Timestamp, Offset>, std::monostate> wakes_;
};

}  // namespace cordon::policy
