// The agent's hold on what is around the overlay: the underlay guard, isolation, and sockets whose flows
// ended.

#include "base/log.h"
#include "node/agent/agent.h"

namespace cordon::node {
namespace {

constexpr std::string_view kGuardArea = "node.guard";

}  // namespace

void Agent::guard_as_before() {
  if (!parts_.filter.adopted())
    if (const auto done = guard_file_.restore(parts_.filter); !done)
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
  if (contained != std::exchange(contained_, contained))
    if (const auto done = interfaces_.refresh(); !done)
      log::warning(kGuardArea, "{}", done.error().message());
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

}  // namespace cordon::node
