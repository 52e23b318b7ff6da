#pragma once
// A value for each of the 65536 ports, kept as runs.

#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "policy/model.h"

namespace cordon::policy {

/// Starts as `Value{}` everywhere; what is painted later covers what was before.
template <class Value>
class PortMap {
 public:
  void paint(PortRange range, const Value& value) {
    const std::uint32_t end = range.last + 1u;
    const Value after = std::prev(starts_.upper_bound(end))->second;
    starts_.erase(starts_.lower_bound(range.first), starts_.upper_bound(end));
    starts_[range.first] = value;
    if (end < kPorts) starts_[end] = after;
  }

  /// The runs of equal value, in order; together they are all ports.
  std::vector<std::pair<PortRange, Value>> runs() const {
    std::vector<std::pair<PortRange, Value>> out;
    for (auto it = starts_.begin(); it != starts_.end(); ++it) {
      const auto next = std::next(it);
      const auto last = static_cast<std::uint16_t>((next == starts_.end() ? kPorts : next->first) - 1);
      if (!out.empty() && out.back().second == it->second)
        out.back().first.last = last;
      else
        out.push_back({{static_cast<std::uint16_t>(it->first), last}, it->second});
    }
    return out;
  }

 private:
  static constexpr std::uint32_t kPorts = 65536;
  std::map<std::uint32_t, Value> starts_{{0, Value{}}};
};

}  // namespace cordon::policy
