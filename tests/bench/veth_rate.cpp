// sender namespace                receiver namespace
//   c-bench-s0  100.64.0.20 ===== 100.64.0.10  c-bench-r0   unfiltered
//   c-bench-s1  100.64.0.20 ===== 100.64.0.10  c-bench-r1   the filter at its end of the pair
//   c-bench-s2  100.64.0.20 ===== 100.64.0.10  c-bench-r2   nftables: conntrack, one set
//   c-bench-s3  100.64.0.20 ===== 100.64.0.10  c-bench-r3   a chain of 1000 rules, the last one matches
#include "tests/bench/veth_rate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>

#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr int kPairs = 4, kTurns = 7;
constexpr unsigned kChainRules = 1000;
constexpr auto kTurn = std::chrono::milliseconds(700);
constexpr unsigned kBatch = 64;
constexpr std::uint16_t kPort = kFirstPort;  // udp of the first class: within % 2 == 1 is port kFirstPort

Result<> shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) return fail(ErrorCode::io, "failed: " + command);
  return {};
}

std::string sender(int i) {
  return fmt::format("c-bench-s{}", i);
}
std::string receiver(int i) {
  return fmt::format("c-bench-r{}", i);
}

/// Moves this thread to a named namespace and back.
class Inside {
 public:
  explicit Inside(const std::string& name)
      : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const node::Descriptor there(::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    ok_ = there && ::setns(there.get(), CLONE_NEWNET) == 0;
  }
  ~Inside() { (void)::setns(before_.get(), CLONE_NEWNET); }
  bool ok() const { return ok_; }

 private:
  node::Descriptor before_;
  bool ok_ = false;
};

class Namespaces {
 public:
  ~Namespaces() { clear(); }
  static void clear() {
    for (int i = 0; i < kPairs; ++i)
      for (const auto& name : {sender(i), receiver(i)})
        (void)std::system(fmt::format("ip netns del {} 2>/dev/null", name).c_str());
  }
  static Result<> make() {
    clear();
    for (int i = 0; i < kPairs; ++i) {
      const std::string s = sender(i), r = receiver(i);
      CORDON_TRY(
          shell(fmt::format("ip netns add {0} && ip netns add {1} && "
                            "ip -n {0} link add c-w type veth peer name c-w netns {1} && "
                            "ip -n {0} addr add 100.64.0.20/24 dev c-w && ip -n {0} link set c-w up && "
                            "ip -n {1} addr add 100.64.0.10/24 dev c-w && ip -n {1} link set c-w up",
                            s, r)));
    }
    return {};
  }
};

Result<> load_nftables(unsigned grants) {
  const std::string path = fmt::format("/tmp/c-bench-{}.nft", ::getpid());
  {
    std::ofstream out(path);
    out << "table inet bench {\n set granted { type ipv4_addr . inet_service; elements = {\n";
    out << fmt::format("100.64.0.20 . {}", kPort);
    for (unsigned i = 1; i < grants; ++i)
      out << fmt::format(",\n{} . {}", other_client(i / kPortsPerClass).to_string(),
                         kFirstPort + i % kPortsPerClass);
    out << " } }\n chain in { type filter hook input priority 0; policy drop;\n"
        << "  ct state established,related accept\n  ip saddr . udp dport @granted accept\n }\n}\n";
  }
  auto loaded = shell(fmt::format("ip netns exec {} nft -f {}", receiver(2), path));
  ::unlink(path.c_str());
  return loaded;
}

/// As people write it without sets: by iptables where it is installed, else by nftables, rule after rule.
Result<std::string> load_chain() {
  const bool iptables = std::system("command -v iptables-restore >/dev/null 2>&1") == 0;
  const std::string path = fmt::format("/tmp/c-bench-{}.chain", ::getpid());
  {
    std::ofstream out(path);
    out << (iptables ? "*filter\n:INPUT DROP [0:0]\n"
                     : "table ip bench {\n chain in { type filter hook input priority 0; policy drop;\n");
    for (unsigned i = 1; i <= kChainRules; ++i) {
      const std::string from = i == kChainRules ? "100.64.0.20" : other_client(i).to_string();
      out << (iptables ? fmt::format("-A INPUT -s {} -p udp --dport {} -j ACCEPT\n", from, kPort)
                       : fmt::format("  ip saddr {} udp dport {} accept\n", from, kPort));
    }
    out << (iptables ? "COMMIT\n" : " }\n}\n");
  }
  auto loaded = shell(
      fmt::format("ip netns exec {} {} {}", receiver(3), iptables ? "iptables-restore" : "nft -f", path));
  ::unlink(path.c_str());
  CORDON_TRY(loaded);
  return std::string(iptables ? "iptables" : "nftables");
}

Result<node::Descriptor> udp_socket() {
  node::Descriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("can't make a socket", errno);
  return fd;
}

sockaddr_in at(const char* text) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(kPort);
  ::inet_pton(AF_INET, text, &out.sin_addr);
  return out;
}

/// A pair of sockets; nobody reads the receiver's, so what is measured is the way to it. veth hands packets
/// over on the sender's CPU: the filter's work is in the sender's time.
struct Pair {
  node::Descriptor from, to;

  static Result<Pair> make(int i) {
    Pair out;
    const sockaddr_in there = at("100.64.0.10");
    const auto* name = reinterpret_cast<const sockaddr*>(&there);
    {
      const Inside inside(receiver(i));
      CORDON_ASSIGN(out.to, udp_socket());
      if (!inside.ok() || ::bind(out.to.get(), name, sizeof there) != 0)
        return fail_errno("can't bind", errno);
    }
    const Inside inside(sender(i));
    CORDON_ASSIGN(out.from, udp_socket());
    if (!inside.ok() || ::connect(out.from.get(), name, sizeof there) != 0)
      return fail_errno("can't connect", errno);
    return out;
  }

  /// Packets per second; an error when the first doesn't arrive.
  Result<double> run() {
    char payload[18] = {};
    char received[18];
    while (::recv(to.get(), received, sizeof received, MSG_DONTWAIT) >= 0) continue;
    (void)::send(from.get(), payload, sizeof payload, 0);
    timeval second{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(to.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (::recv(to.get(), received, sizeof received, 0) < 0) return fail(ErrorCode::io, "no packet arrives");
    iovec part{.iov_base = payload, .iov_len = sizeof payload};
    mmsghdr messages[kBatch] = {};
    for (mmsghdr& m : messages) m.msg_hdr.msg_iov = &part, m.msg_hdr.msg_iovlen = 1;
    std::uint64_t sent = 0;
    const auto start = std::chrono::steady_clock::now();
    auto end = start;
    for (; end - start < kTurn; end = std::chrono::steady_clock::now()) {
      const int n = ::sendmmsg(from.get(), messages, kBatch, 0);
      if (n > 0) sent += static_cast<unsigned>(n);
    }
    return static_cast<double>(sent) / std::chrono::duration<double>(end - start).count();
  }
};

}  // namespace

Result<Rates> measure_veth(node::KernelFilter& filter, unsigned grants) {
  const Namespaces cleanup;
  CORDON_TRY(Namespaces::make());
  CORDON_TRY(load_nftables(grants));
  Rates out;
  CORDON_ASSIGN(out.chain_by, load_chain());
  {
    const Inside inside(receiver(1));
    CORDON_TRY(filter.attach_overlay(::if_nametoindex("c-w")));
  }
  std::vector<Pair> pairs;
  for (int i = 0; i < kPairs; ++i) {
    CORDON_ASSIGN(Pair pair, Pair::make(i));
    pairs.push_back(std::move(pair));
  }
  std::vector<double> rates[kPairs];
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < kPairs; ++i) {
      CORDON_ASSIGN(const double rate, pairs[static_cast<std::size_t>(i)].run());
      rates[i].push_back(rate);
    }
    out.cordon_ratio.push_back(rates[1].back() / rates[0].back());
    out.nftables_ratio.push_back(rates[2].back() / rates[0].back());
  }
  out.unfiltered = sample_of(rates[0]);
  out.cordon = sample_of(rates[1]);
  out.nftables = sample_of(rates[2]);
  out.chain = sample_of(rates[3]);
  return out;
}

}  // namespace cordon::bench
