#include "controller/core/policy_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "controller/core/change_log.h"

namespace cordon::controller {

namespace {
constexpr auto kLongestSleep = std::chrono::seconds(30);  // the wall clock may be set meanwhile
constexpr auto kAgain = std::chrono::seconds(1);          // after a record that couldn't be written
}  // namespace

std::optional<kinds::PolicyRolledBack> overdue_rollback(const policy::World& world, Timestamp now) {
  if (!world.pending || now < world.pending->confirm_by) return std::nullopt;
  return kinds::PolicyRolledBack{.revision = world.policy_revision, .reason = "not confirmed in time"};
}

std::string other_time_zones(const ChangeLog& log, const TimeZones& zones) {
  const policy::World& world = log.world();
  const bool has_hours = std::ranges::any_of(world.policy->rules, [](const policy::Rule& rule) {
    return rule.when.hours || (rule.unless && rule.unless->hours);
  });
  const PolicyEntry* entry = log.policies().find(world.policy_revision);
  if (!has_hours || entry == nullptr || entry->tzdata.empty() || entry->tzdata == zones.version()) return {};
  return fmt::format(
      "policy revision {} was applied with time zones of {}, here they are of {}: its hours may begin and "
      "end "
      "at other moments",
      world.policy_revision.value, entry->tzdata, zones.version());
}

PolicyWatch::PolicyWatch(ChangeLog& log, const Clock& clock, boost::asio::any_io_executor strand)
    : log_(log), clock_(clock), timer_(std::move(strand)) {}

void PolicyWatch::start() {
  log_.on_record([weak = weak_from_this()](const Record& record, const policy::World&) {
    const auto self = weak.lock();
    if (self && !self->stopped_ && record.kind.starts_with("policy ")) self->look();
  });
  look();
}

void PolicyWatch::stop() {
  stopped_ = true;
  timer_.cancel();
}

bool PolicyWatch::is_due(Timestamp now) const {
  return now >= log_.world().pending->confirm_by || clock_.boot_ns() >= due_boot_ns_;
}

void PolicyWatch::look() {
  timer_.cancel();
  const policy::World& world = log_.world();
  if (!world.pending) {
    watched_ = {};
    return;
  }
  const Timestamp now = clock_.now();
  std::chrono::microseconds left = std::max(world.pending->confirm_by - now, std::chrono::microseconds(0));
  if (watched_ != world.policy_revision) {
    watched_ = world.policy_revision;
    due_boot_ns_ = clock_.boot_ns() + static_cast<BootNs>(left.count()) * 1000;
    proposed_ = false;
  }
  if (is_due(now)) {
    left = kAgain;
    if (!std::exchange(proposed_, true)) {
      log::warning("controller.policy", "policy revision {} wasn't confirmed in time: it is rolled back",
                   watched_.value);
      const kinds::PolicyRolledBack back{.revision = watched_, .reason = "not confirmed in time"};
      log_.propose(kinds::encode("controller", back), [weak = weak_from_this()](const Result<Committed>&) {
        if (const auto self = weak.lock()) self->proposed_ = false;
      });
    }
  }
  timer_.expires_after(std::min<std::chrono::microseconds>(left, kLongestSleep));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error && !self->stopped_) self->look();
  });
}

}  // namespace cordon::controller
