#pragma once
// What one node holds and what it is still to be told. Changes coalesce per key, so a node that falls behind
// costs at most one entry a key.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/ids.h"
#include "policy/node_delta.h"
#include "policy/node_state.h"

namespace cordon::controller {

class Outbox {
 public:
  /// One key as it travels.
  struct Out {
    policy::Key key;
    std::optional<policy::Value> value;  ///< none: removed
    bool was_removed = false;            ///< a tombstone: what stands here now isn't what stood here before
    std::uint64_t generation = 0;
  };
  enum class Which {
    urgent,  ///< removals, what takes access away, and what a class needs that a principal moves to
    ready,   ///< all but what the source of new flows gets last
    all,
  };

  /// The node holds `state` now; nothing is pending.
  void reset(const policy::NodeState& state);
  struct Added {
    bool takes_away = false;  ///< some change takes access away
    bool overtaken =
        false;  ///< some change undid what the node was never told, so it won't be told of either
  };
  Added add(const policy::NodeDelta& delta, Revision revision);

  bool empty() const { return pending_.empty(); }
  bool has(Which which) const;
  /// What is pending, and then held by the node: taken out. Removals first, each by key.
  std::vector<Out> take(Which which);
  /// The last revision of which nothing is pending any more, given that `newest` was added.
  Revision complete(Revision newest) const;

  bool concerns(const policy::Key& key) const {
    return held_.entries.contains(key) || pending_.contains(key);
  }
  const policy::NodeState& held() const { return held_; }
  const SetDigest& digest() const { return digest_; }
  /// All that the node holds once it has what was taken; `tombstones` mark keys that were something else
  /// before.
  std::vector<Out> whole(const std::set<policy::Key>& tombstones);
  std::size_t size() const { return pending_.size(); }

 private:
  struct Pending {
    std::optional<policy::Value> value;
    bool was_removed = false;  ///< at some time since the node was told
    bool reduced = false;      ///< at some time it took access away
    bool urgent = false;       ///< it takes away something of what is held
    Revision since;
  };
  using PendingMap = std::map<policy::Key, Pending>;
  std::vector<PendingMap::iterator> select(Which which);
  bool held_back(const policy::Key& key, bool target_side) const;
  void add(const policy::Change& change, Revision revision, Added& added);
  void hold(const policy::Key& key, const std::optional<policy::Value>& value);

  policy::NodeState held_;
  SetDigest digest_;
  PendingMap pending_;
  std::uint64_t generation_ = 0;
};

}  // namespace cordon::controller
