#pragma once
// Facts files: JSON text to a world and the questions put to it (POLICY.md, "Decide off line").

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "policy/diagnostic.h"
#include "policy/evaluate.h"
#include "policy/world.h"

namespace cordon::policy {

/// One entry of `queries`: as written, and what it asks. "ping" asks for the echo requests of both families.
struct FactsQuery {
  std::string principal, target, access;
  std::vector<Query> asks;  ///< not empty
};

struct Facts {
  World world;  ///< with the policy; rules and targets numbered; devices and sessions as given
  std::optional<Timestamp> at;  ///< absent: the caller's now
  std::string offset = "Z";     ///< as `at` is written with: "+08:00"
  std::vector<FactsQuery> queries;
};

struct FactsResult {
  std::optional<Facts> facts;           ///< when there is no error
  std::vector<Diagnostic> diagnostics;  ///< by place; the first hundred
};

/// Never throws; at most 64 MiB are read. A session without `device` is on a device of which nothing is
/// known (its id is ""), one without `user` is of a user whose name is "". Devices and sessions without
/// addresses get none.
FactsResult read_facts(const SourceFile& file, PolicyPtr policy);

/// As the query's `access` is written, that of one flow: "tcp/443", "icmp/8", "ping".
Result<std::vector<Access>> parse_flow(std::string_view text);

}  // namespace cordon::policy
