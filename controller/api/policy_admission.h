#pragma once
// Whether a policy may be put in force here and now, beyond being well written; and putting it there.

#include <boost/json/object.hpp>

#include "controller/api/policy_input.h"
#include "controller/api/route.h"
#include "controller/distribution/distribution.h"
#include "policy/world.h"

namespace cordon::controller::api {

/// Why the controller's nodes can't enforce `policy`: a node concerned that doesn't understand what its rules
/// need. Looks at the whole world: done beside the strand, with the plan.
Result<> check_enforceable(const policy::World& world, const policy::Policy& policy,
                           const Distribution::Told& nodes);

/// Another policy waits for confirmation: who applied it, until when it waits and what to do about it.
Result<> check_none_pending(const Services& services);

/// Parses, checks, records: the policy is in force and waits for its confirmation. Answers with the revision,
/// until when, the warnings, what it changes for whom, and the members of `extra`; or with why not, and
/// nothing has changed.
void put_in_force(Services& services, const Call& call, std::vector<SourceFile> files,
                  boost::json::object extra, Respond respond);

/// `confirm_within_s` of a body.
Field confirm_within_field();

}  // namespace cordon::controller::api
