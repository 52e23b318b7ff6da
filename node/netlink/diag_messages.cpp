#include "node/netlink/diag_messages.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace cordon::node::netlink {
namespace {

constexpr std::uint32_t bit(int state) {
  return 1u << state;
}

constexpr std::uint32_t kTcpConnected = bit(TCP_ESTABLISHED) | bit(TCP_SYN_SENT) | bit(TCP_SYN_RECV) |
                                        bit(TCP_FIN_WAIT1) | bit(TCP_FIN_WAIT2) | bit(TCP_CLOSE_WAIT) |
                                        bit(TCP_LAST_ACK) | bit(TCP_CLOSING);

Result<Address> address_from(std::uint8_t family, const std::uint32_t (&words)[4]) {
  return Address::from_bytes({reinterpret_cast<const std::uint8_t*>(words), family == AF_INET ? 4u : 16u});
}

/// A comparison of sock_diag's bytecode as it lies in memory: the op, where to compare, with what.
Bytes compare_end(std::uint8_t code, const Prefix& prefix) {
  const ByteView raw = prefix.address.raw();
  inet_diag_hostcond with{};
  with.family = prefix.address.is_v4() ? AF_INET : AF_INET6;
  with.prefix_len = static_cast<std::uint8_t>(prefix.length());
  with.port = -1;  // any
  const inet_diag_bc_op op{.code = code, .yes = 0, .no = 0};
  Bytes out(sizeof op + sizeof with);
  std::memcpy(out.data(), &op, sizeof op);
  std::memcpy(out.data() + sizeof op, &with, sizeof with);
  out.insert(out.end(), raw.begin(), raw.end());
  return out;
}

/// "Any of them": behind each comparison but the last a jump to the end. A program that ends there takes the
/// socket; one that goes past the end doesn't.
Bytes any_comparison(std::vector<Bytes> comparisons) {
  Bytes out;
  while (!comparisons.empty()) {  // from the last: jumps go forward
    Bytes next = std::move(comparisons.back());
    comparisons.pop_back();
    inet_diag_bc_op op{};
    std::memcpy(&op, next.data(), sizeof op);
    op.yes = static_cast<std::uint8_t>(next.size());
    op.no = static_cast<std::uint16_t>(next.size() + sizeof op);
    std::memcpy(next.data(), &op, sizeof op);
    if (!out.empty()) {
      const inet_diag_bc_op jump{.code = INET_DIAG_BC_JMP,
                                 .yes = sizeof jump,
                                 .no = static_cast<std::uint16_t>(sizeof jump + out.size())};
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&jump);
      next.insert(next.end(), bytes, bytes + sizeof jump);
    }
    next.insert(next.end(), out.begin(), out.end());
    out = std::move(next);
  }
  return out;
}

}  // namespace

Message diag_dump(std::uint8_t family, std::uint16_t protocol, const std::vector<Prefix>& within) {
  Message message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP);
  inet_diag_req_v2 header{};
  header.sdiag_family = family;
  header.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  header.idiag_states = protocol == IPPROTO_TCP ? kTcpConnected : bit(TCP_ESTABLISHED);
  message.put_header(header);
  if (const std::uint32_t number = protocol; number > 0xff)  // the header has no room for MPTCP's
    message.put(INET_DIAG_REQ_PROTOCOL, {reinterpret_cast<const std::uint8_t*>(&number), sizeof number});
  std::vector<Bytes> comparisons;
  for (const Prefix& prefix : within)
    for (const auto code : {INET_DIAG_BC_S_COND, INET_DIAG_BC_D_COND})
      comparisons.push_back(compare_end(static_cast<std::uint8_t>(code), prefix));
  if (!comparisons.empty()) message.put(INET_DIAG_REQ_BYTECODE, any_comparison(std::move(comparisons)));
  return message;
}

Message diag_destroy(const DiagSocket& socket) {
  Message message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK);
  inet_diag_req_v2 header{};
  header.sdiag_family = socket.family;
  header.sdiag_protocol = static_cast<std::uint8_t>(socket.protocol);
  header.idiag_states = bit(socket.state);
  std::memcpy(&header.id, socket.id.data(), sizeof header.id);
  message.put_header(header);
  return message;
}

Result<DiagSocket> parse_diag(ByteView payload, std::uint16_t protocol) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<inet_diag_msg>(payload, rest));
  if (header.idiag_family != AF_INET && header.idiag_family != AF_INET6) {
    return fail(ErrorCode::protocol, "sock_diag gave a socket of another family");
  }
  DiagSocket out{.family = header.idiag_family, .protocol = protocol, .state = header.idiag_state};
  CORDON_ASSIGN(out.local, address_from(out.family, header.id.idiag_src));
  CORDON_ASSIGN(out.remote, address_from(out.family, header.id.idiag_dst));
  out.local_port = ntohs(header.id.idiag_sport);
  out.remote_port = ntohs(header.id.idiag_dport);
  const auto* id = reinterpret_cast<const std::uint8_t*>(&header.id);
  out.id.assign(id, id + sizeof header.id);
  return out;
}

}  // namespace cordon::node::netlink
