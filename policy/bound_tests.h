#pragma once
// How much a policy's own tests may ask: they are run for whoever checks, plans or applies it.

#include "policy/parse.h"

namespace cordon::policy {

/// Replaces the policy by an error at its first test when running them all would take longer than some
/// seconds, so that no text can hold a controller up.
void bound_tests(ParseResult& parsed);

}  // namespace cordon::policy
