#include "node/netlink/socket.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace cordon::node::netlink {
namespace {

constexpr std::size_t kDatagram = 64u << 10;  // the kernel fills at most 32 KiB of a dump at a time
constexpr int kDumpTries = 5;

void set_option(mnl_socket* socket, int option) {
  // Each of these only improves the answers; a kernel that lacks one works without.
  int on = 1;
  mnl_socket_setsockopt(socket, option, &on, sizeof on);
}

}  // namespace

Error to_error(const Refusal& refusal, std::string_view asked) {
  Error error{.code = ErrorCode::io, .what = fmt::format("{}: {}", asked, std::strerror(refusal.number))};
  if (!refusal.text.empty()) error.what += fmt::format(" (kernel: {})", refusal.text);
  switch (refusal.number) {
    case EPERM:
      error.code = ErrorCode::forbidden;
      error.hint = "the process needs CAP_NET_ADMIN in this network namespace";
      break;
    case ENODEV:
    case ENOENT:
    case ESRCH:
    case ENXIO:
      error.code = ErrorCode::not_found;
      break;
    case EEXIST:
      error.code = ErrorCode::conflict;
      break;
    case EOPNOTSUPP:
      error.code = ErrorCode::unavailable;
      break;
    case EAGAIN:
      error.code = ErrorCode::unavailable;
      break;
    case EINVAL:
      error.code = ErrorCode::invalid;
      break;
    default:
      break;
  }
  return error;
}

Result<Refusal> parse_refusal(const MessageView& message) {
  nlmsgerr header;
  if (message.payload.size() < sizeof header) return fail(ErrorCode::protocol, "netlink error is too short");
  std::memcpy(&header, message.payload.data(), sizeof header);
  Refusal out{.number = -header.error, .text = {}};
  if (!(message.flags & NLM_F_ACK_TLVS)) return out;
  // Behind nlmsgerr stands the rest of our own request, unless the kernel capped it to its header.
  std::size_t skip = sizeof header;
  if (!(message.flags & NLM_F_CAPPED) && header.msg.nlmsg_len > sizeof(nlmsghdr)) {
    skip += MNL_ALIGN(header.msg.nlmsg_len - sizeof(nlmsghdr));
  }
  if (skip >= message.payload.size()) return out;
  CORDON_ASSIGN(auto attributes, Attributes::parse(message.payload.subspan(skip)));
  out.text = attributes.text(NLMSGERR_ATTR_MSG);
  return out;
}

void Socket::Close::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}
Socket::Socket(mnl_socket* socket) : socket_(socket) {}
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

Result<Socket> Socket::open(int protocol) {
  mnl_socket* raw = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (raw == nullptr) return fail_errno("can't open a netlink socket", errno);
  Socket socket(raw);
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) < 0)
    return fail_errno("can't bind a netlink socket", errno);
  set_option(raw, NETLINK_EXT_ACK);
  set_option(raw, NETLINK_CAP_ACK);
  set_option(raw, NETLINK_GET_STRICT_CHK);
  const timeval wait{.tv_sec = 5, .tv_usec = 0};
  setsockopt(mnl_socket_get_fd(raw), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  return socket;
}

std::expected<std::vector<Reply>, Refusal> Socket::query(const Message& message) {
  for (int attempt = 1;; ++attempt) {
    const std::uint32_t sequence = ++sequence_;
    Bytes bytes = message.finish(sequence);
    const ssize_t sent = mnl_socket_sendto(socket_.get(), bytes.data(), bytes.size());
    const int send_error = errno;
    explicit_bzero(bytes.data(), bytes.size());
    if (sent < 0) return std::unexpected(Refusal{.number = send_error, .text = {}});

    std::vector<Reply> replies;
    bool interrupted = false, more = true;
    while (more) {
      auto got = receive(sequence, replies, interrupted);
      if (!got) return std::unexpected(std::move(got).error());
      more = *got;
    }
    if (!interrupted) return replies;
    if (attempt == kDumpTries)
      return std::unexpected(Refusal{.number = EAGAIN, .text = "changes kept interrupting"});
  }
}

std::expected<bool, Refusal> Socket::receive(std::uint32_t sequence, std::vector<Reply>& replies,
                                             bool& interrupted) {
  Bytes buffer(kDatagram);
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const ssize_t got = recvmsg(mnl_socket_get_fd(socket_.get()), &header, 0);
  if (got < 0 && errno == EINTR) return true;
  if (got < 0) return std::unexpected(Refusal{.number = errno, .text = {}});
  if (header.msg_flags & MSG_TRUNC) return std::unexpected(Refusal{.number = EMSGSIZE, .text = {}});
  buffer.resize(static_cast<std::size_t>(got));
  auto messages = split(buffer);
  if (!messages) return std::unexpected(Refusal{.number = EBADMSG, .text = messages.error().what});
  for (const MessageView& message : *messages) {
    if (message.sequence != sequence) continue;  // the tail of a request that timed out
    if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
    if (message.type == NLMSG_ERROR) {
      auto refusal = parse_refusal(message);
      if (!refusal) return std::unexpected(Refusal{.number = EBADMSG, .text = refusal.error().what});
      if (refusal->number != 0) return std::unexpected(*std::move(refusal));
      return false;
    }
    if (message.type == NLMSG_DONE) {
      std::int32_t status = 0;  // a dump that failed half-way ends with -errno
      if (message.payload.size() >= sizeof status)
        std::memcpy(&status, message.payload.data(), sizeof status);
      if (status < 0) return std::unexpected(Refusal{.number = -status, .text = {}});
      return false;
    }
    if (message.type == NLMSG_NOOP) continue;
    replies.push_back(
        {.type = message.type, .payload = Bytes(message.payload.begin(), message.payload.end())});
  }
  return true;
}

}  // namespace cordon::node::netlink
