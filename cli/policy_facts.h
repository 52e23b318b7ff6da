#pragma once
// Facts files on the command line.

#include <CLI/App.hpp>
#include <string>

#include "cli/context.h"
#include "policy/facts_file.h"

namespace cordon::cli {

/// --facts FILE.
CLI::Option* add_facts(CLI::App* command, std::string& file);

/// The facts of a file; mistakes are told on standard error with their places, and the Error counts them.
Result<policy::Facts> load_facts(Context& context, const std::string& file, const policy::PolicyPtr& policy);

}  // namespace cordon::cli
