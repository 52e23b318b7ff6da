#include "tests/bench/traffic.h"

#include <fmt/format.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/bench/namespaces.h"

namespace cordon::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint16_t kTrafficPort = kFirstPort;  // of the first class, tcp and udp
constexpr int kAnswerMs = 2000;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const Address& address, std::uint16_t port) {
  SocketAddress out;
  if (address.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(out.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.bytes.data() + 12, 4);
    out.size = sizeof in;
  } else {
    auto& in = reinterpret_cast<sockaddr_in6&>(out.storage);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, address.bytes.data(), 16);
    out.size = sizeof in;
  }
  return out;
}

Result<node::Descriptor> socket_in(const std::string& ns, const Address& family, int type, int protocol = 0) {
  const Inside inside(ns);
  node::Descriptor fd(::socket(family.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, protocol));
  if (!inside.ok() || !fd) return fail_errno(fmt::format("can't make a socket in '{}'", ns), errno);
  const timeval most{.tv_sec = kAnswerMs / 1000, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
  return fd;
}

Result<node::Descriptor> bound(const Way& way, int type) {
  CORDON_ASSIGN(node::Descriptor fd, socket_in(way.to, way.ends.server, type));
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const SocketAddress here = socket_address(way.ends.server, kTrafficPort);
  if (::bind(fd.get(), here.get(), here.size) != 0) return fail_errno("can't bind", errno);
  if (type == SOCK_STREAM && ::listen(fd.get(), 1024) != 0) return fail_errno("can't listen", errno);
  return fd;
}

Result<node::Descriptor> connected(const Way& way, int type) {
  CORDON_ASSIGN(node::Descriptor fd, socket_in(way.from, way.ends.server, type));
  const SocketAddress there = socket_address(way.ends.server, kTrafficPort);
  if (::connect(fd.get(), there.get(), there.size) != 0) return fail_errno("can't connect", errno);
  return fd;
}

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

bool readable(int fd, int most_ms) {
  pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, most_ms) == 1;
}

/// Sends until told to stop, at most `a_second` when that isn't 0; how many.
std::uint64_t flood(int fd, const std::atomic<bool>& stop, unsigned a_second) {
  constexpr unsigned kMessages = 64;
  char payload[18] = {};
  iovec part{.iov_base = payload, .iov_len = sizeof payload};
  mmsghdr messages[kMessages] = {};
  for (mmsghdr& m : messages) m.msg_hdr.msg_iov = &part, m.msg_hdr.msg_iovlen = 1;
  std::uint64_t sent = 0;
  const auto start = SteadyClock::now();
  while (!stop) {
    const int n = ::sendmmsg(fd, messages, kMessages, 0);
    if (n > 0) sent += static_cast<unsigned>(n);
    if (a_second > 0)
      std::this_thread::sleep_until(start + std::chrono::microseconds(sent * 1'000'000 / a_second));
  }
  return sent;
}

struct UdpPair {
  node::Descriptor to, from;
};

/// Through which a packet has come.
Result<UdpPair> udp_pair(const Way& way) {
  UdpPair pair;
  CORDON_ASSIGN(pair.to, bound(way, SOCK_DGRAM));
  CORDON_ASSIGN(pair.from, connected(way, SOCK_DGRAM));
  for (int tries = 0; tries < 20; ++tries) {  // a tunnel's first packet waits for its handshake
    char byte = 0;
    (void)::send(pair.from.get(), &byte, 1, 0);
    if (readable(pair.to.get(), kAnswerMs / 10)) return pair;
  }
  return fail(ErrorCode::io, fmt::format("no packet arrives in '{}'", way.to));
}

/// Ends a thread that only sends.
class Flood {
 public:
  explicit Flood(int fd, unsigned a_second = 0)
      : thread_([this, fd, a_second] { sent_ = flood(fd, stop_, a_second); }) {}
  ~Flood() { (void)end(); }
  std::uint64_t end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return sent_;
  }

 private:
  std::atomic<bool> stop_ = false;
  std::uint64_t sent_ = 0;
  std::thread thread_;
};

/// One ping through a socket of the kernel's ping sockets; its time in microseconds.
Result<double> ping(int fd, bool v4, std::uint16_t sequence) {
  std::uint8_t echo[16] = {};
  echo[0] = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;  // the kernel adds id and checksum
  echo[6] = static_cast<std::uint8_t>(sequence >> 8), echo[7] = static_cast<std::uint8_t>(sequence);
  const auto start = SteadyClock::now();
  if (::send(fd, echo, sizeof echo, 0) < 0) return fail_errno("can't ping", errno);
  for (;;) {
    std::uint8_t answer[64];
    const auto n = ::recv(fd, answer, sizeof answer, 0);
    if (n < 0) return std::chrono::duration<double, std::micro>(kLost).count();
    if (n >= 8 && answer[6] == echo[6] && answer[7] == echo[7]) return seconds_since(start) * 1e6;
  }
}

}  // namespace

Result<double> udp_packets_per_second(const Way& way, Milliseconds time) {
  CORDON_ASSIGN(const UdpPair pair, udp_pair(way));
  const auto start = SteadyClock::now();
  Flood flood(pair.from.get());
  std::this_thread::sleep_for(time);
  const std::uint64_t sent = flood.end();
  return static_cast<double>(sent) / seconds_since(start);
}

Result<double> udp_packets_received_per_second(const Way& way, Milliseconds time) {
  constexpr unsigned kMessages = 64;
  CORDON_ASSIGN(const UdpPair pair, udp_pair(way));
  const Flood flood(pair.from.get());
  char payload[kMessages][18];
  iovec parts[kMessages];
  mmsghdr messages[kMessages] = {};
  for (unsigned i = 0; i < kMessages; ++i) {
    parts[i] = {.iov_base = payload[i], .iov_len = sizeof payload[i]};
    messages[i].msg_hdr.msg_iov = &parts[i], messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::uint64_t received = 0;
  const auto start = SteadyClock::now();
  while (SteadyClock::now() < start + time) {
    const int n = ::recvmmsg(pair.to.get(), messages, kMessages, MSG_WAITFORONE, nullptr);
    if (n > 0) received += static_cast<unsigned>(n);
  }
  return static_cast<double>(received) / seconds_since(start);
}

Result<double> tcp_bits_per_second(const Way& way, Milliseconds time) {
  CORDON_ASSIGN(const node::Descriptor listener, bound(way, SOCK_STREAM));
  CORDON_ASSIGN(node::Descriptor from, connected(way, SOCK_STREAM));
  const node::Descriptor to(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!to) return fail_errno("can't accept", errno);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    const std::vector<char> block(1 << 17);
    while (!stop && ::send(from.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) continue;
    ::shutdown(from.get(), SHUT_WR);
  });
  std::vector<char> block(1 << 17);
  std::uint64_t received = 0;
  const auto start = SteadyClock::now();
  const auto until = start + time;
  while (SteadyClock::now() < until) {
    const auto n = ::recv(to.get(), block.data(), block.size(), 0);
    if (n <= 0) break;
    received += static_cast<std::uint64_t>(n);
  }
  const double took = seconds_since(start);
  stop = true;
  while (::recv(to.get(), block.data(), block.size(), 0) > 0) continue;
  writer.join();
  if (received == 0) return fail(ErrorCode::io, "no data arrives");
  return static_cast<double>(received) * 8 / took;
}

Result<double> tcp_connects_per_second(const Way& way, Milliseconds time) {
  CORDON_ASSIGN(const node::Descriptor listener, bound(way, SOCK_STREAM));
  std::uint64_t opened = 0;
  const linger reset{.l_onoff = 1, .l_linger = 0};  // so that no port waits for old packets
  const auto start = SteadyClock::now();
  while (SteadyClock::now() < start + time) {
    CORDON_ASSIGN(const node::Descriptor from, connected(way, SOCK_STREAM));
    const node::Descriptor to(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!to) return fail_errno("can't accept", errno);
    ::setsockopt(from.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ++opened;
  }
  return static_cast<double>(opened) / seconds_since(start);
}

Result<double> loaded_ping_p99_us(const Way& way, Milliseconds time) {
  CORDON_ASSIGN(const UdpPair pair, udp_pair(way));
  const bool v4 = way.ends.server.is_v4();
  CORDON_ASSIGN(const node::Descriptor fd, socket_in(way.from, way.ends.server, SOCK_DGRAM,
                                                     v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
  const SocketAddress there = socket_address(way.ends.server, 0);
  if (::connect(fd.get(), there.get(), there.size) != 0) return fail_errno("can't ping", errno);
  const timeval most{.tv_sec = 0, .tv_usec = std::chrono::microseconds(kLost).count()};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  CORDON_TRY(ping(fd.get(), v4, 0));
  const Flood load(pair.from.get(), kLoad);
  std::vector<double> times;
  const auto until = SteadyClock::now() + time;
  while (SteadyClock::now() < until) {
    CORDON_ASSIGN(const double took, ping(fd.get(), v4, static_cast<std::uint16_t>(times.size() + 1)));
    times.push_back(took);
  }
  const auto p99 = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
  std::ranges::nth_element(times, p99);
  return *p99;
}

}  // namespace cordon::bench
