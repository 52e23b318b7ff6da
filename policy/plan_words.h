#pragma once
// Plans in people's words.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "policy/plan.h"

namespace cordon::policy {

/// "12,345"
std::string with_commas(std::size_t number);
/// "1 live flow", "12,345 live flows".
std::string counted(std::size_t count, std::string_view one, std::string_view many = {});
/// "3 people and 1 machine"
std::string crowd(std::size_t people, std::size_t machines);
/// "a, b, c and 7 more": the first `most` of `names`, of `total`.
std::string listed(const std::vector<std::string>& names, std::size_t total, std::size_t most);
/// "trader@acme.example on trader-laptop"; a machine is just its name.
std::string in_words(const PlanPrincipal& who);
/// "settlement/ledger tcp/5432", "lab tcp/22 at lab-1".
std::string in_words(const AccessChange& change);
/// "clerk@acme.example on clerk-laptop to lab-1 tcp/8080: 14 flows, last 2026-01-05".
std::string in_words(const World& world, const ObservedFlow& flow);

/// "trader@acme.example on trader-laptop loses settlement/ledger tcp/5432; 2 live flows are cut": one line a
/// principal and service where few are concerned, one for all of them where they are many.
std::vector<std::string> lines_of(const PlanEntry& entry);
/// "3 people and 1 machine lose access, 2 people gain access; 4 live flows are cut", or that nobody does.
std::string in_words(const Plan::Totals& totals);

}  // namespace cordon::policy
