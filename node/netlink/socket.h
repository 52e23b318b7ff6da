#pragma once
// A netlink socket: one request, all its replies, and the kernel's own words when it refuses.

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/netlink/message.h"

struct mnl_socket;

namespace cordon::node::netlink {

/// Why the kernel refused: its errno and, where it gave one, its extended ack text (NLMSGERR_ATTR_MSG).
struct Refusal {
  int number = 0;
  std::string text;
};

/// The same as an Error: `asked` says what was wanted ("adding 100.64.0.1/32 to cdn-x").
Error to_error(const Refusal& refusal, std::string_view asked);

/// A refusal in an NLMSG_ERROR payload; errno 0 is an ack.
Result<Refusal> parse_refusal(const MessageView& message);

struct Reply {
  std::uint16_t type = 0;
  Bytes payload;
};

class Socket {
 public:
  /// `protocol` as NETLINK_ROUTE; the socket belongs to the network namespace of the calling thread.
  static Result<Socket> open(int protocol);

  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();

  /// Sends and gathers the replies up to the ack or the end of the dump; a dump that was interrupted by a
  /// change is asked again. Waits at most five seconds for each datagram.
  std::expected<std::vector<Reply>, Refusal> query(const Message& message);

  /// How many requests that write went out; what shows that a call was idempotent.
  std::uint64_t sent() const { return sequence_; }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  explicit Socket(mnl_socket* socket);
  std::expected<bool, Refusal> receive(std::uint32_t sequence, std::vector<Reply>& replies,
                                       bool& interrupted);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace cordon::node::netlink
