#include "tests/bpf/traffic.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace cordon::test {
namespace {

constexpr const char* kHost = kV4.server;
constexpr std::uint16_t kHostPort = 40000, kListenerPort = 40001, kPeerPort = 9999;
constexpr int kRoom = 4 << 20;
constexpr auto kPace = std::chrono::milliseconds(1);
constexpr std::uint32_t kLeastPackets = 250;
constexpr std::uint32_t kTrafficMagic = 0x7aff1c;

struct Payload {
  std::uint32_t magic = kTrafficMagic, stream = 0, number = 0;
};

sockaddr_in sockaddr_of(const char* address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &out.sin_addr);
  return out;
}

/// As the kernel's stack takes it: with the header's checksum.
Packet datagram(const Flow& flow, const Payload& payload) {
  Packet out = udp(flow, sizeof payload);
  std::memcpy(out.data() + 28, &payload, sizeof payload);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(out[i] << 8 | out[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  out[10] = static_cast<std::uint8_t>(~sum >> 8);
  out[11] = static_cast<std::uint8_t>(~sum);
  return out;
}

node::Descriptor host_socket(std::uint16_t port) {
  node::Descriptor out(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in own = sockaddr_of(kHost, port);
  (void)::setsockopt(out.get(), SOL_SOCKET, SO_RCVBUF, &kRoom, sizeof kRoom);
  if (::bind(out.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0)
    throw std::runtime_error("can't bind a socket of the host's");
  return out;
}

}  // namespace

void add_traffic_grants(policy::NodeState& state) {
  policy::PrincipalValue host;
  host.class_id = ClassId(3);
  host.deadlines = policy::PrincipalValue::no_deadlines();
  state.entries[policy::PrincipalKey{address(kHost)}] = host;
  for (const char* peer : {kV4.client, kV4.other})
    state.entries[policy::TargetKey{Prefix::host(address(peer))}] =
        policy::TargetValue{.id = TargetId(peer == kV4.client ? 5 : 6), .observe = false};
  const policy::GrantKey key{.direction = policy::Direction::egress,
                             .class_id = ClassId(3),
                             .target = TargetId(5),
                             .protocol = policy::kUdp,
                             .port_bits = 16,
                             .port = kPeerPort};
  state.entries[key] =
      policy::GrantValue{.rule = RuleId(8), .deny = false, .responder = false, .slot = 0, .lease_s = 900};
  state.entries[policy::RuleKey{RuleId(8)}] = policy::RuleValue{.name = "traffic"};
}

Traffic::Traffic() {
  shell("ip link set c-a address 02:02:02:02:02:02");
  // c-b keeps a namespace's worth of distance: it has no address, only its frames are looked at.
  shell("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.c-a.rp_filter=0");
  shell(std::string("ip addr replace ") + kHost + "/24 dev c-a");
  shell(std::string("ip route replace ") + kV4.stranger + "/32 dev c-a");
  for (const char* peer : {kV4.client, kV4.other})
    shell(std::string("ip neigh replace ") + peer + " lladdr 02:00:00:00:00:0b dev c-a nud permanent");
  host_ = host_socket(kHostPort);
  listener_ = host_socket(kListenerPort);
  wire_ = node::Descriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
  wire_index_ = static_cast<int>(::if_nametoindex("c-b"));
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_IP);
  at.sll_ifindex = wire_index_;
  (void)::setsockopt(wire_.get(), SOL_SOCKET, SO_RCVBUF, &kRoom, sizeof kRoom);
  if (::bind(wire_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
    throw std::runtime_error("can't listen on the wire");
  // One flow goes on both ways. Of the other only answers come from now on: once it is forgotten nothing lets
  // them in.
  send(allowed_out, sent_[allowed_out]++);
  const sockaddr_in peer = sockaddr_of(kV4.client, kPeerPort);
  if (::sendto(listener_.get(), "", 1, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 1)
    throw std::runtime_error("can't begin a flow");
  thread_ = std::thread([this] { run(); });  // in this thread's network namespace
}

Traffic::~Traffic() {
  if (thread_.joinable()) end();
}

void Traffic::run() {
  auto due = std::chrono::steady_clock::now();
  while (!ending_) {
    for (Stream stream : {allowed_out, allowed_in, denied_out, denied_in}) send(stream, sent_[stream]++);
    receive();
    due += kPace;
    std::this_thread::sleep_until(due);
  }
  for (int i = 0; i < 50; ++i) {
    receive();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void Traffic::send(Stream stream, std::uint32_t number) {
  const Payload payload{.stream = static_cast<std::uint32_t>(stream), .number = number};
  const auto other_port = static_cast<std::uint16_t>(10000 + number % 50000);
  if (stream == allowed_out || stream == denied_out) {
    const sockaddr_in to =
        stream == allowed_out ? sockaddr_of(kV4.client, kPeerPort) : sockaddr_of(kV4.other, other_port);
    (void)::sendto(host_.get(), &payload, sizeof payload, 0, reinterpret_cast<const sockaddr*>(&to),
                   sizeof to);
    return;
  }
  const Flow flow = stream == allowed_in ? Flow{address(kV4.client), address(kHost), kPeerPort, kListenerPort}
                                         : Flow{address(kV4.other), address(kHost), other_port, kHostPort};
  const Packet frame = ethernet(datagram(flow, payload));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = wire_index_;
  if (::sendto(wire_.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to),
               sizeof to) < 0)
    std::perror("traffic: the wire took no frame");
}

void Traffic::receive() {
  const auto note = [this](const void* at, std::size_t size) {
    Payload payload;
    if (size < sizeof payload) return;
    std::memcpy(&payload, at, sizeof payload);
    if (payload.magic != kTrafficMagic || payload.stream >= kStreams) return;
    auto& seen = seen_[payload.stream];
    if (seen.size() <= payload.number) seen.resize(payload.number + 1024);
    seen[payload.number] = true;
  };
  char buffer[2048];
  for (const node::Descriptor* socket : {&host_, &listener_})
    for (ssize_t got; (got = ::recv(socket->get(), buffer, sizeof buffer, 0)) >= 0;)
      note(buffer, static_cast<std::size_t>(got));
  sockaddr_ll from{};
  socklen_t size = sizeof from;
  for (ssize_t got; (got = ::recvfrom(wire_.get(), buffer, sizeof buffer, 0,
                                      reinterpret_cast<sockaddr*>(&from), &size)) >= 0;
       size = sizeof from)
    if (from.sll_pkttype != PACKET_OUTGOING && got > 42)
      note(buffer + 42, static_cast<std::size_t>(got) - 42);
}

std::array<Traffic::Count, Traffic::kStreams> Traffic::end() {
  // What happened may have been quicker than a few packets.
  while (sent_[denied_in] < kLeastPackets) std::this_thread::sleep_for(kPace);
  ending_ = true;
  if (thread_.joinable()) thread_.join();
  host_.reset();
  listener_.reset();
  wire_.reset();
  std::array<Count, kStreams> out;
  for (std::size_t s = 0; s < kStreams; ++s) {
    out[s].sent = sent_[s];
    for (std::size_t i = 0; i < seen_[s].size(); ++i) out[s].passed += seen_[s][i] ? 1 : 0;
  }
  return out;
}

void Traffic::end_and_expect(const std::string& while_what) {
  const auto counts = end();
  std::printf(
      "%-44s allowed out %6llu lost %llu, in %6llu lost %llu; denied out %6llu passed %llu, in %6llu passed "
      "%llu\n",
      while_what.c_str(), static_cast<unsigned long long>(counts[allowed_out].sent),
      static_cast<unsigned long long>(counts[allowed_out].lost()),
      static_cast<unsigned long long>(counts[allowed_in].sent),
      static_cast<unsigned long long>(counts[allowed_in].lost()),
      static_cast<unsigned long long>(counts[denied_out].sent),
      static_cast<unsigned long long>(counts[denied_out].passed),
      static_cast<unsigned long long>(counts[denied_in].sent),
      static_cast<unsigned long long>(counts[denied_in].passed));
  for (Stream s : {allowed_out, allowed_in}) {
    EXPECT_GE(counts[s].sent, kLeastPackets) << while_what;
    EXPECT_EQ(counts[s].lost(), 0u) << while_what;
  }
  for (Stream s : {denied_out, denied_in}) {
    EXPECT_GE(counts[s].sent, kLeastPackets) << while_what;
    EXPECT_EQ(counts[s].passed, 0u) << while_what;
  }
}

}  // namespace cordon::test
