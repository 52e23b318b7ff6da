#pragma once
// The commands; one function per file, each adds itself to the program.

#include <CLI/App.hpp>

#include "cli/context.h"
#include "cli/table.h"

namespace cordon::cli {

void add_policy(CLI::App& program, Context& context);
void add_token(CLI::App& program, Context& context);
void add_device(CLI::App& program, Context& context);
void add_device_add(CLI::App& device, Context& context);
void add_isolation(CLI::App& program, Context& context);
void add_user(CLI::App& program, Context& context);
void add_session(CLI::App& program, Context& context);
void add_node(CLI::App& program, Context& context);
void add_receipts(CLI::App& program, Context& context);
void add_audit(CLI::App& program, Context& context);
void add_flows(CLI::App& program, Context& context);
void add_drops(CLI::App& program, Context& context);
void add_counters(CLI::App& program, Context& context);
void add_api_token(CLI::App& program, Context& context);
void add_ca(CLI::App& program, Context& context);
void add_login(CLI::App& program, Context& context);
void add_status(CLI::App& program, Context& context);
void add_why(CLI::App& program, Context& context);

/// A command with what it does and examples of its use.
CLI::App* command(CLI::App& parent, const std::string& name, const std::string& about,
                  const std::string& examples);
/// A command that only holds others.
CLI::App* family(CLI::App& parent, const std::string& name, const std::string& about);
/// Validators of options, for wrong usage to be told as such: empty, or what is wrong.
using Check = std::function<std::string(const std::string&)>;
Check whole_number(std::uint64_t least, std::uint64_t most = INT64_MAX);
Check duration_up_to(Seconds most);
std::string check_duration(const std::string& text);
std::string check_wait(const std::string& text);
std::string check_access(const std::string& text);
/// --wait of a change.
CLI::Option* add_wait(CLI::App* command, Wait& wait);
/// What runs when `command` is the one given.
void does(CLI::App* command, Context& context, std::function<Result<int>()> action);

/// Prints items as JSON lines, or as `table` filled by `fill`.
Result<int> print_list(Context& context, const Result<std::vector<json::object>>& list, Table table,
                       const std::function<std::vector<std::string>(const json::object&)>& row,
                       std::string_view when_empty);

/// The table of receipts of a mutation or revision; 3 when a connected node didn't ack.
int print_receipts(Context& context, const json::object& answer);
int exit_of_receipts(const json::object& answer);

/// POST (or DELETE with wait in the query) of a change; prints `done` for people, the answer as JSON.
Result<int> change(Context& context, std::string_view method, const std::string& target, json::object body,
                   const Wait& wait, const std::string& done);

}  // namespace cordon::cli
