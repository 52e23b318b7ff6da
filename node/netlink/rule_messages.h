#pragma once
// Routing rules by uid (fib rules of rtnetlink(7)) as values: no socket, no state.

#include <compare>
#include <cstdint>

#include "base/address.h"
#include "base/uids.h"
#include "node/netlink/message.h"
#include "node/netlink/route_messages.h"

namespace cordon::node::netlink {

enum class RuleAction : std::uint8_t { lookup, unreachable };

/// What becomes of packets that sockets of these uids send to that prefix.
struct Rule {
  RuleAction action = RuleAction::lookup;
  std::uint32_t priority = 0;  ///< lower ones are asked first
  std::uint32_t table = 0;     ///< where to look; on `unreachable` a mark only, which the kernel keeps
  UidRange uids;
  Prefix to;
  auto operator<=>(const Rule&) const = default;
};

/// Of one family (AF_INET, AF_INET6).
Message rule_dump(std::uint8_t family);
/// It must not exist; it is marked as ours (kRouteProtocol).
Message rule_add(const Rule& rule);
/// Of that protocol.
Message rule_remove(const Rule& rule, std::uint8_t protocol = kRouteProtocol);

struct RuleReply {
  std::uint8_t protocol = 0;
  bool by_uid = false;  ///< `rule` says it: a uid range and one of our actions
  Rule rule;
};
Result<RuleReply> parse_rule(ByteView payload);

}  // namespace cordon::node::netlink
