#include "controller/world/validate_policy.h"

#include <fmt/format.h>

namespace cordon::controller {

namespace {

/// Something is pending, and it is `revision`.
Result<> check_pending(const policy::World& world, Revision revision) {
  if (!world.pending) {
    if (revision == world.policy_revision) {
      return fail(ErrorCode::conflict,
                  fmt::format("policy revision {} is confirmed already", revision.value));
    }
    return fail(ErrorCode::conflict, "no policy waits for confirmation",
                "it was confirmed or rolled back: `cordon policy history` shows what became of it");
  }
  if (revision != world.policy_revision) {
    return fail(ErrorCode::conflict,
                fmt::format("policy revision {} isn't the one that waits for confirmation, {} is",
                            revision.value, world.policy_revision.value),
                "look at what is in force before you decide: cordon policy history");
  }
  return {};
}

}  // namespace

Result<> validate_one(const policy::World& world, const kinds::PolicyApplied& k, Timestamp at) {
  if (world.pending) {
    const auto revision = world.policy_revision.value;
    return fail(
        ErrorCode::conflict,
        fmt::format("policy revision {} waits for confirmation until {}", revision,
                    format_rfc3339(world.pending->confirm_by)),
        fmt::format("confirm it (cordon policy confirm {}) or take it back (cordon policy rollback) first",
                    revision));
  }
  if (k.confirm_by == Timestamp{}) return {};
  if (k.confirm_by <= at)
    return fail(ErrorCode::invalid, "the time to confirm the policy would be over from the start");
  if (k.confirm_by - at > kLongestConfirmation) {
    return fail(ErrorCode::invalid, "a policy waits for confirmation 24 hours at most");
  }
  return {};
}

Result<> validate_one(const policy::World& world, const kinds::PolicyConfirmed& k, Timestamp at) {
  CORDON_TRY(check_pending(world, k.revision));
  if (at >= world.pending->confirm_by) {
    return fail(ErrorCode::conflict,
                fmt::format("the time to confirm policy revision {} ended at {}", k.revision.value,
                            format_rfc3339(world.pending->confirm_by)),
                "apply it again, with a longer --confirm-within if need be");
  }
  return {};
}

Result<> validate_one(const policy::World& world, const kinds::PolicyRolledBack& k, Timestamp) {
  return check_pending(world, k.revision);
}

}  // namespace cordon::controller
