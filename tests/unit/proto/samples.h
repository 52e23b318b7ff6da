#pragma once
// One well-formed message of every kind, every field set, for tests that cut and bend them.

#include <string>
#include <vector>

#include "proto/codec.h"

namespace cordon::wire {

std::vector<ToController> sample_to_controller();
std::vector<ToNode> sample_to_node();
/// One of each kind of entry, with its value.
std::vector<policy::Change> sample_entries();

}  // namespace cordon::wire
