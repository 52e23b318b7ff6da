// wireguard-go behind our tunnel, for real:
//
//   namespace a                                    namespace b
//   d-PIDa 100.64.0.1 fd12::1 ))) WireGuard ((( d-PIDb 100.64.0.2 fd12::2
//   under  198.51.100.1 ──────── veth ──────── under  198.51.100.2

#include <arpa/inet.h>
#include <cap-ng.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "base/crypto.h"
#include "base/files.h"
#include "node/netlink/network.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"
#include "node/tunnel/process.h"
#include "node/tunnel/tunnel.h"
#include "tests/support/network_namespace.h"

namespace cordon::node {
namespace tunnel_userspace_test {

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}
Address address(std::string_view text) {
  return *Address::parse(text);
}

struct Host {
  TestNamespace space;
  TunnelConfig config;
  WireguardKey key = crypto::wireguard_generate();
  std::unique_ptr<Network> network;
  std::unique_ptr<Tunnel> tunnel;
};

class UserspaceTunnelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "network namespaces need root";
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
    if (std::system("command -v wireguard-go >/dev/null") != 0) GTEST_SKIP() << "no wireguard-go";
    char pattern[] = "/tmp/cordon-tunnel-XXXXXX";
    directory_ = mkdtemp(pattern);
    for (int i = 0; i < 2; ++i) {
      Host& host = hosts_[i];
      const std::filesystem::path own = directory_ / std::to_string(i);
      std::filesystem::create_directories(own);
      host.config = {.backend = Backend::userspace,
                     .interface = fmt::format("d-{}{}", getpid() % 10'000'000, i == 0 ? 'a' : 'b'),
                     .listen_port = 51820,
                     .state_directory = own,
                     .run_directory = own};
      host.space.in([&] { host.network = std::move(open_network()).value(); });
    }
    connect_underlay();
  }

  void TearDown() override {
    for (Host& host : hosts_) {
      if (host.tunnel) host.space.in([&] { EXPECT_TRUE(host.tunnel->remove()); });
    }
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void connect_underlay() {
    hosts_[0].space.in([&] {
      auto route = netlink::Socket::open(NETLINK_ROUTE);
      ASSERT_TRUE(route && route->query(netlink::link_create("d-under", "veth")));
      netlink::Message move(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
      ifinfomsg header{};
      header.ifi_index = static_cast<int>(if_nametoindex("veth0"));
      move.put_header(header);
      move.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(hosts_[1].space.fd()));
      ASSERT_TRUE(route->query(move));
    });
    for (int i = 0; i < 2; ++i) {
      hosts_[i].space.in([&] {
        const unsigned link = if_nametoindex(i == 0 ? "d-under" : "veth0");
        const Address own = address(i == 0 ? "198.51.100.1" : "198.51.100.2");
        ASSERT_TRUE(hosts_[i].network->set_up(link, 1500));
        ASSERT_TRUE(hosts_[i].network->set_addresses(link, {{Prefix::host(own), false}}));
        ASSERT_TRUE(hosts_[i].network->set_routes(link, {{prefix("198.51.100.0/24"), own}}));
      });
    }
  }

  void open(int i) {
    hosts_[i].space.in([&] {
      auto tunnel = open_tunnel(hosts_[i].config);
      ASSERT_TRUE(tunnel) << tunnel.error().message();
      hosts_[i].tunnel = *std::move(tunnel);
    });
  }

  Peer peer(int i) {
    return {
        .public_key = crypto::wireguard_public(hosts_[i].key),
        .allowed_ips = {prefix(i == 0 ? "100.64.0.1" : "100.64.0.2"), prefix(i == 0 ? "fd12::1" : "fd12::2")},
        .endpoint = Endpoint{address(i == 0 ? "198.51.100.1" : "198.51.100.2"), 51820},
        .keepalive_s = 25};
  }

  /// All that a node sets on its tunnel.
  void configure(int i) {
    Host& host = hosts_[i];
    host.space.in([&] {
      const unsigned link = host.tunnel->ifindex();
      const Address v4 = address(i == 0 ? "100.64.0.1" : "100.64.0.2"),
                    v6 = address(i == 0 ? "fd12::1" : "fd12::2");
      ASSERT_TRUE(host.tunnel->set_private_key(host.key));
      const auto peers = host.tunnel->set_peers({peer(1 - i)});
      ASSERT_TRUE(peers) << peers.error().message();
      ASSERT_TRUE(host.network->set_up(link, 1420));
      ASSERT_TRUE(host.network->set_addresses(link, {{Prefix::host(v4), false}, {Prefix::host(v6), false}}));
      ASSERT_TRUE(host.network->set_routes(link, {{prefix("100.64.0.0/10"), v4}, {prefix("fd12::/48"), v6}}));
    });
  }

  wireguard::ProcessId process(int i) {
    const auto file =
        hosts_[i].config.run_directory / fmt::format("wireguard-go.{}.pid", hosts_[i].config.interface);
    return wireguard::parse_process(*read_file(file)).value_or(wireguard::ProcessId{});
  }

  /// A datagram from a to b arrives; it is sent again until then, ten seconds at most.
  bool reaches() {
    const int receiver = hosts_[1].space.in([] { return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
    const int sender = hosts_[0].space.in([] { return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(7);
    inet_pton(AF_INET6, "fd12::2", &at.sin6_addr);
    EXPECT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    bool arrived = false;
    for (int attempt = 0; attempt < 100 && !arrived; ++attempt) {
      sendto(sender, "x", 1, 0, reinterpret_cast<sockaddr*>(&at), sizeof at);
      pollfd wait{.fd = receiver, .events = POLLIN, .revents = 0};
      arrived = poll(&wait, 1, 100) == 1;
    }
    close(receiver);
    close(sender);
    return arrived;
  }

  std::filesystem::path directory_;
  Host hosts_[2];
};

TEST_F(UserspaceTunnelTest, CarriesOutlivesItsOpenerAndIsStartedAgain) {
  for (int i : {0, 1}) open(i);
  for (int i : {0, 1}) configure(i);
  EXPECT_EQ(hosts_[0].tunnel->backend(), Backend::userspace);
  ASSERT_TRUE(reaches());
  const auto peers = hosts_[0].tunnel->peers();
  ASSERT_TRUE(peers);
  ASSERT_EQ(peers->size(), 1u);
  EXPECT_TRUE(peers->at(0).handshake_age);
  EXPECT_EQ(peers->at(0).endpoint, peer(1).endpoint);
  EXPECT_GT(peers->at(0).sent_bytes, 0u);

  // The opener ends: the tunnel stays, and the next opener finds that very one.
  const auto before = process(0);
  const unsigned ifindex = hosts_[0].tunnel->ifindex();
  hosts_[0].tunnel.reset();
  ASSERT_TRUE(reaches());
  open(0);
  EXPECT_EQ(process(0), before);
  EXPECT_EQ(hosts_[0].tunnel->ifindex(), ifindex);
  EXPECT_FALSE(*hosts_[0].space.in([&] { return hosts_[0].tunnel->supervise(); }));

  // It dies: supervise starts another one, which is then set again.
  kill(before.pid, SIGKILL);
  for (int i = 0; i < 1000 && wireguard::is_running(before); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto restarted = hosts_[0].space.in([&] { return hosts_[0].tunnel->supervise(); });
  ASSERT_TRUE(restarted) << restarted.error().message();
  EXPECT_TRUE(*restarted);
  EXPECT_NE(process(0), before);
  EXPECT_TRUE(hosts_[0].tunnel->peers()->empty());
  configure(0);
  EXPECT_TRUE(reaches());
}

TEST_F(UserspaceTunnelTest, ATurnIsHeardAtOnceAndNeedsThePresharedKeyOfBothEnds) {
  for (int i : {0, 1}) open(i);
  for (int i : {0, 1}) configure(i);
  ASSERT_TRUE(reaches());
  const WireguardKey next = crypto::wireguard_generate(), preshared = crypto::wireguard_generate();
  Peer old = peer(0), pending = peer(0);
  pending.public_key = crypto::wireguard_public(next);
  pending.preshared_key = preshared;
  pending.allowed_ips.clear();
  pending.endpoint.reset();
  pending.keepalive_s = 0;
  pending.successor_of = old.public_key;
  ASSERT_TRUE(hosts_[1].tunnel->set_peers({old, pending}));
  const auto heard = [&](const WireguardKey& key) {
    const auto peers = hosts_[1].tunnel->peers();
    return std::ranges::any_of(*peers, [&](const PeerStatus& p) {
      return p.public_key == key && p.received_bytes > 0 && p.endpoint == peer(0).endpoint;
    });
  };
  EXPECT_FALSE(heard(pending.public_key));
  ASSERT_TRUE(hosts_[0].tunnel->turn_private_key(next, {{peer(1).public_key, preshared}}));
  for (int i = 0; i < 2000 && !heard(pending.public_key); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(heard(pending.public_key)) << "its handshake came at once, and is authentic";
  pending.allowed_ips = old.allowed_ips;
  pending.keepalive_s = 25;
  ASSERT_TRUE(hosts_[1].tunnel->move_allowed_ips({pending}));
  EXPECT_TRUE(reaches());
  // A peer that isn't there is not made.
  Peer gone = pending;
  gone.public_key = crypto::wireguard_public(crypto::wireguard_generate());
  ASSERT_TRUE(hosts_[1].tunnel->move_allowed_ips({gone}));
  EXPECT_EQ(hosts_[1].tunnel->peers()->size(), 2u);
  EXPECT_TRUE(reaches());
}

TEST_F(UserspaceTunnelTest, PeersBecomeExactlyWhatIsWanted) {
  open(0);
  Tunnel& tunnel = *hosts_[0].tunnel;
  ASSERT_TRUE(tunnel.set_private_key(hosts_[0].key));
  const auto with = [&](std::uint8_t n, std::vector<Prefix> ips) {
    Peer out{.public_key = crypto::wireguard_public(crypto::wireguard_generate()),
             .allowed_ips = std::move(ips)};
    out.keepalive_s = n;
    return out;
  };
  Peer one = with(1, {prefix("100.64.0.5"), prefix("100.64.0.6"), prefix("fd12::5")}), two = with(2, {});
  const auto check = [&](const std::vector<Peer>& wanted) {
    const auto set = tunnel.set_peers(wanted);
    ASSERT_TRUE(set) << set.error().message();
    std::map<WireguardKey, std::set<Prefix>> is, should;
    const auto held = tunnel.peers();
    for (const auto& p : *held) is[p.public_key] = {p.allowed_ips.begin(), p.allowed_ips.end()};
    for (const auto& p : wanted) should[p.public_key] = {p.allowed_ips.begin(), p.allowed_ips.end()};
    EXPECT_EQ(is, should);
  };
  check({one, two});
  std::swap(one.allowed_ips, two.allowed_ips);
  check({one, two});
  two.allowed_ips.pop_back();
  check({one, two});
  one.allowed_ips = two.allowed_ips;
  check({one});
  std::vector<Peer> many{one};  // more than one request holds
  for (std::uint32_t n = 0; n < 1500; ++n)
    many.push_back(with(0, {Prefix::host(Address::from_v4(0x64500000u + n))}));
  check(many);
  check({one});
  check({});
}

TEST_F(UserspaceTunnelTest, NameHeldInAnotherNamespaceIsTold) {
  open(0);
  hosts_[1].config.interface = hosts_[0].config.interface;
  const auto refused = hosts_[1].space.in([&] { return open_tunnel(hosts_[1].config); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().message().find("another network namespace"), std::string::npos);
}

TEST_F(UserspaceTunnelTest, MissingProgramAndForeignInterfaceAreTold) {
  hosts_[0].config.wireguard_go = "/nonexistent/wireguard-go";
  const auto missing = hosts_[0].space.in([&] { return open_tunnel(hosts_[0].config); });
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("apt-get install"), std::string::npos)
      << missing.error().message();
  hosts_[0].config.interface = "d-under";
  const auto foreign = hosts_[0].space.in([&] { return open_tunnel(hosts_[0].config); });
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message().find("kind 'veth'"), std::string::npos) << foreign.error().message();
  hosts_[0].config.interface = "../evil";
  EXPECT_EQ(hosts_[0].space.in([&] { return open_tunnel(hosts_[0].config); }).error().code,
            ErrorCode::invalid);
}

/// Gives the child what the unit gives the daemon: directories of its own, and CAP_NET_ADMIN (ambient, so
/// that wireguard-go has it too) and nothing else.
bool become_ordinary(const std::filesystem::path& state) {
  constexpr uid_t kNobody = 65534;
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return false;
  if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0 || mkdir("/run/wireguard", 0700) != 0) return false;
  if (mknod("/run/tun", S_IFCHR | 0666, makedev(10, 200)) != 0 || chmod("/run/tun", 0666) != 0) return false;
  if (mount("/run/tun", "/dev/net/tun", nullptr, MS_BIND, nullptr) != 0) return false;
  for (const auto& path : {state.parent_path(), state, std::filesystem::path("/run/wireguard")}) {
    if (chown(path.c_str(), kNobody, kNobody) != 0) return false;
  }
  capng_clear(CAPNG_SELECT_BOTH);
  capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE),
               CAP_NET_ADMIN);
  if (capng_change_id(kNobody, kNobody,
                      static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING)) != 0) {
    return false;
  }
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) == 0;
}

/// The first thing that is refused; "" when nothing is.
std::string use_tunnel(const TunnelConfig& config, const WireguardKey& key, const Peer& peer) {
  auto opened = open_tunnel(config);
  if (!opened) return opened.error().message();
  const auto& tunnel = *opened;
  auto network = open_network();
  if (!network) return network.error().message();
  const unsigned link = tunnel->ifindex();
  std::string refused;
  const auto note = [&](const Result<>& result) {
    if (!result && refused.empty()) refused = result.error().message();
  };
  note(tunnel->set_private_key(key));
  note(tunnel->set_peers({peer}));
  note((*network)->set_up(link, 1420));
  note((*network)->set_addresses(link, {{prefix("100.64.0.1"), false}, {prefix("fd12::1"), true}}));
  note((*network)->set_routes(link, {{prefix("100.64.0.0/10"), address("100.64.0.1")}}));
  const auto sockets = (*network)->connected_sockets({prefix("100.64.0.0/10")});
  if (!sockets && refused.empty()) refused = sockets.error().message();
  const auto restarted = tunnel->supervise();
  if (refused.empty() && (!restarted || *restarted)) refused = "it isn't alive";
  note(tunnel->remove());
  return refused;
}

TEST_F(UserspaceTunnelTest, NeedsNothingButNetAdmin) {
  constexpr int kCantPrepare = 77;
  hosts_[0].space.in([&] {
    const pid_t child = fork();
    if (child == 0) {
      if (!become_ordinary(hosts_[0].config.state_directory)) _exit(kCantPrepare);
      const std::string refused = use_tunnel(hosts_[0].config, hosts_[0].key, peer(1));
      if (!refused.empty()) fmt::print(stderr, "{}\n", refused);
      _exit(refused.empty() && geteuid() != 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == kCantPrepare) GTEST_SKIP() << "may not mount or give up privileges here";
    EXPECT_EQ(WEXITSTATUS(status), 0);
  });
}

}  // namespace tunnel_userspace_test
}  // namespace cordon::node
