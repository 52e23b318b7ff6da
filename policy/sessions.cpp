#include "policy/sessions.h"

namespace cordon::policy {

void Sessions::put(Session session) {
  close(session.id);
  on_device_.try_emplace({session.device, session.id});
  of_user_.try_emplace({session.user, session.id});
  ends_.try_emplace({session.ends_at, session.id});
  const SessionId id = session.id;
  by_id_.emplace(id, std::move(session));
}

bool Sessions::close(const SessionId& id) {
  const std::shared_ptr<const Session> session = by_id_.share(id);  // `id` may be of what goes
  if (session == nullptr) return false;
  on_device_.erase({session->device, session->id});
  of_user_.erase({session->user, session->id});
  ends_.erase({session->ends_at, session->id});
  by_id_.erase(session->id);
  return true;
}

std::vector<SessionId> Sessions::over(Timestamp at) const {
  std::vector<SessionId> out;
  for (const auto& [end, none] : ends_) {
    if (end.first > at) break;
    out.push_back(end.second);
  }
  return out;
}

}  // namespace cordon::policy
