#pragma once
// `when` and `unless`.

#include "policy/draft.h"

namespace cordon::policy {

enum class ConditionsOf { allow_when, forbid_when, unless };

/// A table of conditions. `machines`: the rule is for devices acting for themselves, so conditions that need
/// a person are refused.
Conditions read_conditions(Reader& reader, const TomlEntry& entry, ConditionsOf of, bool machines,
                           Draft& draft);

/// "Mon-Fri 08:00-18:00" as P11 has it; the error's hint shows the form.
Result<HoursWindow> parse_hours(std::string_view text);

}  // namespace cordon::policy
