#pragma once
// settings[0], mapped into our memory: each field changes in one store, seen by the next packet.

#include <cstdint>

#include "base/result.h"
#include "base/time.h"
#include "ebpf/abi.h"

namespace cordon::node {

class SettingsMap {
 public:
  static Result<SettingsMap> map(int map_fd);
  SettingsMap(SettingsMap&& other) noexcept;
  SettingsMap& operator=(SettingsMap&&) = delete;
  ~SettingsMap();

  cordon_settings read() const;
  std::uint64_t generation() const;
  /// Of the generation that holds.
  void set_flags(std::uint32_t flags);
  /// The next generation, in one store with its flags. The lease is never longer than either state's.
  void turn(std::uint32_t flags, std::uint64_t node_lease_ns);
  void set_node_lease_ns(std::uint64_t lease);
  /// Never backwards: an old confirmation that comes late doesn't shorten what a newer one gave.
  void confirm(BootNs at);
  void raise_epoch();

 private:
  explicit SettingsMap(cordon_settings* settings) : settings_(settings) {}
  cordon_settings* settings_ = nullptr;
};

}  // namespace cordon::node
