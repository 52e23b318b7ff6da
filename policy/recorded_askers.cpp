#include "policy/recorded_askers.h"

#include "policy/plan_side.h"

namespace cordon::policy {
namespace {

Session login(const World& world, const User& user, const DeviceId& device, Assurance assurance,
              Timestamp now) {
  Session session;
  session.user = user.id;
  session.device = device;
  session.assurance = assurance;
  session.authenticated_at = now;
  session.ends_at = now + world.policy->sessions.reauthenticate;
  return session;
}

}  // namespace

RecordedAskers::RecordedAskers(const World& world, Timestamp now) : world_(world), now_(now) {
  for (const auto& [id, session] : world.sessions) sessions_[session.user].push_back(&session);
}

const Asker& RecordedAskers::find(const ObservedFlow& flow) {
  const auto [it, fresh] = found_.try_emplace({flow.person, flow.source});
  if (fresh) it->second = make(flow);
  return it->second;
}

Asker RecordedAskers::make(const ObservedFlow& flow) {
  Asker asker = find_asker(world_, flow.source);
  if (asker.device == nullptr || flow.person.value.empty()) return asker;
  const auto user = world_.users.find(flow.person);
  if (user == world_.users.end() || user->second.disabled || user->second.name.empty()) return {};
  asker.user = &user->second;
  const std::vector<const Session*>& theirs = sessions_[flow.person];
  for (const Session* session : theirs)
    if (session->device == flow.source && now_ < session->ends_at &&
        (asker.session == nullptr || asker.session->authenticated_at < session->authenticated_at))
      asker.session = session;
  if (asker.session != nullptr) return asker;
  Session& session = would_be_[{flow.person, flow.source}];
  session = login(world_, user->second, flow.source, Assurance::aal2, now_);
  for (const Session* open : theirs) session.claims.insert(open->claims.begin(), open->claims.end());
  asker.session = &session;
  return asker;
}

Session would_be_session(const World& world, const User& user, const DeviceId& device, Assurance assurance,
                         Timestamp now) {
  Session session = login(world, user, device, assurance, now);
  for (const auto& [id, open] : world.sessions)
    if (open.user == user.id) session.claims.insert(open.claims.begin(), open.claims.end());
  return session;
}

}  // namespace cordon::policy
