// Runs as the only program of a VM (tests/vm/run): the kernel's WireGuard and the filter through our own
// code, on a kernel that we ship for and don't develop on. Prints a PASS or FAIL line for each thing.
//
//   host "web", namespace 0                       host "ledger", namespace 1
//   overlay 100.64.0.1 fd12:..::1 ))) WireGuard ((( overlay 100.64.0.2 fd12:..::2, TCP 5432 and 5433
//   under   198.51.100.1 ─────────── veth ────────── under 198.51.100.2
//
// The policy lets web reach ledger's tcp/5432 and nothing else.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "base/crypto.h"
#include "node/filter/filter.h"
#include "node/netlink/network.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"
#include "node/tunnel/tunnel.h"
#include "policy/compile.h"
#include "tests/support/network_namespace.h"
#include "tests/support/world_builder.h"
#include "tests/vm/turning_key.h"

namespace cordon::node {
namespace {

constexpr std::uint16_t kAllowed = 5432, kDenied = 5433;
constexpr int kPatienceMs = 30'000;
constexpr const char* kPolicy = R"(
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[segments.web]
members = ["tag:web"]
[[allow]]
name = "web-to-ledger"
from = { segments = ["web"] }
to   = ["settlement/ledger"]
)";

int failures = 0;

void report(bool good, std::string_view what) {
  fmt::print("{} {}\n", good ? "PASS" : "FAIL", what);
  std::fflush(stdout);
  if (!good) ++failures;
}

template <class T>
bool report(const Result<T>& result, std::string_view what) {
  report(result.has_value(),
         result ? std::string(what) : fmt::format("{}: {}", what, result.error().message()));
  return result.has_value();
}

struct Host {
  std::string name;
  TestNamespace space;
  WireguardKey key = crypto::wireguard_generate();
  policy::OverlayAddresses overlay;
  Address underlay;
  std::unique_ptr<Network> network;
  std::unique_ptr<Tunnel> tunnel;
  std::unique_ptr<Filter> filter;
  TunnelConfig tunnel_config;
  FilterConfig filter_config;
};

struct Perimeter {
  test::WorldBuilder world;
  Host hosts[2];
  Host& web = hosts[0];
  Host& ledger = hosts[1];
};

void connect_underlay(Perimeter& all) {
  all.web.space.in([&] {
    auto route = netlink::Socket::open(NETLINK_ROUTE);
    report(route && route->query(netlink::link_create("under", "veth")), "veth pair");
    netlink::Message move(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(if_nametoindex("veth0"));
    move.put_header(header);
    move.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(all.ledger.space.fd()));
    report(route && route->query(move), "veth's other end in the other namespace");
  });
  for (Host& host : all.hosts) {
    host.space.in([&] {
      const unsigned link = if_nametoindex(&host == &all.web ? "under" : "veth0");
      report(host.network->set_up(link, 1500), host.name + ": underlay up");
      report(host.network->set_addresses(link, {{Prefix::host(host.underlay), false}}),
             host.name + ": underlay address");
      report(host.network->set_routes(link, {{*Prefix::parse("198.51.100.0/24"), host.underlay}}),
             host.name + ": underlay route");
    });
  }
}

void prepare(Perimeter& all) {
  all.world.policy(kPolicy);
  for (int i : {0, 1}) {
    Host& host = all.hosts[i];
    host.name = i == 0 ? "web" : "ledger";
    policy::Device& device = all.world.device(host.name, {i == 0 ? "web" : "settlement"});
    device.wireguard_key = crypto::wireguard_public(host.key);
    host.overlay = device.addresses;
    host.underlay = *Address::parse(i == 0 ? "198.51.100.1" : "198.51.100.2");
    const std::string state = "/state/" + host.name;
    mkdir("/state", 0755);
    mkdir(state.c_str(), 0755);
    host.tunnel_config = {.interface = "cdn-" + host.name.substr(0, 6),
                          .listen_port = 51820,
                          .state_directory = state,
                          .run_directory = state};
    host.filter_config.pin_directory = "/sys/fs/bpf/" + host.name;
    host.filter_config.sizes = {.principals = 1024,
                                .targets = 1024,
                                .grants = 1024,
                                .grant_ranges = 1024,
                                .flows = 1024,
                                .rule_counters = 1024,
                                .events_bytes = 1u << 16};
    host.filter_config.wireguard_port = 51820;
    mkdir(host.filter_config.pin_directory.c_str(), 0700);
    host.space.in([&] {
      auto network = open_network();
      if (report(network, host.name + ": netlink")) host.network = *std::move(network);
    });
  }
}

void open_tunnels(Perimeter& all) {
  for (Host& host : all.hosts) {
    host.space.in([&] {
      auto tunnel = open_tunnel(host.tunnel_config);
      if (!report(tunnel, host.name + ": tunnel")) return;
      host.tunnel = *std::move(tunnel);
      report(host.tunnel->backend() == Backend::kernel, host.name + ": the kernel carries it");
    });
  }
}

Peer peer_of(const Host& host) {
  return {.public_key = crypto::wireguard_public(host.key),
          .allowed_ips = {Prefix::host(host.overlay.v4), Prefix::host(host.overlay.v6)},
          .endpoint = Endpoint{host.underlay, 51820}};
}

void set_tunnel(Host& host, const Host& other) {
  const unsigned link = host.tunnel->ifindex();
  report(host.tunnel->set_private_key(host.key), host.name + ": key");
  report(host.tunnel->set_peers({peer_of(other)}), host.name + ": peers");
  report(host.network->set_up(link, 1420), host.name + ": tunnel up");
  report(host.network->set_addresses(
             link, {{Prefix::host(host.overlay.v4), false}, {Prefix::host(host.overlay.v6), false}}),
         host.name + ": overlay addresses");
  report(host.network->set_routes(link, {{*Prefix::parse("100.64.0.0/10"), host.overlay.v4},
                                         {*Prefix::parse("fd12:3456:789a::/48"), host.overlay.v6}}),
         host.name + ": overlay routes");
}

void listen_on(const Host& host, std::uint16_t port) {
  host.space.in([&] {
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    const bool good = bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0 && listen(fd, 64) == 0;
    report(good, fmt::format("{}: listens on tcp/{}", host.name, port));
  });
}

/// 0: connected; else the errno (ETIMEDOUT after that long in silence).
int try_connect(const Host& from, const Address& to, std::uint16_t port, int patience_ms,
                int* keep = nullptr) {
  return from.space.in([&]() -> int {
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(port);
    std::memcpy(&at.sin6_addr, to.bytes.data(), to.bytes.size());
    int result = connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 ? 0 : errno;
    if (result == EINPROGRESS) {
      pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
      socklen_t size = sizeof result;
      if (poll(&wait, 1, patience_ms) != 1)
        result = ETIMEDOUT;
      else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size);
    }
    if (keep != nullptr)
      *keep = fd;
    else
      close(fd);
    return result;
  });
}

void expect(const Perimeter& all, std::uint16_t port, int wanted, std::string_view when) {
  for (const Address& to : {all.ledger.overlay.v4, all.ledger.overlay.v6}) {
    // An emulated machine is slow: only what is to stay silent is given up soon.
    const int got = try_connect(all.web, to, port, wanted == ETIMEDOUT ? 3000 : kPatienceMs);
    report(got == wanted, fmt::format("{}: {} port {}: {} (wanted: {})", when, to.to_string(), port,
                                      std::strerror(got), std::strerror(wanted)));
  }
}

/// More peers than one message holds, exactly, and back again without disturbing the one that is in use.
void many_peers(Perimeter& all) {
  std::vector<Peer> wanted{peer_of(all.ledger)};
  for (std::uint32_t n = 0; n < 1500; ++n) {
    Peer peer{.public_key = {}, .allowed_ips = {Prefix::host(Address::from_v4(0x64500000u + n))}};
    std::memcpy(peer.public_key.data(), &n, sizeof n);
    peer.public_key[31] = 1;
    peer.keepalive_s = 0;
    wanted.push_back(peer);
  }
  Peer wide{.public_key = {}, .keepalive_s = 0};
  wide.public_key[31] = 2;
  for (std::uint32_t n = 0; n < 3000; ++n)
    wide.allowed_ips.push_back(Prefix::host(Address::from_v4(0x64600000u + n)));
  wanted.push_back(wide);
  report(all.web.tunnel->set_peers(wanted), "1502 peers, one with 3000 allowed-IPs, in several messages");
  const auto held = all.web.tunnel->peers();
  std::size_t ips = 0;
  if (held)
    for (const auto& peer : *held) ips += peer.allowed_ips.size();
  report(held && held->size() == 1502 && ips == 1502 - 2 + 2 + 3000,
         fmt::format("all of them read back ({} IPs)", ips));
  // Half of the wide peer's go one by one, two peers swap theirs, the rest vanishes.
  wanted.back().allowed_ips.resize(1500);
  std::swap(wanted[1].allowed_ips, wanted[2].allowed_ips);
  wanted.erase(wanted.begin() + 3, wanted.end() - 1);
  report(all.web.tunnel->set_peers(wanted), "some allowed-IPs go, some move, many peers go");
  const auto left = all.web.tunnel->peers();
  std::map<WireguardKey, std::set<Prefix>> is, should;
  if (left)
    for (const auto& p : *left) is[p.public_key] = {p.allowed_ips.begin(), p.allowed_ips.end()};
  for (const auto& p : wanted) should[p.public_key] = {p.allowed_ips.begin(), p.allowed_ips.end()};
  report(is == should, "exactly what is wanted is held");
  report(all.web.tunnel->set_peers({peer_of(all.ledger)}), "back to one peer");
}

/// ledger's WireGuard key turns while web streams to it.
void key_turns(Perimeter& all) {
  const WireguardKey next = crypto::wireguard_generate();
  turn_key_under_stream({all.web.space, *all.web.tunnel, peer_of(all.web)},
                        {all.ledger.space, *all.ledger.tunnel, peer_of(all.ledger)}, next,
                        [](bool good, std::string_view what) { report(good, what); });
  all.ledger.key = next;
  expect(all, kAllowed, 0, "after the key turned");
}

void tunnel_alone(Perimeter& all) {
  expect(all, kAllowed, 0, "tunnel alone");
  expect(all, kDenied, 0, "tunnel alone");
  const auto peers = all.web.tunnel->peers();
  report(peers && peers->size() == 1 && peers->at(0).handshake_age && peers->at(0).sent_bytes > 0,
         "a handshake is told");
  many_peers(all);
  expect(all, kAllowed, 0, "after many peers");

  key_turns(all);

  // Taken away by somebody else: made again, and told so that it is set again.
  all.web.space.in([&] {
    report(*all.web.tunnel->supervise() == false, "a live tunnel is left alone");
    auto route = netlink::Socket::open(NETLINK_ROUTE);
    report(route && route->query(netlink::link_delete(all.web.tunnel->ifindex())),
           "the interface is taken away");
    const auto again = all.web.tunnel->supervise();
    report(again && *again, "supervise makes it again");
    set_tunnel(all.web, all.ledger);
  });
  expect(all, kAllowed, 0, "after the interface was made anew");

  all.web.space.in([&] {
    const unsigned before = all.web.tunnel->ifindex();
    all.web.tunnel.reset();
    auto adopted = open_tunnel(all.web.tunnel_config);
    if (!report(adopted, "the kernel's interface is adopted")) return;
    all.web.tunnel = *std::move(adopted);
    report(all.web.tunnel->ifindex() == before && all.web.tunnel->peers()->size() == 1, "with its peers");
  });
}

bool put_filter(Perimeter& all, Host& host) {
  return host.space.in([&]() -> bool {
    auto filter = open_filter(host.filter_config);
    if (!report(filter, host.name + ": the filter's programs load")) return false;
    host.filter = *std::move(filter);
    const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = test::kNow};
    const auto state = policy::compile_node(all.world.world(), DeviceId{host.name}, test::kNow);
    const bool good =
        report(host.filter->attach_overlay(host.tunnel->ifindex()), host.name + ": attached") &&
        report(host.filter->replace(state, base), host.name + ": the compiled state is written") &&
        report(host.filter->confirm(base.sent_boot_ns), host.name + ": leases confirmed");
    for (const auto& fault : host.filter->check()) report(false, host.name + ": " + fault);
    return good;
  });
}

std::uint64_t dropped(const Host& host) {
  std::uint64_t all = 0;
  const auto counters = host.filter->drop_counters();
  if (!counters) return 0;
  for (const auto& [reason, counter] : *counters) all += counter.packets;
  return all;
}

void filtered(Perimeter& all) {
  // ledger alone: its ingress decides.
  if (!put_filter(all, all.ledger)) return;
  expect(all, kAllowed, 0, "ledger's filter");
  expect(all, kDenied, ETIMEDOUT, "ledger's filter");
  const std::uint64_t at_ledger = dropped(all.ledger);
  report(at_ledger > 0, fmt::format("ledger counted {} drops", at_ledger));
  const auto rules = all.ledger.filter->rule_counters();
  report(rules && !rules->empty() && rules->begin()->second.packets > 0, "ledger counted the rule's packets");

  // web too: its egress and its connect hook decide before anything is sent.
  all.web.filter_config.cgroup = "/sys/fs/cgroup/web";
  mkdir(all.web.filter_config.cgroup.c_str(), 0755);
  std::ofstream(all.web.filter_config.cgroup / "cgroup.procs") << getpid() << std::endl;
  if (!put_filter(all, all.web)) return;
  expect(all, kAllowed, 0, "both filters");
  expect(all, kDenied, EHOSTUNREACH, "both filters, told at once");
  report(dropped(all.ledger) == at_ledger, "nothing that is denied reached ledger");

  // The daemon ends: what is attached stays and is adopted.
  all.ledger.filter.reset();
  expect(all, kAllowed, 0, "without a daemon at ledger");
  all.ledger.space.in([&] {
    auto filter = open_filter(all.ledger.filter_config);
    if (!report(filter, "ledger: the filter is opened again")) return;
    all.ledger.filter = *std::move(filter);
    report(all.ledger.filter->adopted(), "ledger: what was pinned is adopted");
    report(all.ledger.filter->attach_overlay(all.ledger.tunnel->ifindex()), "ledger: attached again");
  });
  expect(all, kAllowed, 0, "after adoption");

  int open_connection = -1;
  report(try_connect(all.web, all.ledger.overlay.v6, kAllowed, kPatienceMs, &open_connection) == 0,
         "a connection stays open");
  std::vector<HostSocket> sockets =
      all.web.network->connected_sockets({}).value_or(std::vector<HostSocket>{});
  std::erase_if(sockets, [&](const HostSocket& socket) {
    return socket.protocol != IPPROTO_TCP || socket.remote != Endpoint{all.ledger.overlay.v6, kAllowed};
  });
  const auto gone = all.web.network->destroy(sockets);
  report(gone && *gone >= 1, "it is destroyed (SOCK_DESTROY)");  // with what the closed ones left behind
  char byte;
  report(recv(open_connection, &byte, 1, 0) < 0 && errno == ECONNABORTED, "and its owner is told");
  for (Host& host : all.hosts) {
    host.space.in([&] { report(host.filter->remove_all(), host.name + ": the filter is taken away"); });
  }
}

int run() {
  signal(SIGPIPE, SIG_IGN);
  Perimeter all;
  prepare(all);
  if (failures == 0) connect_underlay(all);
  if (failures == 0) open_tunnels(all);
  if (failures == 0) {
    all.web.space.in([&] { set_tunnel(all.web, all.ledger); });
    all.ledger.space.in([&] { set_tunnel(all.ledger, all.web); });
    for (const std::uint16_t port : {kAllowed, kDenied}) listen_on(all.ledger, port);
    tunnel_alone(all);
  }
  if (failures == 0) filtered(all);
  for (Host& host : all.hosts) {
    if (host.tunnel)
      host.space.in([&] { report(host.tunnel->remove(), host.name + ": the tunnel is taken away"); });
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cordon::node

int main() {
  return cordon::node::run();
}
