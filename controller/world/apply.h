#pragma once
// The fold. Total and deterministic: the same records give the same world on every controller.

#include <functional>
#include <optional>
#include <string>

#include "base/time_zone.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller {

/// Opens a person's sealed fields; nullopt when the person's key is destroyed (then the name is empty). An
/// error: whether it is can't be told now, so nothing that needs the name is folded.
using Unsealer =
    std::function<Result<std::optional<std::string>>(const SubjectId&, std::string_view sealed_base64)>;

/// Would `proposal`, committed at `at`, make sense in this world? Says why not. Never changes anything.
Result<> check(const policy::World& world, const Proposal& proposal, Timestamp at, const TimeZones& zones);

/// Advances the world by one record. Errors (an unknown kind or version, a payload that breaks its grammar, a
/// record that doesn't follow on) leave it untouched and stop the fold: nothing is ever skipped. `zones` are
/// what policies' times of day are read by; a record names the version of the database it was written with.
/// `parsed`: what the text of a "policy applied" says, if that was found already; it saves the time alone.
Result<> apply(policy::World& world, const Record& record, const Unsealer& unseal, const TimeZones& zones,
               policy::PolicyPtr parsed = nullptr);

}  // namespace cordon::controller
