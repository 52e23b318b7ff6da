#pragma once
// What the commands of `cordon policy` share; one file each.

#include <CLI/App.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "cli/context.h"
#include "policy/diagnostic.h"
#include "policy/model.h"

namespace cordon::cli {

void add_policy_check(CLI::App& policy, Context& context);
void add_policy_decide(CLI::App& policy, Context& context);
void add_policy_replay(CLI::App& policy, Context& context);
void add_policy_apply(CLI::App& policy, Context& context);
void add_policy_confirm(CLI::App& policy, Context& context);
void add_policy_rollback(CLI::App& policy, Context& context);
void add_policy_history(CLI::App& policy, Context& context);
void add_policy_diff(CLI::App& policy, Context& context);
void add_policy_plan(CLI::App& policy, Context& context);
void add_policy_learn(CLI::App& policy, Context& context);
void add_policy_explain(CLI::App& policy, Context& context);

/// DIR, in `directory`.
CLI::Option* add_directory(CLI::App* command, std::string& directory);

/// "1 file", "3 files".
std::string counted(std::size_t count, std::string_view word);

json::object diagnostic_json(const policy::Diagnostic& diagnostic);
/// One line each to standard error, of any severity; at most a few hundred.
void print_diagnostics(Context& context, const std::vector<policy::Diagnostic>& diagnostics);
/// A text of several lines, safe to show on a terminal.
void print_text(Context& context, std::string_view whole);
/// Those of an answer of the controller.
void print_diagnostics(Context& context, const json::array& diagnostics);
std::size_t count_errors(const std::vector<policy::Diagnostic>& diagnostics);

/// The policy of a directory, with its warnings told; with errors these are told and the Error counts them.
Result<policy::PolicyPtr> load_policy(Context& context, const std::string& directory);

/// {"files": [{"name", "text"}]} of a directory, as the controller takes them.
Result<json::object> files_body(const std::string& directory);

}  // namespace cordon::cli
