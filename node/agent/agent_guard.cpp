// The agent's hold on what is around the overlay: the underlay guard, isolation, and sockets whose flows
// ended.

#include "base/log.h"
#include "node/agent/agent.h"
#include "node/agent/people.h"

namespace cordon::node {
namespace {

constexpr std::string_view kGuardArea = "node.guard";

}  // namespace

void Agent::guard_as_before() {
  if (!parts_.filter.adopted())
    if (const auto done = guard_file_.restore(parts_.filter, parts_.network, parts_.config.interface); !done)
      log::error(kGuardArea, "the underlay is not guarded yet: {}", done.error().message());
  contained_ = parts_.filter.contained();
}

void Agent::keep_guard() {
  if (!states_.holds()) return;
  const auto kept = guard_file_.keep(states_.revision(), states_.state(), applier_.ends());
  guard_alarm_ =
      kept ? "" : "a boot would not find the underlay guarded as it is now: " + kept.error().message();
}

void Agent::settle() {
  const bool contained = parts_.filter.contained();
  if (contained != std::exchange(contained_, contained)) {
    session_.set_controllers(controllers_.tried(contained));
    if (const auto done = interfaces_.refresh(); !done)
      log::warning(kGuardArea, "{}", done.error().message());
  }
  if (states_.cuts() != std::exchange(cuts_, states_.cuts())) sockets_.cut();
}

void Agent::follow_isolation() {
  std::string alarm;
  if (parts_.filter.contained()) {
    if (const auto told = applier_.follow_peers(); !told)
      alarm = "this isolated host may not reach all its peers: " + told.error().message();
    keep_guard();
  }
  if (!alarm.empty() && alarm != peers_alarm_) log::warning(kGuardArea, "{}", alarm);
  peers_alarm_ = std::move(alarm);
}

void Agent::follow_gateways() {
  if (tunnel_is_bare_) return;  // what is to come looks by itself
  const auto followed = states_.busy() ? applier_.follow_own_places() : applier_.follow_gateways();
  gateways_alarm_ = followed ? "" : "gateway: " + followed.error().message();
  forwarding_alarms_ = forwarding_problems(parts_.config.gateway_subnets, parts_.config.interface);
}

void Agent::keep_network() {
  if (tunnel_is_bare_) return;  // it is set up as a whole
  network_waits_ = states_.busy();
  if (network_waits_) return follow_gateways();  // the host's own places can't wait
  const auto found = applier_.keep_network();
  network_alarm_ = found ? "" : "network: can't look after addresses and routes: " + found.error().message();
  if (!found) return;
  const auto fresh = network_alarms_.found(*found, parts_.clock.boot_ns());
  for (const std::string& line : fresh) log::error(kGuardArea, "network: {}", line);
  if (!fresh.empty()) session_.beat();  // told at once
}

void Agent::follow_people() {
  if (!parts_.config.people_of_machine || !states_.holds()) return;
  auto people = people_watch_.look(people_);
  Result<> done = people ? Result<>{} : Result<>(std::unexpected(people.error()));
  if (people && *people) {
    // Whoever is a person now loses the device's way before anything else happens to him.
    done = parts_.filter.set_people(**people, states_.state());
    if (done) done = applier_.set_people(**people);
    if (done) {
      people_ = std::move(**people);
      log::info(kGuardArea, "people are the uids {} now", in_words(people_));
    }
  }
  if (done) people_watch_.taken();
  const std::string alarm = done ? "" : "whose uids are people's: " + done.error().message();
  if (!done && alarm != people_alarm_) log::error(kGuardArea, "{}", alarm);
  people_alarm_ = alarm;
}

}  // namespace cordon::node
