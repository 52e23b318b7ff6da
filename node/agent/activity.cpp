#include "node/agent/activity.h"

#include <algorithm>

#include "node/filter/filter.h"
#include "policy/node_state.h"
#include "proto/cordon.pb.h"
#include "proto/features.h"

namespace cordon::node {

namespace {
constexpr BootNs kSecond = 1'000'000'000;
}  // namespace

void Activity::look(const Filter& filter, const policy::NodeState& state, BootNs now) {
  std::map<Address, SessionId> sessions;
  std::set<Address> addresses;
  // Sessions are the last kind of entry.
  for (auto it = state.entries.lower_bound(policy::LocalSessionKey{}); it != state.entries.end(); ++it) {
    const auto& session = std::get<policy::LocalSessionValue>(it->second);
    for (const Address& address : {session.v4, session.v6}) {
      if (address.is_unspecified()) continue;
      sessions.emplace(address, std::get<policy::LocalSessionKey>(it->first).session);
      addresses.insert(address);
    }
  }
  if (sessions.empty()) {
    seen_.clear();
    return alarm_.clear();
  }
  if (looked_ != 0 && now - looked_ < static_cast<BootNs>(kInterval.count()) * kSecond) return;
  looked_ = now;
  std::map<SessionId, BootNs> before;
  before.swap(seen_);
  alarm_.clear();
  const auto last = filter.last_packets(addresses);
  if (!last) alarm_ = "activity of sessions is not reported: " + last.error().message();
  for (const auto& [address, session] : sessions) {
    BootNs at = 0;
    if (const auto known = before.find(session); known != before.end()) at = known->second;
    if (last)
      if (const auto found = last->find(address); found != last->end()) at = std::max(at, found->second);
    if (at != 0) seen_[session] = std::max(seen_[session], at);
  }
}

void Activity::tell(wire::Heartbeat& heartbeat, BootNs now) const {
  for (const auto& [session, at] : seen_) {
    if (static_cast<std::size_t>(heartbeat.sessions_size()) == wire::kMostToldSessions) return;
    wire::SessionActivity& told = *heartbeat.add_sessions();
    told.set_session(session.value);
    const BootNs silent = now > at ? (now - at) / kSecond : 0;
    told.set_silent_s(static_cast<std::uint32_t>(std::min<BootNs>(silent, UINT32_MAX)));
  }
}

}  // namespace cordon::node
