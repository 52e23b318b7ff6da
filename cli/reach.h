#pragma once
// The node's words on what may be reached.

#include "cli/context.h"

namespace cordon::cli {

/// "reach": [...] of the node's answer as a table.
void print_reach(Context& context, const json::object& answer);

}  // namespace cordon::cli
