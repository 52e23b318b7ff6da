#pragma once
// A process that outlives the one that started it, known by pid and start time so that a pid used again is
// not mistaken for it.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cordon::node::wireguard {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat (proc(5))
  bool operator==(const ProcessId&) const = default;
};

/// "PID START\n", as kept in a pid file.
std::string to_text(const ProcessId& process);
std::optional<ProcessId> parse_process(std::string_view text);
/// Field 22 of a stat line; the name in it may hold spaces and brackets.
std::optional<std::uint64_t> parse_start_ticks(std::string_view stat_line);

/// None: there is no such process (a zombie counts as none).
std::optional<ProcessId> find_process(pid_t pid);
/// Takes a dead child away, so that it isn't a zombie for ever.
bool is_running(const ProcessId& process);

/// Starts `argv` in a session of its own with that environment. Standard input and output are /dev/null;
/// standard error is ours, or /dev/null when ours is a pipe (its reader may die with us and a write would
/// then kill the child). Nothing else is inherited. An exec that fails is told here.
Result<ProcessId> start_detached(const std::vector<std::string>& argv,
                                 const std::vector<std::string>& environment);

/// SIGTERM, and SIGKILL when that doesn't end it within five seconds. Nothing when it is gone.
void stop_process(const ProcessId& process);

}  // namespace cordon::node::wireguard
