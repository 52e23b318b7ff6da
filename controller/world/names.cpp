#include "controller/world/names.h"

#include <algorithm>
#include <array>

namespace cordon::controller {

namespace {
constexpr std::array<std::string_view, 4> kOwnership = {"company", "personal", "vendor", "partner"};
constexpr std::array<std::string_view, 3> kAssurance = {"aal1", "aal2", "aal3"};  // from 1
constexpr std::array<std::string_view, 3> kDeviceState = {"pending", "active", "removed"};
constexpr std::array<std::string_view, 5> kRoles = {"viewer", "engineer", "operator", "auditor", "admin"};
}  // namespace

std::string_view ownership_name(policy::Ownership ownership) {
  return kOwnership.at(static_cast<std::size_t>(ownership));
}

std::optional<policy::Ownership> ownership_by_name(std::string_view name) {
  const auto found = std::ranges::find(kOwnership, name);
  if (found == kOwnership.end()) return std::nullopt;
  return static_cast<policy::Ownership>(found - kOwnership.begin());
}

std::string_view assurance_name(policy::Assurance assurance) {
  return kAssurance.at(static_cast<std::size_t>(assurance) - 1);
}

std::optional<policy::Assurance> assurance_by_name(std::string_view name) {
  const auto found = std::ranges::find(kAssurance, name);
  if (found == kAssurance.end()) return std::nullopt;
  return static_cast<policy::Assurance>(found - kAssurance.begin() + 1);
}

std::string_view device_state_name(policy::DeviceState state) {
  return kDeviceState.at(static_cast<std::size_t>(state));
}

bool is_role(std::string_view name) {
  return std::ranges::find(kRoles, name) != kRoles.end();
}

}  // namespace cordon::controller
