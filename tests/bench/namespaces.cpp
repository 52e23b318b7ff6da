#include "tests/bench/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <cstdlib>
#include <vector>

#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

void delete_pair(int pair) {
  for (const auto& name : {sender(pair), receiver(pair)})
    (void)std::system(fmt::format("ip netns del {} 2>/dev/null", name).c_str());
}

constexpr const char *kSenderMac = "02:00:00:00:00:01", *kReceiverMac = "02:00:00:00:00:02";

/// Gives `ns` an address on its link, and `other_ns` the way to it: filters of bare IP pass no neighbour
/// discovery.
Result<> give_address(const std::string& ns, const std::string& mac, const std::string& other_ns,
                      const Address& address) {
  return shell(
      fmt::format("ip -n {0} addr add {1}/{2} dev {3} {4} && "
                  "ip -n {5} neigh replace {1} lladdr {6} dev {3} nud permanent",
                  ns, address.to_string(), address.is_v4() ? 24 : 64, kLink, address.is_v4() ? "" : "nodad",
                  other_ns, mac));
}

}  // namespace

Result<> shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) return fail(ErrorCode::io, "failed: " + command);
  return {};
}

Inside::Inside(const std::string& name) : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  const node::Descriptor there(::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
  ok_ = there && ::setns(there.get(), CLONE_NEWNET) == 0;
}

Inside::~Inside() {
  (void)::setns(before_.get(), CLONE_NEWNET);
}

std::string sender(int pair) {
  return fmt::format("c-bench-s{}", pair);
}
std::string receiver(int pair) {
  return fmt::format("c-bench-r{}", pair);
}

Result<Namespaces> Namespaces::make(int pairs, bool overlay) {
  Namespaces made(pairs);
  for (int i = 0; i < pairs; ++i) {
    delete_pair(i);  // of a run that was killed
    const std::string s = sender(i), r = receiver(i);
    CORDON_TRY(shell(
        fmt::format("ip netns add {0} && ip netns add {1} && "
                    "ip -n {0} link add {2} address {3} type veth peer name {2} address {4} netns {1} && "
                    "ip -n {0} link set {2} up && ip -n {1} link set {2} up && ip -n {0} link set lo up",
                    s, r, kLink, kSenderMac, kReceiverMac)));
    // So that pings need no raw socket.
    for (const auto& ns : {s, r})
      CORDON_TRY(shell(fmt::format(
          "nsenter --net=/run/netns/{} sysctl -q -w 'net.ipv4.ping_group_range=0 2147483647'", ns)));
    const Ends outside{Address::from_v4(0xc0000201), Address::from_v4(0xc0000202)};
    for (const Ends& ends : overlay ? std::vector{ends_v4(), ends_v6()} : std::vector{outside}) {
      CORDON_TRY(give_address(s, kSenderMac, r, ends.client));
      CORDON_TRY(give_address(r, kReceiverMac, s, ends.server));
    }
  }
  return made;
}

Namespaces::~Namespaces() {
  for (int i = 0; i < pairs_; ++i) delete_pair(i);
}

}  // namespace cordon::bench
