#pragma once
// What the engine keeps of each device and each principal: copies of what nodes are told, so that an update
// can be told apart from what was before it. Records go by number; kNone is no record.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "policy/facts.h"
#include "policy/node_state.h"

namespace cordon::policy::engine {

inline constexpr std::uint32_t kNone = UINT32_MAX;

/// Before or after the last advance.
enum class When { before, now };

/// What is told of a session, beside its principal's record.
struct SessionFacts {
  SessionId id;
  SubjectId user;
  std::string user_name;
  std::set<std::string> claims;
};

/// A session, or a device acting for itself.
struct PrincipalRecord {
  std::uint32_t device = kNone;
  std::uint32_t group = kNone;  ///< of principals; kNone: it holds nothing
  std::uint32_t place = 0;      ///< among the group's members
  bool there = false;           ///< it may hold something: nobody isolated it, its session isn't over
  bool live = false;            ///< a session that isn't over, isolated or not
  std::uint32_t uid = 0;
  OverlayAddresses addresses;
  std::array<Timestamp, kDeadlineSlots> deadlines = PrincipalValue::no_deadlines();
  Timestamp ends_at = kNever;
  Timestamp changes_at = kNever;                ///< by time alone
  std::shared_ptr<const SessionFacts> session;  ///< null: the device itself
  std::shared_ptr<const Session> in_world;      ///< as of the last time it was looked at
  std::shared_ptr<const User> user;             ///< of the session; as of then
  std::uint64_t touched = 0;                    ///< the last advance that changed it
  std::uint32_t before = kNone;                 ///< where what it was before that is kept
};

struct DeviceRecord {
  DeviceId id;
  std::shared_ptr<const Device> in_world;  ///< as of the last time it was looked at
  bool active = false;
  bool isolated = false;  ///< cut off
  OverlayAddresses addresses;
  WireguardKey wireguard_key{};
  std::optional<WireguardKey> next_wireguard_key;
  std::uint32_t group = kNone;    ///< of targets; kNone: not active
  std::uint32_t place = 0;        ///< among the group's members
  std::uint32_t gateway = kNone;  ///< that it is behind, for ever; kNone: it is a node itself
  std::uint32_t self = kNone;     ///< the principal that it is
  std::vector<std::uint32_t> sessions;
  std::vector<std::string> tags;  ///< that it is listed under
  std::uint64_t touched = 0;
  std::uint32_t before = kNone;
};

}  // namespace cordon::policy::engine
