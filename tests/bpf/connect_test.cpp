// The connect hook: a denial is told at once (DATAPATH.md, "Denied is told, not hung").

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <utility>

#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace connect_test {

std::filesystem::path cgroup2_mount() {
  std::ifstream mounts("/proc/mounts");
  std::string device, path, type, rest;
  while (mounts >> device >> path >> type && std::getline(mounts, rest))
    if (type == "cgroup2") return path;
  return {};
}

class ConnectTest : public FilterTest {
 protected:
  void SetUp() override {
    const auto mount = cgroup2_mount();
    if (mount.empty()) GTEST_SKIP() << "no cgroup2 is mounted";
    cgroup_ = mount / ("cordon-test-" + std::to_string(::getpid()));
    std::filesystem::create_directory(cgroup_);
    node::FilterConfig config = config_at(pins_);
    config.cgroup = cgroup_;
    filter_.reset();
    auto filter = node::KernelFilter::open(config);
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
    for (const Hosts& hosts : {kV4, kV6}) {
      add_principal(hosts.client, 1);
      add_target(hosts.server, 1);
    }
    settings().v4 = address(kV4.client);
    settings().v6 = address(kV6.client);
    add_grant({.port = 5432, .direction = policy::Direction::egress, .rule = 1});
    add_grant({.protocol = policy::kUdp, .port = 53, .direction = policy::Direction::egress, .rule = 2});
    write();
  }
  void TearDown() override {
    if (cgroup_.empty()) return;
    EXPECT_TRUE(filter_->remove_all());
    filter_.reset();
    ::rmdir(cgroup_.c_str());
  }

  /// errno of connect() by a process in the cgroup; 0: it was let through.
  int connect_to(const Address& address, std::uint16_t port, int type = SOCK_STREAM, bool mapped = false,
                 bool other_namespace = false) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (other_namespace && ::unshare(CLONE_NEWNET) != 0) ::_exit(250);
      std::ofstream(cgroup_ / "cgroup.procs") << ::getpid() << std::flush;
      ::_exit(try_connect(address, port, type, mapped));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  static int try_connect(const Address& address, std::uint16_t port, int type, bool mapped) {
    const bool as_v4 = address.is_v4() && !mapped;
    const int fd = ::socket(as_v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK, 0);
    sockaddr_in to4{};
    sockaddr_in6 to6{};
    to4.sin_family = AF_INET, to6.sin6_family = AF_INET6;
    to4.sin_port = to6.sin6_port = htons(port);
    to4.sin_addr.s_addr = address.is_v4() ? htonl(address.v4_host_order()) : 0;
    std::copy(address.bytes.begin(), address.bytes.end(), to6.sin6_addr.s6_addr);
    const int result = as_v4 ? ::connect(fd, reinterpret_cast<sockaddr*>(&to4), sizeof to4)
                             : ::connect(fd, reinterpret_cast<sockaddr*>(&to6), sizeof to6);
    const int error = result == 0 ? 0 : errno;
    ::close(fd);
    return error;
  }
  bool refused(int error) const { return error == EHOSTUNREACH; }
  /// Counted since this was asked last.
  std::uint64_t denials() {
    const auto counters = filter_->drop_counters().value();
    std::uint64_t all = 0;
    for (const auto& [reason, counter] : counters) all += counter.packets;
    return all - std::exchange(denials_, all);
  }

  NetSandbox net_;
  std::filesystem::path cgroup_, hosts_file_;
  std::uint64_t denials_ = 0;
};

TEST_F(ConnectTest, DeniedIsToldAtOnceAndGrantedIsNot) {
  for (const Hosts& hosts : {kV4, kV6}) {
    const Address server = address(hosts.server);
    EXPECT_TRUE(refused(connect_to(server, 5433)));
    EXPECT_TRUE(refused(connect_to(address(hosts.stranger), 5432)));  // ours, but nobody's
    EXPECT_FALSE(refused(connect_to(server, 5432)));
    EXPECT_FALSE(refused(connect_to(server, 53, SOCK_DGRAM)));
  }
  EXPECT_GE(filter_->drop_counters().value().at("no grant").packets, 2u);
  EXPECT_GE(filter_->drop_counters().value().at("unknown target").packets, 2u);
}

TEST_F(ConnectTest, ADatagramSocketIsToldTooWhereThePortIsGrantedOverNothing) {
  add_grant({.protocol = policy::kSctp, .port = 2905, .direction = policy::Direction::egress, .rule = 3});
  add_grant({.port = 6000, .direction = policy::Direction::egress, .rule = 4, .deny = true});
  update();
  for (const Hosts& hosts : {kV4, kV6}) {
    const Address server = address(hosts.server);
    for (const std::uint16_t port : {53, 5432, 2905})
      EXPECT_FALSE(refused(connect_to(server, port, SOCK_DGRAM)))
          << "granted over UDP, TCP or SCTP: " << port;
    EXPECT_EQ(denials(), 0u);
    EXPECT_TRUE(refused(connect_to(server, 5433, SOCK_DGRAM)));
    EXPECT_TRUE(refused(connect_to(server, 6000, SOCK_DGRAM))) << "forbidden";
    EXPECT_TRUE(refused(connect_to(address(hosts.stranger), 53, SOCK_DGRAM))) << "ours, but nobody's";
    EXPECT_EQ(denials(), 3u);
    const auto seen = events();
    ASSERT_EQ(seen.size(), 3u) << "as TCP's are";
    EXPECT_EQ(seen[0].source, address(hosts.client));
    EXPECT_EQ(seen[0].destination, server);
    EXPECT_EQ(seen[0].protocol, policy::kUdp);
    EXPECT_EQ(seen[0].destination_port, 5433);
    EXPECT_EQ(seen[0].reason, "no grant");
    EXPECT_EQ(seen[2].reason, "unknown target");
  }
  EXPECT_TRUE(refused(connect_to(address(kV4.server), 5433, SOCK_DGRAM, true)));
  EXPECT_FALSE(refused(connect_to(address(kV4.server), 5432, SOCK_DGRAM, true)));
}

// iputils' ping asks by udp/1025 which source it would have.
TEST_F(ConnectTest, PingsQuestionIsAnsweredAsItsEchoRequestWouldBe) {
  for (const Hosts& hosts : {kV4, kV6}) {
    EXPECT_TRUE(refused(connect_to(address(hosts.server), 1025, SOCK_DGRAM)));
    EXPECT_EQ(denials(), 1u);
  }
  for (const auto& [protocol, type] : {std::pair{policy::kIcmp, 8}, std::pair{policy::kIcmpv6, 128}})
    add_grant({.protocol = protocol,
               .port = static_cast<std::uint16_t>(type),
               .direction = policy::Direction::egress,
               .rule = 3});
  update();
  for (const Hosts& hosts : {kV4, kV6}) {
    EXPECT_FALSE(refused(connect_to(address(hosts.server), 1025, SOCK_DGRAM)));
    EXPECT_TRUE(refused(connect_to(address(hosts.server), 1026, SOCK_DGRAM)));
    EXPECT_EQ(denials(), 1u);
  }
}

// Resolvers ask which of a name's addresses there is a way to, by ports that mean nothing.
TEST_F(ConnectTest, AQuestionForAWayFailsWhereNoPortWouldHelpAndIsNoDenial) {
  for (const std::uint16_t port : {0, 9, 65535})
    for (const Hosts& hosts : {kV4, kV6}) {
      EXPECT_FALSE(refused(connect_to(address(hosts.server), port, SOCK_DGRAM))) << port;
      EXPECT_TRUE(refused(connect_to(address(hosts.stranger), port, SOCK_DGRAM))) << port;
    }
  principal(kV4.client).isolated = true;
  update();
  EXPECT_TRUE(refused(connect_to(address(kV4.server), 0, SOCK_DGRAM))) << "who may nothing has no way";
  EXPECT_EQ(denials(), 0u);
  EXPECT_TRUE(events().empty());
}

// What glibc does before it returns: psql and ssh ask by a name and a service.
TEST_F(ConnectTest, NamesAreSortedByWhatIsGranted) {
  // A literal has one address, which is not asked about; sorting needs two.
  const auto first_of = [&](const char* service) {
    int pipes[2];
    if (::pipe(pipes) != 0) return std::string("no pipe");
    const pid_t child = ::fork();
    if (child == 0) {
      std::ofstream(cgroup_ / "cgroup.procs") << ::getpid() << std::flush;
      if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount(hosts_file_.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) != 0)
        ::_exit(250);
      addrinfo hints{}, *found = nullptr;
      hints.ai_socktype = SOCK_STREAM;
      char text[64] = "nothing";
      if (::getaddrinfo("two.example", service, &hints, &found) == 0)
        ::getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
      (void)!::write(pipes[1], text, sizeof text);
      ::_exit(0);
    }
    ::close(pipes[1]);
    char text[64] = "";
    (void)!::read(pipes[0], text, sizeof text);
    ::close(pipes[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return std::string(text);
  };
  net_.make_veth("c-a", "c-b");
  shell("ip addr add 100.64.0.20/10 dev c-a");
  hosts_file_ = "/tmp/cordon-hosts-" + std::to_string(::getpid());
  std::ofstream(hosts_file_) << kV4.other << " two.example\n" << kV4.server << " two.example\n";
  add_target(kV4.other, 2);
  update();
  EXPECT_EQ(first_of(nullptr), kV4.other)
      << "there is a way to both: in the order of the file";
  EXPECT_EQ(first_of("5432"), kV4.server) << "tcp/5432 is granted there alone";
  std::filesystem::remove(hosts_file_);
}

// Nothing is sent and nothing waited for: it takes as long as a refusal of the kernel's own, and no
// millisecond more.
TEST_F(ConnectTest, ADenialIsToldWithinAMillisecond) {
  struct Medians {
    std::chrono::nanoseconds hook, kernel;
  };
  void* shared = ::mmap(nullptr, sizeof(Medians), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  const auto median = [](const Address& to, int wanted) {
    std::array<std::chrono::nanoseconds, 201> took{};
    for (auto& each : took) {
      const auto begun = std::chrono::steady_clock::now();
      if (try_connect(to, 5433, SOCK_STREAM, false) != wanted) ::_exit(251);
      each = std::chrono::steady_clock::now() - begun;
    }
    std::ranges::nth_element(took, took.begin() + took.size() / 2);
    return took[took.size() / 2];
  };
  const pid_t child = ::fork();
  if (child == 0) {
    std::ofstream(cgroup_ / "cgroup.procs") << ::getpid() << std::flush;
    *static_cast<Medians*>(shared) = {.hook = median(address(kV4.server), EHOSTUNREACH),
                                      .kernel = median(address("255.255.255.255"), ENETUNREACH)};
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const Medians medians = *static_cast<Medians*>(shared);
  ::munmap(shared, sizeof(Medians));
  ASSERT_EQ(status, 0);
  EXPECT_GT(medians.hook.count(), 0);
  EXPECT_LT(medians.hook, medians.kernel + std::chrono::milliseconds(1)) << medians.kernel.count() << " ns";
}

TEST_F(ConnectTest, MappedSocketsAreIpv4) {
  EXPECT_TRUE(refused(connect_to(address(kV4.server), 5433, SOCK_STREAM, true)));
  EXPECT_FALSE(refused(connect_to(address(kV4.server), 5432, SOCK_STREAM, true)));
}

// An isolated host drops what goes around the overlay; TCP would try for minutes.
TEST_F(ConnectTest, WhatContainmentDropsIsToldAtOnce) {
  const Address far = address("203.0.113.20"), own = address("203.0.113.10");
  net_.make_veth("c-a", "c-b");
  shell("ip addr add 203.0.113.10/24 dev c-a");
  EXPECT_FALSE(refused(connect_to(far, 443)));
  settings().isolated = true;
  write();
  EXPECT_TRUE(refused(connect_to(far, 443)));
  EXPECT_TRUE(refused(connect_to(far, 443, SOCK_STREAM, true)));
  EXPECT_TRUE(refused(connect_to(address("2001:db8::20"), 443)));
  EXPECT_GE(filter_->drop_counters().value().at("host isolated").packets, 3u);
  const auto seen = events();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().reason, "host isolated");
  EXPECT_EQ(seen.back().destination, address("2001:db8::20"));
  EXPECT_EQ(seen.back().destination_port, 443);
  // Controllers on their port, this host itself, containers (their packets meet the guard), datagrams.
  const Address controller = address("198.51.100.1");
  EXPECT_EQ(connect_to(controller, 7443), ENETUNREACH);
  EXPECT_TRUE(refused(connect_to(controller, 7444)));
  for (const char* loopback : {"127.0.0.1", "::1", "0.0.0.0", "::"})
    EXPECT_FALSE(refused(connect_to(address(loopback), 9))) << loopback;
  EXPECT_EQ(connect_to(far, 443, SOCK_STREAM, false, true), ENETUNREACH);
  EXPECT_EQ(connect_to(far, 443, SOCK_DGRAM), 0);
  EXPECT_TRUE(refused(connect_to(own, 443))) << "nobody listens there";
  const node::Descriptor listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(443);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_FALSE(refused(connect_to(own, 443)));
  settings().isolated = false;
  write();
  EXPECT_FALSE(refused(connect_to(far, 444)));
}

TEST_F(ConnectTest, OtherDestinationsAndOtherNamespacesAreLeftAlone) {
  EXPECT_EQ(connect_to(address("127.0.0.1"), 9, SOCK_DGRAM), 0);
  // A container's own network has nothing to do with the host's overlay.
  EXPECT_EQ(connect_to(address(kV4.server), 5433, SOCK_DGRAM, false, true), ENETUNREACH);
}

}  // namespace connect_test
}  // namespace cordon::test
