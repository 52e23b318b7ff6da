#include "tests/vm/turning_key.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/crypto.h"

namespace cordon::node {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint16_t kStreamPort = 5434;
// A handshake that goes wrong is tried again after 5 s (REKEY_TIMEOUT): less is none that did.
constexpr std::chrono::milliseconds kLongestSilence{4000};

sockaddr_in6 stream_address(const Address& address) {
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_port = htons(kStreamPort);
  std::memcpy(&at.sin6_addr, address.bytes.data(), address.bytes.size());
  return at;
}

/// Numbers that go there and come back, one each millisecond, in order or not at all.
class EchoedStream {
 public:
  EchoedStream(const TestNamespace& here, const TestNamespace& there, const Address& to) {
    const sockaddr_in6 at = stream_address(to);
    const auto* address = reinterpret_cast<const sockaddr*>(&at);
    const int listener = there.in([&] {
      const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
      return bind(fd, address, sizeof at) == 0 && listen(fd, 1) == 0 ? fd : -1;
    });
    asker_ = here.in([&] {
      const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
      return connect(fd, address, sizeof at) == 0 ? fd : -1;
    });
    if (listener >= 0 && asker_ >= 0) echo_ = accept(listener, nullptr, nullptr);
    close(listener);
    if (!opened()) return;
    threads_[0] = std::jthread([this] { ask(); });
    threads_[1] = std::jthread([this] { answer(); });
  }
  bool opened() const { return asker_ >= 0 && echo_ >= 0; }
  std::uint64_t echoed() const { return echoed_; }

  /// More comes back, soon.
  bool flows() const {
    const std::uint64_t before = echoed_;
    for (auto end = Clock::now() + kLongestSilence; Clock::now() < end && echoed_ < before + 100;)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return echoed_ >= before + 100;
  }
  /// Ends it; the longest time in which nothing came back, or nothing when it broke.
  std::optional<std::chrono::milliseconds> end() {
    ended_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    close(asker_);
    close(echo_);
    if (broken_) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::milliseconds>(longest_);
  }

 private:
  void ask() {
    std::uint64_t sent = 0, expected = 0, got = 0;
    auto last = Clock::now();
    while (!ended_ && !broken_) {
      if (send(asker_, &sent, sizeof sent, MSG_NOSIGNAL) == sizeof sent) ++sent;
      pollfd wait{.fd = asker_, .events = POLLIN, .revents = 0};
      while (poll(&wait, 1, 1) == 1) {
        if (recv(asker_, &got, sizeof got, MSG_WAITALL) != sizeof got || got != expected++) {
          broken_ = true;
          return;
        }
        ++echoed_;
        longest_ = std::max(longest_, Clock::now() - last);
        last = Clock::now();
      }
    }
    longest_ = std::max(longest_, Clock::now() - last);
    shutdown(asker_, SHUT_WR);
  }
  void answer() {
    std::uint64_t number;
    while (recv(echo_, &number, sizeof number, MSG_WAITALL) == sizeof number)
      if (send(echo_, &number, sizeof number, MSG_NOSIGNAL) != sizeof number) return;
  }

  int asker_ = -1, echo_ = -1;
  std::atomic<bool> ended_ = false, broken_ = false;
  std::atomic<std::uint64_t> echoed_ = 0;
  Clock::duration longest_{};
  std::jthread threads_[2];
};

bool heard(const Tunnel& tunnel, const WireguardKey& key) {
  const auto peers = tunnel.peers();
  return peers && std::ranges::any_of(*peers, [&](const PeerStatus& peer) {
           return peer.public_key == key && peer.handshake_age && peer.received_bytes > 0;
         });
}

}  // namespace

void turn_key_under_stream(const TunnelEnd& here, const TunnelEnd& there, const WireguardKey& next,
                           const Report& report) {
  EchoedStream stream(here.space, there.space, there.as_peer.allowed_ips.front().address);
  report(stream.opened() && stream.flows(), "a stream runs");
  if (!stream.opened()) return;
  const WireguardKey preshared = crypto::wireguard_generate();

  // 1. The other end adds the new key, which has nothing yet.
  Peer pending{.public_key = crypto::wireguard_public(next),
               .allowed_ips = {},
               .endpoint = std::nullopt,
               .keepalive_s = 0,
               .preshared_key = preshared,
               .successor_of = there.as_peer.public_key};
  report(here.tunnel.set_peers({there.as_peer, pending}).has_value(), "the next key is a second peer");
  report(stream.flows() && !heard(here.tunnel, pending.public_key), "nobody speaks for it yet");

  // 2. The key turns, and with it the preshared key. 3. The allowed-IPs follow the first handshake.
  const auto turned = Clock::now();
  report(there.tunnel.turn_private_key(next, {{here.as_peer.public_key, preshared}}).has_value(),
         "the key turns");
  while (!heard(here.tunnel, pending.public_key) && Clock::now() < turned + kLongestSilence)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  report(heard(here.tunnel, pending.public_key),
         fmt::format("the new key's handshake, with the preshared key, is heard after {} ms",
                     std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - turned).count()));
  pending.allowed_ips = there.as_peer.allowed_ips;
  pending.keepalive_s = there.as_peer.keepalive_s;
  report(here.tunnel.move_allowed_ips({pending}).has_value(), "its allowed-IPs follow");
  report(stream.flows(), "the stream goes on by the new key");
  report(here.tunnel.set_peers({pending}).has_value() && stream.flows(), "and without the old one");

  Peer plain = pending;
  plain.preshared_key = {};
  report(here.tunnel.set_peers({plain}).has_value() && there.tunnel.set_peers({here.as_peer}).has_value() &&
             stream.flows(),
         "preshared keys go at both ends");
  const std::uint64_t echoed = stream.echoed();
  const auto silence = stream.end();
  report(silence && *silence < kLongestSilence,
         silence
             ? fmt::format("{} numbers came back in order, never {} ms apart", echoed, silence->count() + 1)
             : "the stream broke");
}

}  // namespace cordon::node
