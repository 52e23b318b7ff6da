#pragma once
// The flows that this node saw of late, with the names that their ends had then: what its own people are
// shown, also when no controller is there.

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "node/filter/filter.h"

namespace cordon::node {

struct SeenFlow {
  std::uint64_t id = 0;  ///< from 1 in each run of the daemon
  Timestamp at{};
  FlowEvent event;
  std::string source_device, destination_device, rule;
  std::string person;  ///< of a session on this device: the only people whose names a node knows
  std::optional<std::uint32_t> uid;  ///< whose session began it; none: somebody else's, or the device's own
};

class FlowHistory {
 public:
  /// `run` tells one run of the daemon from another.
  explicit FlowHistory(std::uint64_t run, std::size_t most = 8192) : run_(run), most_(most) {}

  /// `version` of the state grows whenever it changes.
  void add(const FlowEvent& event, Timestamp at, const policy::NodeState& state, std::uint64_t version,
           BootNs now);

  struct Page {
    std::vector<const SeenFlow*> flows;  ///< until the next add()
    std::uint64_t last = 0;              ///< up to here all was looked at
    std::uint64_t missed = 0;            ///< went by before they were asked for
  };
  /// Behind `id`, the oldest first. `of`: only what that user's sessions began, and nothing of what else
  /// there was.
  Page after(std::uint64_t id, std::size_t limit, std::optional<std::uint32_t> of) const;
  std::uint64_t run() const { return run_; }

 private:
  struct Owner {
    std::string device, person;
    std::optional<std::uint32_t> uid;
  };
  const Owner* owner_of(const Address& address, const policy::NodeState& state, std::uint64_t version,
                        BootNs now);
  void read_owners(const policy::NodeState& state);

  const std::uint64_t run_;
  const std::size_t most_;
  std::deque<SeenFlow> flows_;
  std::uint64_t next_ = 1;
  std::unordered_map<Address, Owner> owners_;
  std::uint64_t owners_of_ = 0;  ///< the version they were read from
  BootNs owners_at_ = 0;
};

}  // namespace cordon::node
