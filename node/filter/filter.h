#pragma once
// The node's hold on the kernel's filter: loads or adopts it, plans the difference between what the maps hold
// and what is wanted, writes it in the safe order (DATAPATH.md, "Writing the maps"), reads facts back.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "base/uids.h"
#include "policy/node_state.h"

namespace cordon::node {

/// Capacity of the maps that node.toml may set (DATAPATH.md has the defaults).
struct MapSizes {
  std::uint32_t principals = 1u << 20;
  std::uint32_t targets = 1u << 16;
  std::uint32_t grants = 1u << 21;
  std::uint32_t grant_ranges = 1u << 16;
  std::uint32_t flows = 1u << 18;
  std::uint32_t rule_counters = 1u << 14;
  std::uint32_t events_bytes = 4u << 20;
};

struct FilterConfig {
  std::filesystem::path pin_directory;  ///< /sys/fs/bpf/cordon/<instance>, owned by the daemon's user
  /// Where the connect hook and an isolated host's guard at the sockets are attached (cgroup2); empty:
  /// neither.
  std::filesystem::path cgroup;
  /// At boot: sockets are guarded in every mode, until the daemon has attached the guard to the interfaces.
  bool guard_sockets = false;
  MapSizes sizes;
  std::vector<Prefix> underlay_allow;  ///< sources that the underlay guard always passes ([underlay] allow)
  std::uint16_t wireguard_port = 0;    ///< UDP, always passed by the guard
  std::vector<Endpoint> controllers;   ///< the guard always passes what they send over the links to them
  std::vector<UidRange> people;  ///< uids that have no overlay without a session; the rest are the device
};

/// Subnets outside the overlay that a gateway stands before; those of `behind` and `routed` have nothing in
/// common.
struct Subnets {
  std::vector<Prefix> behind;  ///< this host, a declared gateway: it forwards what is granted there
  std::vector<Prefix> own;     ///< this host's own places in those, which nobody is granted a way to
  std::vector<Prefix> routed;  ///< behind others: this host's way there is the overlay
  bool operator==(const Subnets&) const = default;
};

struct FlowEvent {
  enum class Kind { opened, denied, closed, underlay } kind = Kind::opened;
  BootNs at = 0;
  Address source, destination;
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  RuleId rule;
  std::string reason;  ///< stable name from ebpf/abi.h, "" when opened
  policy::Direction direction = policy::Direction::ingress;
  std::uint64_t packets = 0, bytes = 0, suppressed = 0;
};

struct Counter {
  std::uint64_t packets = 0, bytes = 0;
};

/// What an apply did, for the log and for receipts.
struct ApplyReport {
  std::size_t written = 0, removed = 0;
  bool epoch_raised = false;
  /// Every key that this apply touched was read back from the kernel and equals what was wanted.
  bool verified = false;
};

class Filter {
 public:
  virtual ~Filter() = default;

  /// Attaches the verdict program to both directions of the overlay interface, first in its chain; adopts
  /// what is pinned and attached already. Again after the interface was made anew.
  virtual Result<> attach_overlay(unsigned ifindex) = 0;
  /// Attaches the underlay guard to exactly these interfaces; the rest are let go.
  virtual Result<> attach_underlay(const std::vector<unsigned>& ifindexes) = 0;

  /// Makes the kernel hold exactly `wanted`: reads what the maps hold, writes the difference. For whole
  /// states and after a restart. On a failure, also for want of room, what `wanted` takes away is gone all
  /// the same where the kernel lets it go, what it adds is not there, and the error says why.
  virtual Result<ApplyReport> replace(const policy::NodeState& wanted, const TimeBase& base) = 0;
  /// Applies `changes` (as policy::difference gives them) on a kernel that holds `before`; costs in
  /// proportion to the changes. `raise_epoch`: the controller asked for it (a tombstone); what takes access
  /// away raises it anyway.
  virtual Result<ApplyReport> update(const policy::NodeState& before,
                                     const std::vector<policy::Change>& changes, const TimeBase& base,
                                     bool raise_epoch) = 0;
  /// Renews leases: they run from `confirmed`.
  virtual Result<> confirm(BootNs confirmed) = 0;
  /// Where the tunnel's peers are reached: while this host is isolated, WireGuard's data goes to and comes
  /// from these alone; handshakes that others begin are heard and answered.
  virtual Result<> set_peers(const std::vector<Endpoint>&) { return {}; }
  /// In place of FilterConfig::controllers. Nobody who stays is shut out in between.
  virtual Result<> set_controllers(const std::vector<Endpoint>&) { return {}; }
  /// What there is of subnets behind gateways, in place of what was told before, by an earlier process too.
  virtual Result<> set_subnets(const Subnets&) { return {}; }
  /// In place of FilterConfig::people, for a kernel that holds `held`.
  virtual Result<> set_people(const std::vector<UidRange>&, const policy::NodeState&) { return {}; }
  /// True while this host is isolated, by what the kernel holds.
  virtual bool contained() const { return false; }
  /// True when a state of an earlier process decided at start (the daemon should not clear it).
  virtual bool adopted() const = 0;

  /// A file descriptor that is readable when events wait, and the call that takes them: not all of very many.
  virtual int events_fd() const = 0;
  virtual void take_events(const std::function<void(const FlowEvent&)>& sink) = 0;
  virtual std::uint64_t events_lost() const = 0;

  virtual Result<std::map<std::string, Counter>> drop_counters() const = 0;  ///< by reason name
  virtual Result<std::map<RuleId, Counter>> rule_counters() const = 0;
  /// When the last packet, of either direction, of a flow that one of these began was seen; without those
  /// that have no flow.
  virtual Result<std::map<Address, BootNs>> last_packets(const std::set<Address>& of) const = 0;

  /// Are the programs attached, first in their chains, and the pins there? Restores what is missing; each
  /// thing found wrong is one line. To be called once a second.
  virtual std::vector<std::string> check() = 0;
  /// Takes everything away: programs, pins, maps. Only for `cordon-node --uninstall` and the lab's `down`.
  virtual Result<> remove_all() = 0;

  /// This host's own networks outside the overlay; what an earlier process told holds until then.
  virtual Result<> set_networks(const std::vector<Prefix>&) { return {}; }
  /// Do they, or a controller, lie in the overlay's prefix? Then there, of what comes and goes outside the
  /// overlay, only the addresses that the state names are kept from passing.
  virtual bool meets_overlay() const { return false; }
};

/// Loads the programs (or adopts the pinned ones). Needs CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN; an error says
/// which is missing.
Result<std::unique_ptr<Filter>> open_filter(const FilterConfig& config);

}  // namespace cordon::node
