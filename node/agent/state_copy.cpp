#include "node/agent/state_copy.h"

#include <algorithm>

namespace cordon::node {

bool StateCopy::copy(const policy::NodeState& state, std::size_t most) {
  const auto& entries = state.entries;
  auto at = last_ ? entries.upper_bound(*last_) : entries.begin();
  Slice slice;
  slice.grants.reserve(std::min(most, entries.size()));
  for (; at != entries.end() && most > 0; ++at, --most) {
    if (const auto* grant = std::get_if<policy::GrantKey>(&at->first))
      slice.grants.emplace_back(*grant, std::get<policy::GrantValue>(at->second));
    else
      slice.others.push_back(*at);
  }
  const bool whole = at == entries.end();
  if (!whole) last_ = std::prev(at)->first;
  slices_.push_back(std::move(slice));
  return whole;
}

void StateCopy::changed(const std::vector<policy::Change>& changes) {
  for (const policy::Change& change : changes)
    if (last_ && change.key <= *last_) changed_.insert_or_assign(change.key, change.value);
}

}  // namespace cordon::node
