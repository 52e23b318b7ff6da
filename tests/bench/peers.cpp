#include "tests/bench/peers.h"

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "node/filter/tcx.h"
#include "tests/bench/namespaces.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

/// Runs `command` in the namespace with `text` in a file as its last argument or standard input.
Result<> feed(const std::string& ns, const std::string& command, const std::string& text) {
  const std::string path = fmt::format("/tmp/c-bench-{}.rules", ::getpid());
  std::ofstream(path) << text;
  auto done = shell(fmt::format("nsenter --net=/run/netns/{} {} {}", ns, command, path));
  ::unlink(path.c_str());
  return done;
}

/// An address that sends nothing, for rules that don't match.
Address silent_client(unsigned i, bool v4) {
  if (v4) return other_client(i);
  Address out = ends_v6().client;
  for (unsigned byte = 0; byte < 4; ++byte)
    out.bytes[11 - byte] = static_cast<std::uint8_t>((i + 1) >> 8 * byte);
  return out;
}

}  // namespace

Result<std::vector<node::Descriptor>> attach_empty_program(const std::string& ns, int program_fd) {
  const Inside inside(ns);
  const unsigned ifindex = ::if_nametoindex(kLink);
  std::vector<node::Descriptor> links;
  for (const auto hook : {node::tcx::Hook::ingress, node::tcx::Hook::egress}) {
    links.emplace_back(node::tcx::link_first(program_fd, ifindex, hook));
    if (!inside.ok() || !links.back()) return fail_errno("can't attach the empty program", errno);
  }
  return links;
}

Result<> load_nftables_sets(const std::string& ns, unsigned elements) {
  std::string text = "table inet bench {\n";
  for (const bool v4 : {true, false}) {
    text += fmt::format(" set granted{} {{ type {} . inet_service; elements = {{\n", v4 ? 4 : 6,
                        v4 ? "ipv4_addr" : "ipv6_addr");
    text += fmt::format("{} . {}", (v4 ? ends_v4() : ends_v6()).client.to_string(), kFirstPort);
    for (unsigned i = 1; i < elements; ++i)
      text += fmt::format(",\n{} . {}", silent_client(i / kPortsPerClass, v4).to_string(),
                          kFirstPort + i % kPortsPerClass);
    text += " } }\n";
  }
  text +=
      " chain in { type filter hook input priority 0; policy drop;\n"
      "  ct state established,related accept\n"
      "  ip saddr . udp dport @granted4 accept\n  ip saddr . tcp dport @granted4 accept\n"
      "  ip6 saddr . udp dport @granted6 accept\n  ip6 saddr . tcp dport @granted6 accept\n"
      "  icmp type echo-request accept\n  icmpv6 type echo-request accept\n }\n}\n";
  return feed(ns, "nft -f", text);
}

Result<std::string> load_iptables_chain(const std::string& ns, unsigned rules) {
  for (const bool v4 : {true, false}) {
    std::string text = "*filter\n:INPUT DROP [0:0]\n";
    for (const char* protocol : {"udp", "tcp"}) {
      for (unsigned i = 1; i <= rules; ++i) {
        const Address from = i == rules ? (v4 ? ends_v4() : ends_v6()).client : silent_client(i, v4);
        text += fmt::format("-A INPUT -s {} -p {} --dport {} -j ACCEPT\n", from.to_string(), protocol,
                            kFirstPort);
      }
    }
    text += fmt::format("-A INPUT -p {} -j ACCEPT\nCOMMIT\n", v4 ? "icmp" : "icmpv6");
    CORDON_TRY(feed(ns, v4 ? "iptables-restore" : "ip6tables-restore", text));
  }
  // Which of the two is behind the name is the system's choice; its file's name tells.
  std::error_code error;
  const auto real = std::filesystem::canonical("/usr/sbin/iptables-restore", error);
  return std::string(real.filename().string().contains("legacy") ? "iptables-legacy" : "iptables-nft");
}

}  // namespace cordon::bench
