#pragma once
// The program, apart from its process: arguments in, an exit status out.

#include <string>
#include <vector>

#include "cli/context.h"

namespace cordon::cli {

/// `arguments` without the program's name. Never throws.
int run(std::vector<std::string> arguments, Environment& environment);

}  // namespace cordon::cli
