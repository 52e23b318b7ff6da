#include "controller/distribution/idle_watch.h"

#include <algorithm>

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/world/kinds.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMostClosing = 1024;  // the rest when these are
constexpr Seconds kBetweenChecks{5};        // each looks at every session

BootNs idle_ns(Seconds duration) {
  return static_cast<BootNs>(duration.count()) * 1'000'000'000;
}

}  // namespace

IdleWatch::IdleWatch(ChangeLog& log, const Clock& clock) : log_(log), clock_(clock) {
  for (const auto& [id, session] : log_.world().sessions) active_.emplace(id, clock_.boot_ns());
}

void IdleWatch::heard(const DeviceId& node, const SessionId& session, Seconds silent) {
  const auto& sessions = log_.world().sessions;
  const auto found = sessions.find(session);
  if (found == sessions.end() || found->second.device != node) return;
  const BootNs now = clock_.boot_ns(), ago = idle_ns(silent);
  BootNs& last = active_.try_emplace(session, now).first->second;  // if it isn't known it was opened just now
  if (ago < now) last = std::max(last, now - ago);
}

void IdleWatch::check(const std::function<bool(const DeviceId&)>& cannot_tell) {
  const BootNs now = clock_.boot_ns();
  if (checked_ != 0 && now - checked_ < idle_ns(kBetweenChecks)) return;
  checked_ = now;
  const policy::World& world = log_.world();
  const BootNs idle = idle_ns(world.policy->sessions.idle);
  std::erase_if(active_, [&](const auto& known) { return !world.sessions.contains(known.first); });
  for (const auto& [id, session] : world.sessions) {
    BootNs& last = active_.try_emplace(id, now).first->second;
    if (now - last <= idle) continue;
    if (cannot_tell(session.device)) {
      last = now;
    } else if (closing_.size() < kMostClosing && closing_.insert(id).second) {
      close(id);
    }
  }
}

void IdleWatch::close(const SessionId& session) {
  log_.propose(kinds::encode("controller", kinds::SessionClosed{.session = session, .reason = "idle"}),
               [weak = weak_from_this(), session](const Result<Committed>& committed) {
                 const auto self = weak.lock();
                 if (!self) return;
                 self->closing_.erase(session);  // where it failed, the next check tries again
                 if (committed || committed.error().code == ErrorCode::not_found) return;
                 log::warning("controller.sessions", "an idle session isn't closed: {}",
                              committed.error().message());
               });
}

}  // namespace cordon::controller
