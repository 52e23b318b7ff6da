// The agent's hold on what is around the overlay: the underlay guard, isolation, and sockets whose flows
// ended.

#include "base/log.h"
#include "node/agent/agent.h"
#include "node/agent/cut_sockets.h"

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
  if (states_.cuts() != std::exchange(cuts_, states_.cuts())) end_cut_sockets_soon();
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

void Agent::end_cut_sockets_soon() {
  if (std::exchange(sockets_due_, true)) return;
  sockets_.expires_after(std::chrono::seconds(0));
  sockets_.async_wait([this](boost::system::error_code ec) {
    if (ec) return;
    sockets_due_ = false;
    end_cut_sockets();
  });
}

void Agent::end_cut_sockets() {
  if (!time_.known()) return;
  const Timestamp now = time_.base().to_utc(parts_.clock.boot_ns());
  const auto sockets = parts_.network.connected_sockets();
  if (!sockets) return log::warning(kGuardArea, "{}", sockets.error().message());
  const auto ended =
      parts_.network.destroy(cut_sockets(*sockets, states_.state(), now, parts_.config.controllers));
  if (!ended) log::warning(kGuardArea, "{}", ended.error().message());
}

}  // namespace cordon::node
