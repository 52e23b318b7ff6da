#include "controller/distribution/fact_intake.h"

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/places.h"
#include "policy/trust.h"

namespace cordon::controller {

namespace {

BootNs in_ns(Seconds duration) {
  return static_cast<BootNs>(duration.count()) * 1'000'000'000;
}

/// The device that is there and active; null otherwise.
const policy::Device* active(const policy::World& world, const DeviceId& device) {
  const auto found = world.devices.find(device);
  const bool there = found != world.devices.end() && found->second.is_node();
  return there ? &found->second : nullptr;
}

bool same(const policy::Device& device, const kinds::DeviceFacts& facts) {
  return device.checks == facts.checks && device.attestation == facts.attestation &&
         device.source == facts.source && device.country == facts.country;
}

}  // namespace

/// What an earlier process recorded counts as told now: its devices have their time to tell it again.
FactIntake::FactIntake(ChangeLog& log, const Clock& clock, RateLimitSpec records, const Places* places)
    : log_(log), clock_(clock), records_(records), places_(places) {
  for (const auto& [id, device] : log_.world().devices) {
    if (device.is_node() && (device.checks || device.source)) known(device);
  }
}

FactIntake::Known& FactIntake::known(const policy::Device& device) {
  const auto [entry, fresh] = known_.try_emplace(device.id);
  if (fresh) {
    const BootNs now = clock_.boot_ns();
    entry->second = {.checks = device.checks,
                     .checks_at = now,
                     .source = device.source,
                     .country = device.country,
                     .country_database = {},
                     .source_at = now};
  }
  return entry->second;
}

void FactIntake::connected(const DeviceId& device, const Address& source) {
  const policy::Device* found = active(log_.world(), device);
  if (found == nullptr) return;
  Known& known = this->known(*found);
  known.connected = known.proved = true;
  known.source = source;
  // Asked at every connection: after a restart the database may be another.
  known.country = places_ != nullptr ? places_->country_of(source) : std::nullopt;
  known.country_database = places_ != nullptr ? places_->version() : std::string();
  settle(device);
}

void FactIntake::disconnected(const DeviceId& device) {
  const auto found = known_.find(device);
  if (found == known_.end()) return;
  found->second.connected = false;
  found->second.source_at = clock_.boot_ns();
}

void FactIntake::report_facts(const DeviceId& device, std::set<std::string> passing) {
  const policy::Device* found = active(log_.world(), device);
  if (found == nullptr) return;
  Known& known = this->known(*found);
  known.checks = std::move(passing);
  known.checks_at = clock_.boot_ns();
  settle(device);
}

void FactIntake::check() {
  for (auto it = known_.begin(); it != known_.end();) {
    const DeviceId device = (it++)->first;  // settle() may forget it
    settle(device);
  }
}

kinds::DeviceFacts FactIntake::wanted(const policy::Device& device, Known& known) const {
  const BootNs now = clock_.boot_ns();
  const BootNs timeout = in_ns(log_.world().policy->health.report_timeout);
  if (known.checks && now - known.checks_at >= timeout) known.checks.reset();
  if (known.source && !known.connected && now - known.source_at >= timeout) known.source.reset();
  kinds::DeviceFacts facts{.device = device.id,
                           .checks = known.checks,
                           .attestation = device.attestation,
                           .source = known.source,
                           .country = {}};
  if (facts.source) {
    facts.country = known.country;
    facts.country_database = known.country_database;
  }
  // More than software needs proof of another kind; it isn't lost by proving less.
  if (!facts.attestation && known.proved) facts.attestation = policy::Attestation::software;
  return facts;
}

/// `[trust] hysteresis`: a device whose health rises by less than that is believed once it lasted. What gets
/// worse counts at once.
bool FactIntake::waits_for_rise(const policy::Device& device, const kinds::DeviceFacts& facts,
                                Known& known) const {
  const policy::Policy& policy = *log_.world().policy;
  policy::Device next = device;
  next.checks = facts.checks;
  const auto before = policy::health_of(policy, device), after = policy::health_of(policy, next);
  const int hysteresis = policy.trust.hysteresis_tenths;
  if (hysteresis == 0 || !before || !after || *after <= *before || *after - *before >= hysteresis) {
    known.risen_at = 0;
    return false;
  }
  if (known.risen_at == 0) known.risen_at = clock_.boot_ns();
  return clock_.boot_ns() - known.risen_at < in_ns(policy.health.report_timeout);
}

void FactIntake::settle(const DeviceId& device) {
  const policy::Device* found = active(log_.world(), device);
  const auto entry = known_.find(device);
  if (entry == known_.end() || entry->second.recording) return;
  if (found == nullptr) {
    known_.erase(entry);
    return;
  }
  kinds::DeviceFacts facts = wanted(*found, entry->second);
  if (facts.checks != found->checks && waits_for_rise(*found, facts, entry->second)) {
    facts.checks = found->checks;
  }
  if (same(*found, facts) || !records_.take(device.value, RateLimiter::Time::clock::now())) return;
  entry->second.recording = true;
  log_.propose(kinds::encode("controller", facts),
               [weak = weak_from_this(), device](const Result<Committed>& committed) {
                 const auto self = weak.lock();
                 if (!self) return;
                 const auto known = self->known_.find(device);
                 if (known != self->known_.end()) known->second.recording = false;
                 if (committed) return self->settle(device);  // what changed meanwhile
                 log::warning("controller.facts", "facts of {} aren't recorded: {}", device.value,
                              committed.error().message());
               });
}

}  // namespace cordon::controller
