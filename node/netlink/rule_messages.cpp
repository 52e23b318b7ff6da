#include "node/netlink/rule_messages.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "node/netlink/route_messages.h"

namespace cordon::node::netlink {
namespace {

Message rule_request(std::uint16_t type, std::uint16_t flags, const Rule& rule, std::uint8_t protocol) {
  Message message(type, static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags));
  fib_rule_hdr header{};
  header.family = family_of(rule.to.address);
  header.dst_len = static_cast<std::uint8_t>(rule.to.length());
  header.action = rule.action == RuleAction::lookup ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
  message.put_header(header);
  message.put_u32(FRA_PRIORITY, rule.priority);
  message.put(FRA_DST, rule.to.address.raw());
  const fib_rule_uid_range uids{.start = rule.uids.first, .end = rule.uids.last};
  message.put(FRA_UID_RANGE, {reinterpret_cast<const std::uint8_t*>(&uids), sizeof uids});
  message.put_u8(FRA_PROTOCOL, protocol);
  message.put_u32(FRA_TABLE, rule.table);
  return message;
}

}  // namespace

Message rule_dump(std::uint8_t family) {
  Message message(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
  fib_rule_hdr header{};
  header.family = family;
  message.put_header(header);
  return message;
}

Message rule_add(const Rule& rule) {
  return rule_request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule, kRouteProtocol);
}

Message rule_remove(const Rule& rule, std::uint8_t protocol) {
  return rule_request(RTM_DELRULE, 0, rule, protocol);
}

Result<RuleReply> parse_rule(ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<fib_rule_hdr>(payload, rest));
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  RuleReply out;
  out.protocol = attributes.u8(FRA_PROTOCOL).value_or(0);
  if (header.family != AF_INET && header.family != AF_INET6) return out;
  out.rule.priority = attributes.u32(FRA_PRIORITY).value_or(0);
  out.rule.table = attributes.u32(FRA_TABLE).value_or(header.table);
  CORDON_ASSIGN(out.rule.to, prefix_of(header.family, attributes.find(FRA_DST), header.dst_len));
  const auto uids = attributes.find(FRA_UID_RANGE);
  fib_rule_uid_range range{};
  if (!uids || uids->size() != sizeof range) return out;
  std::memcpy(&range, uids->data(), sizeof range);
  out.rule.uids = {.first = range.start, .last = range.end};
  out.rule.action = header.action == FR_ACT_TO_TBL ? RuleAction::lookup : RuleAction::unreachable;
  out.by_uid = header.action == FR_ACT_TO_TBL || header.action == FR_ACT_UNREACHABLE;
  return out;
}

}  // namespace cordon::node::netlink
