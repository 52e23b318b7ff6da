#pragma once
// The words that records and the API use for the world's small sets.

#include <optional>
#include <string_view>

#include "policy/world.h"

namespace cordon::controller {

std::string_view ownership_name(policy::Ownership ownership);  ///< "company", ...
std::optional<policy::Ownership> ownership_by_name(std::string_view name);

std::string_view assurance_name(policy::Assurance assurance);  ///< "aal1", ...
std::optional<policy::Assurance> assurance_by_name(std::string_view name);

std::string_view device_state_name(policy::DeviceState state);  ///< "pending", "active", "removed"

/// viewer, engineer, operator, auditor, admin.
bool is_role(std::string_view name);

}  // namespace cordon::controller
