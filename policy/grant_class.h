#pragma once
// Classes of grants, named by their content: one never changes in place.

#include <utility>
#include <vector>

#include "policy/node_state.h"
#include "policy/port_table.h"

namespace cordon::policy {

/// What a class holds at a node; the keys' class ids don't count.
using ClassGrants = std::vector<std::pair<GrantKey, GrantValue>>;

/// The entries of a pair's table, for one direction.
void append_grants(ClassGrants& grants, Direction direction, TargetId target,
                   const std::vector<PortGrant>& table);

/// Puts the grants in order and into the class that they make; 0 when there are none.
ClassId name_class(ClassGrants& grants);

}  // namespace cordon::policy
