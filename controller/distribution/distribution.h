#pragma once
// Node sessions: who is connected, what each was sent and has acked, receipts. On the controller's strand.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/shared_map.h"
#include "base/time.h"
#include "controller/log/record.h"

namespace cordon::controller {

struct PacketCount {
  std::uint64_t packets = 0, bytes = 0;
};

struct NodeStatus {
  DeviceId device;
  bool connected = false;
  std::string version;
  std::optional<Endpoint> seen_from;
  Revision acked;  ///< it enforces this revision or a later one that didn't concern it
  Timestamp last_heartbeat{};
  Timestamp leases_end{};  ///< when its leases will have run out if it stays away
  std::string last_nack;
  std::vector<std::string> alarms;
  std::map<std::string, std::uint64_t> counters;
  std::map<RuleId, PacketCount> rules;         ///< since its filter was loaded
  std::map<std::string, PacketCount> reasons;  ///< the same; names as in ebpf/abi_reasons.h
  // As its last Hello told, kept while it is away:
  std::optional<std::set<std::string>> features;   ///< none: it hasn't connected yet
  std::map<std::string, std::uint64_t> map_sizes;  ///< entries by map (I11)
  std::vector<Prefix> gateway_subnets;             ///< that it forwards to; empty: it is no gateway
};

/// One node's part in a revision.
struct ReceiptStatus {
  DeviceId device;
  bool acked = false;
  bool self = false;           ///< the isolated host's own word: shown, never counted
  std::int64_t after_us = -1;  ///< from the record's commit to the ack
  Timestamp leases_end{};      ///< of a node that hasn't answered
  std::string nack;
  Bytes receipt_signature;
};

class Distribution {
 public:
  virtual ~Distribution() = default;
  virtual std::vector<NodeStatus> nodes() const = 0;
  /// What the nodes that connected since the start told of themselves: a copy to be looked through beside the
  /// strand, at little cost. `acked` is as of their last ack.
  using Told = SharedMap<DeviceId, NodeStatus>;
  virtual Told told() const = 0;
  /// Which nodes a revision concerns and where each stands.
  virtual std::vector<ReceiptStatus> receipts(Revision revision) const = 0;
  /// Calls back when every connected node concerned has acked or nacked, or after `timeout`.
  virtual void wait_for(Revision revision, Seconds timeout,
                        std::function<void(std::vector<ReceiptStatus>)> done) = 0;
};

}  // namespace cordon::controller
