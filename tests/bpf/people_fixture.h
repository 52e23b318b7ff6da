#pragma once
// A host of several people: a network namespace with an overlay that leads nowhere, a cgroup for its hooks,
// and processes of any uid in it.

#include <sys/socket.h>

#include <functional>

#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {

inline constexpr std::uint32_t kAnn = 3001, kBen = 3002, kGuest = 3003, kSystemUid = 200;

/// The device is kV4.client and kV6.client (class 1); ann's session (class 2) and ben's (class 3) have
/// addresses of their own, guest has none. Everybody who is somebody may reach the server's tcp and udp 7.
class PeopleTest : public FilterTest {
 protected:
  static constexpr const char* kAnnV4 = "100.64.1.1";
  static constexpr const char* kAnnV6 = "fd00:c0de::1:1";
  static constexpr const char* kBenV4 = "100.64.1.2";
  static constexpr const char* kBenV6 = "fd00:c0de::1:2";

  /// `hooks`: bind, connect and sendmsg are held too; without them only the filter decides.
  void open(bool hooks);
  void SetUp() override;
  void TearDown() override;

  void log_in(const char* session, std::uint32_t uid, const char* v4, const char* v6, std::uint64_t class_id);
  void log_out(const char* session, const char* v4, const char* v6);

  /// What a process of that uid in the cgroup returns: 0 or an errno.
  int as(std::uint32_t uid, const std::function<int()>& act) const;
  std::uint64_t counted(const std::string& reason) const;

  NetSandbox sandbox_;
  std::filesystem::path cgroup_;
  unsigned overlay_ = 0;
};

/// A socket address of either family, or IPv4 as an IPv6 socket has it.
struct SocketAddress {
  SocketAddress(std::string_view text, std::uint16_t port, bool mapped = false);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  sockaddr_storage storage{};
  socklen_t size = 0;
};

int bind_to(const SocketAddress& to, int type = SOCK_STREAM);
/// Without waiting for an answer: 0 also while it is under way. `from` is bound first.
int connect_to(const SocketAddress& to, int type = SOCK_STREAM, const SocketAddress* from = nullptr);
/// One datagram from an unconnected socket; `from` is named by a control message (IP_PKTINFO, IPV6_PKTINFO).
int send_to(const SocketAddress& to, std::string_view from = {}, bool connected = false);

}  // namespace cordon::test
