#pragma once
// What a policy would change, worked out aside, and the words and JSON that tell it.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controller/api/route.h"
#include "policy/capacity.h"
#include "policy/plan.h"

namespace cordon::controller::api {

struct PlanOutcome {
  policy::Plan plan;
  std::vector<policy::Overflow> overflows;  ///< what never fits nodes' maps (I11)
  Result<> enforceable;                     ///< check_enforceable
};

/// Compares `policy` with the one in force on the pool, with the flows that are open now; the outcome comes
/// on the strand. `actor` is who would apply it, as records name them.
void plan_aside(Services& services, policy::PolicyPtr policy, const std::string& actor,
                std::function<void(Result<PlanOutcome>)> then);

/// For people: a summary, warnings, then who gains and loses what; after `most` lines how many there are.
std::vector<std::string> plan_lines(const policy::Plan& plan, std::size_t most);
/// The same as answers of apply have it: {"summary", "lines", "warnings"}.
boost::json::object plan_summary(const policy::Plan& plan);
/// The members of schema PolicyPlan that are the plan's own.
boost::json::object plan_json(const policy::Plan& plan);

/// I11: nothing, or the error that tells the numbers.
Result<> check_fits(const std::vector<policy::Overflow>& overflows);

}  // namespace cordon::controller::api
