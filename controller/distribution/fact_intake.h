#pragma once
// What is known of devices by their connections and by what their nodes report, on its way into the log. A
// fact is recorded when it changes, one record of a device at a time. On the strand.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/rate_limit.h"
#include "controller/world/kinds.h"
#include "policy/world.h"

namespace cordon::controller {

class ChangeLog;
class Places;

class FactIntake : public std::enable_shared_from_this<FactIntake> {
 public:
  /// `places`: where countries are asked; null: no country is known.
  FactIntake(ChangeLog& log, const Clock& clock, RateLimitSpec records, const Places* places = nullptr);

  /// The device proved its key from `source` (P12); what it proves by that is software attestation.
  void connected(const DeviceId& device, const Address& source);
  void disconnected(const DeviceId& device);
  /// The checks that pass now, as the device's node says.
  void report_facts(const DeviceId& device, std::set<std::string> passing);
  /// Every now and then: what has not been told for the policy's report_timeout is missing from then on, the
  /// source of a device that is away too; and records that had to wait.
  void check();
  /// The device is gone for good.
  void forget(const DeviceId& device) { known_.erase(device); }

 private:
  struct Known {
    std::optional<std::set<std::string>> checks;
    BootNs checks_at = 0;
    std::optional<Address> source;
    std::optional<std::string> country;  ///< of `source`
    std::string country_database;        ///< that was asked for it; empty: none, since this process started
    BootNs source_at = 0;                ///< while it is away: when it was seen last
    bool connected = false;
    bool proved = false;  ///< its key, since this process started
    BootNs risen_at = 0;  ///< since when its health is better than what is recorded; 0: it isn't
    bool recording = false;
  };
  Known& known(const policy::Device& device);
  kinds::DeviceFacts wanted(const policy::Device& device, Known& known) const;
  bool waits_for_rise(const policy::Device& device, const kinds::DeviceFacts& facts, Known& known) const;
  void settle(const DeviceId& device);

  ChangeLog& log_;
  const Clock& clock_;
  RateLimiter records_;
  const Places* const places_;
  std::map<DeviceId, Known> known_;
};

}  // namespace cordon::controller
