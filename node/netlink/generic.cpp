#include "node/netlink/generic.h"

#include <fmt/format.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cerrno>

namespace cordon::node::netlink {

Message family_request(std::string_view name) {
  Message message(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK);
  message.put_header(genlmsghdr{.cmd = CTRL_CMD_GETFAMILY, .version = 1, .reserved = 0});
  message.put_text(CTRL_ATTR_FAMILY_NAME, name);
  return message;
}

Result<std::uint16_t> parse_family(ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<genlmsghdr>(payload, rest));
  if (header.cmd != CTRL_CMD_NEWFAMILY)
    return fail(ErrorCode::protocol, "generic netlink answered something else");
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  const auto id = attributes.u16(CTRL_ATTR_FAMILY_ID);
  if (!id) return fail(ErrorCode::protocol, "generic netlink gave a family without a number");
  return *id;
}

Result<std::uint16_t> find_family(Socket& socket, std::string_view name) {
  auto replies = socket.query(family_request(name));
  if (!replies) {
    if (replies.error().number == ENOENT) {
      return fail(ErrorCode::unavailable, fmt::format("the kernel has no '{}'", name));
    }
    return std::unexpected(to_error(replies.error(), fmt::format("asking for netlink family '{}'", name)));
  }
  if (replies->empty()) return fail(ErrorCode::protocol, "generic netlink gave no answer");
  return parse_family(replies->front().payload);
}

}  // namespace cordon::node::netlink
