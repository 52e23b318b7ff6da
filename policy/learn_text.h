#pragma once
// What was learned as TOML that people read, change and put beside their other files.

#include <map>
#include <set>
#include <string>

#include "policy/learn.h"

namespace cordon::policy {

/// Segments that the proposal adds for machines which no tag or segment selects: name to device ids.
using LearnedSegments = std::map<std::string, std::set<std::string>>;

std::string text_of(const World& world, const LearnQuestion& question, const Lesson& lesson,
                    const LearnedSegments& segments);

}  // namespace cordon::policy
