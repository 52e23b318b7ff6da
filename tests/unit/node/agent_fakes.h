#pragma once
// A filter, a tunnel and a network that remember what they were told, in one list, so that tests see the
// order.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "node/filter/filter.h"
#include "node/netlink/network.h"
#include "node/tunnel/tunnel.h"

namespace cordon::node::test {

using Steps = std::vector<std::string>;

class FakeClock : public Clock {
 public:
  Timestamp now() const override { return now_; }
  BootNs boot_ns() const override { return boot_; }
  void advance(std::chrono::milliseconds by) {
    now_ += by;
    boot_ += static_cast<BootNs>(by.count()) * 1'000'000;
  }
  Timestamp now_{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21}};
  BootNs boot_ = 5'000'000'000;
};

/// A pipe that nobody writes to unless the test does.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
  }
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  int readable() const { return ends_[0]; }
  void poke() const {
    if (::write(ends_[1], "x", 1) != 1) std::abort();
  }
  void drain() const {
    char buffer[64];
    while (::read(ends_[0], buffer, sizeof buffer) > 0) {
    }
  }

 private:
  int ends_[2] = {-1, -1};
};

class FakeFilter : public Filter {
 public:
  explicit FakeFilter(Steps& steps) : steps_(steps) {}
  Result<> attach_overlay(unsigned ifindex) override {
    return step("filter.attach_overlay " + std::to_string(ifindex));
  }
  Result<> attach_underlay(const std::vector<unsigned>& indexes) override {
    underlay = indexes;
    return underlay_broken ? fail(ErrorCode::io, "no such device") : Result<>{};
  }
  Result<ApplyReport> replace(const policy::NodeState& wanted, const TimeBase&) override {
    if (while_replacing) while_replacing();
    CORDON_TRY(step("filter.replace"));
    held = wanted;
    return ApplyReport{.written = wanted.entries.size(), .epoch_raised = cuts, .verified = verified};
  }
  Result<ApplyReport> update(const policy::NodeState& before, const std::vector<policy::Change>& changes,
                             const TimeBase&, bool raise_epoch) override {
    CORDON_TRY(step(raise_epoch ? "filter.update epoch" : "filter.update"));
    held = before;
    policy::apply(held, changes);
    return ApplyReport{.written = changes.size(), .epoch_raised = raise_epoch, .verified = verified};
  }
  Result<> confirm(BootNs at) override {
    confirmed = at;
    return step("filter.confirm");
  }
  Result<> set_peers(const std::vector<Endpoint>& endpoints) override {
    ends = endpoints;
    return ends_broken ? fail(ErrorCode::exhausted, "there is no room") : Result<>{};
  }
  Result<> set_controllers(const std::vector<Endpoint>& endpoints) override {
    controllers = endpoints;
    return {};
  }
  Result<> set_people(const std::vector<UidRange>& ranges, const policy::NodeState&) override {
    people = ranges;
    return step("filter.people");
  }
  Result<> set_subnets(const Subnets& now) override {
    if (now == subnets) return {};
    subnets = now;
    return step("filter.subnets");
  }
  Result<> set_networks(const std::vector<Prefix>& own) override {
    networks = own;
    return {};
  }
  bool meets_overlay() const override { return !networks.empty(); }
  bool contained() const override { return held.settings() != nullptr && held.settings()->isolated; }
  bool adopted() const override { return false; }
  int events_fd() const override { return pipe.readable(); }
  void take_events(const std::function<void(const FlowEvent&)>& sink) override {
    // As the real one: what is left keeps the descriptor readable.
    const auto end = events.begin() + static_cast<std::ptrdiff_t>(std::min(events.size(), events_at_once));
    std::for_each(events.begin(), end, sink);
    events.erase(events.begin(), end);
    if (events.empty()) pipe.drain();
  }
  std::uint64_t events_lost() const override { return 0; }
  Result<std::map<std::string, Counter>> drop_counters() const override {
    return std::map<std::string, Counter>{{"no grant", {.packets = 7, .bytes = 700}}};
  }
  Result<std::map<RuleId, Counter>> rule_counters() const override { return std::map<RuleId, Counter>{}; }
  Result<std::map<Address, BootNs>> last_packets(const std::set<Address>& of) const override {
    ++asked_for_packets;
    if (packets_broken) return fail(ErrorCode::io, "no such map");
    std::map<Address, BootNs> out;
    for (const auto& [address, at] : packets)
      if (of.contains(address)) out.emplace(address, at);
    return out;
  }
  std::vector<std::string> check() override { return wrong; }
  Result<> remove_all() override { return step("filter.remove_all"); }

  policy::NodeState held;
  std::vector<unsigned> underlay;
  std::vector<Prefix> networks;
  std::vector<Endpoint> ends, controllers;
  bool ends_broken = false;
  std::vector<UidRange> people;
  Subnets subnets;
  std::vector<FlowEvent> events;
  std::size_t events_at_once = SIZE_MAX;
  std::map<Address, BootNs> packets;
  mutable int asked_for_packets = 0;
  bool packets_broken = false;
  std::vector<std::string> wrong;
  BootNs confirmed = 0;
  bool cuts = false;  ///< whole states take something away
  std::function<void()> while_replacing;
  bool verified = true, underlay_broken = false;
  std::string fail_at;  ///< the step that fails from now on
  Pipe pipe;

 private:
  Result<> step(const std::string& name) {
    steps_.push_back(name);
    if (!fail_at.empty() && name.starts_with(fail_at)) return fail(ErrorCode::exhausted, "the map is full");
    return {};
  }
  Steps& steps_;
};

class FakeTunnel : public Tunnel {
 public:
  explicit FakeTunnel(Steps& steps) : steps_(steps) {}
  Backend backend() const override { return Backend::userspace; }
  unsigned ifindex() const override { return index; }
  Result<> set_private_key(const WireguardKey&) override {
    steps_.push_back("tunnel.key");
    return {};
  }
  Result<> turn_private_key(const WireguardKey& key, const PresharedByPeer& keys) override {
    steps_.push_back("tunnel.turn");
    if (broken) return fail(ErrorCode::io, "the tunnel is gone");
    private_key = key;
    preshared = keys;
    return {};
  }
  Result<> set_peers(const std::vector<Peer>& wanted) override {
    std::string ips;
    for (const Peer& peer : wanted) {
      ips += " [";
      for (const Prefix& prefix : peer.allowed_ips) ips += fmt::format("{} ", prefix.address.to_string());
      if (peer.endpoint) ips += fmt::format("@{}", peer.endpoint->to_string());
      ips += "]";
    }
    steps_.push_back(fmt::format("tunnel.peers{}", ips));
    if (broken) return fail(ErrorCode::io, "the tunnel is gone");
    held = wanted;
    return {};
  }
  Result<> move_allowed_ips(const std::vector<Peer>& to) override {
    steps_.push_back("tunnel.move");
    if (broken) return fail(ErrorCode::io, "the tunnel is gone");
    for (const Peer& peer : to)
      for (Peer& other : held)
        other.allowed_ips = other.public_key == peer.public_key ? peer.allowed_ips : std::vector<Prefix>{};
    return {};
  }
  Result<std::vector<PeerStatus>> peers() const override {
    std::vector<PeerStatus> out;
    for (const Peer& peer : held)
      out.push_back(
          {.public_key = peer.public_key,
           .endpoint = peer.endpoint,
           .handshake_age = silent.contains(peer.public_key) ? std::nullopt : std::optional(Seconds{3})});
    return out;
  }
  Result<bool> supervise() override { return std::exchange(died, false); }
  Result<> remove() override { return {}; }

  unsigned index = 42;
  std::vector<Peer> held;
  std::set<WireguardKey> silent;  ///< peers that nothing was heard of
  WireguardKey private_key{};
  PresharedByPeer preshared;
  bool broken = false, died = false;

 private:
  Steps& steps_;
};

class FakeNetwork : public Network {
 public:
  explicit FakeNetwork(Steps& steps) : steps_(steps) {}
  Result<std::vector<Link>> links() const override { return all; }
  Result<> set_up(unsigned, std::uint32_t mtu_bytes) override {
    mtu = mtu_bytes;
    return {};
  }
  Result<> set_addresses(unsigned, const std::vector<OwnAddress>& wanted) override {
    std::string text;
    for (const auto& address : wanted)
      text += fmt::format(" {}{}", address.prefix.address.to_string(), address.deprecated ? "~" : "");
    steps_.push_back(fmt::format("network.addresses{}", text));
    addresses = wanted;
    return {};
  }
  Result<std::vector<Prefix>> own_networks(unsigned) const override { return networks; }
  Result<> set_routes(unsigned, const std::vector<Route>& wanted) override {
    std::string text;
    for (const auto& route : wanted)
      text += fmt::format(" {} src {}", route.destination.to_string(), route.source.to_string());
    steps_.push_back(fmt::format("network.routes{}", text));
    if (routes_broken) return fail(ErrorCode::io, "no such route");
    if (wanted != routes || tampered.exchange(false)) ++written_;
    routes = wanted;
    return {};
  }
  Result<> set_people(unsigned, const PeopleRouting& wanted) override {
    std::string text;
    for (const auto& session : wanted.sessions)
      text += fmt::format(" {} {} {}", session.uid, session.v4.to_string(), session.v6.to_string());
    steps_.push_back(fmt::format("network.people{}", text));
    if (routes_broken) return fail(ErrorCode::io, "no such rule");
    people = wanted;
    return {};
  }
  Result<> set_last_routes(std::string_view interface, const std::vector<Prefix>& wanted) override {
    std::string text;
    for (const Prefix& to : wanted) text += " " + to.to_string();
    steps_.push_back(fmt::format("network.last_routes {}{}", interface, text));
    if (last_routes_fail) return fail(ErrorCode::unavailable, "the fake network has no such routes");
    return {};
  }
  Result<> remove_routing(std::string_view) override { return {}; }
  Result<std::uint32_t> route_mtu(const Address&) const override { return underlay_mtu; }
  std::uint64_t written() const override { return written_; }
  Result<std::vector<HostSocket>> connected_sockets(const std::vector<Prefix>&) const override {
    return sockets;
  }
  Result<std::size_t> destroy(const std::vector<HostSocket>& which) override {
    for (const HostSocket& socket : which)
      steps_.push_back(
          fmt::format("network.destroy {} to {}", socket.local.to_string(), socket.remote.to_string()));
    return which.size();
  }
  int monitor_fd() const override { return pipe.readable(); }
  NetworkChanges drain() override {
    pipe.drain();
    return {.any = true, .links = true, .links_here = {}};
  }

  std::vector<Link> all{{.index = 1, .name = "lo", .up = true, .loopback = true},
                        {.index = 2, .name = "eth0", .up = true},
                        {.index = 3, .name = "eth1"},
                        {.index = 42, .name = "cdn-cordon"}};
  std::vector<Prefix> networks;  ///< this host's own
  bool last_routes_fail = false;
  std::vector<OwnAddress> addresses;
  std::vector<HostSocket> sockets;
  std::vector<Route> routes;
  PeopleRouting people;
  std::uint32_t mtu = 0, underlay_mtu = 1500;
  bool routes_broken = false;
  std::atomic<bool> tampered = false;  ///< somebody else changed the routes
  Pipe pipe;

 private:
  Steps& steps_;
  std::uint64_t written_ = 0;
};

}  // namespace cordon::node::test
