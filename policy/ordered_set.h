#pragma once
// A sorted vector used as a set: what is made once and looked through often.

#include <algorithm>
#include <vector>

namespace cordon::policy {

/// Sorts `all` and keeps each value once.
template <class T>
void make_set(std::vector<T>& all) {
  std::ranges::sort(all);
  const auto repeated = std::ranges::unique(all);
  all.erase(repeated.begin(), repeated.end());
}

}  // namespace cordon::policy
