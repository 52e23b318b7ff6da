#pragma once
// JSON forms of what the world holds, as the schemas of the same names say.

#include <boost/json/object.hpp>

#include "controller/distribution/distribution.h"
#include "controller/flows/flow_store.h"
#include "controller/log/record.h"
#include "controller/world/policy_history.h"
#include "policy/diagnostic.h"
#include "policy/world.h"

namespace cordon::controller::api {

boost::json::object view(const policy::Device& device, const Distribution::Told& nodes);
boost::json::object view(const policy::User& user);
boost::json::object view(const policy::Session& session, const policy::World& world);
boost::json::object view(const policy::JoinToken& token, Timestamp now);
boost::json::object view(const policy::ApiToken& token, const policy::World& world, Timestamp now);
boost::json::object view(const policy::Diagnostic& diagnostic);
boost::json::object view(const PolicyEntry& entry, const policy::World& world);
boost::json::object view(const NodeStatus& node);
boost::json::object view(const ReceiptStatus& receipt, bool connected);
boost::json::object view(const Record& record, const policy::World& world);
boost::json::object view(const FlowRecord& flow, const policy::World& world);

/// What nodes counted; rules have the names that were theirs when they were applied.
class CounterViews {
 public:
  explicit CounterViews(const policy::World& world);
  boost::json::object view(const NodeStatus& node) const;

 private:
  std::map<RuleId, std::string_view> rules_;
};

/// A person's name, or the id itself when the name is erased or unknown.
std::string name_of(const policy::World& world, const SubjectId& user);
/// "operator:u-0123" with the person's name in place of the id.
std::string actor_name(const policy::World& world, const std::string& actor);
/// A time, or null for kNever and the epoch.
boost::json::value time_or_null(Timestamp at);

}  // namespace cordon::controller::api
