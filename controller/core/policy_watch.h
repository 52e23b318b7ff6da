#pragma once
// Takes back a policy that nobody confirmed in time (I9). On the strand.

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/time_zone.h"
#include "controller/world/kinds.h"
#include "policy/world.h"

namespace cordon::controller {

class ChangeLog;

/// The rollback that is due at `now`; none while a policy may still be confirmed, or none is pending.
std::optional<kinds::PolicyRolledBack> overdue_rollback(const policy::World& world, Timestamp now);

/// What to tell when the policy in force has times of day and was applied with another version of the tz
/// database than `zones`: they may begin and end at other moments now. Empty: nothing.
std::string other_time_zones(const ChangeLog& log, const TimeZones& zones);

class PolicyWatch : public std::enable_shared_from_this<PolicyWatch> {
 public:
  PolicyWatch(ChangeLog& log, const Clock& clock, boost::asio::any_io_executor strand);
  void start();
  void stop();

 private:
  void look();
  bool is_due(Timestamp now) const;

  ChangeLog& log_;
  const Clock& clock_;
  boost::asio::steady_timer timer_;
  Revision watched_;        // the pending policy
  BootNs due_boot_ns_ = 0;  // also by the clock that nobody sets
  bool proposed_ = false;
  bool stopped_ = false;
};

}  // namespace cordon::controller
