#include "policy/node_delta.h"

#include <algorithm>

namespace cordon::policy {

std::vector<Change> NodeDelta::changes() const {
  std::vector<Change> out;
  out.reserve(size());
  each([&](Change change) { out.push_back(std::move(change)); });
  std::ranges::sort(out, [](const Change& a, const Change& b) {
    const bool upsert = a.value.has_value();
    return upsert == b.value.has_value() ? a.key < b.key : !upsert;
  });
  return out;
}

}  // namespace cordon::policy
