#pragma once
// What `cordon-node` can be told to do. Each returns the process's exit code and says on standard error what
// went wrong.

#include <filesystem>
#include <string>

#include "base/time.h"

namespace cordon::node {

struct CommandOptions {
  std::filesystem::path config;
  std::string user;                  ///< become this user first; empty: stay
  std::filesystem::path token_file;  ///< "-": standard input
  Seconds wait{0};                   ///< for approval
};

int run_enrol(const CommandOptions& options);
int run_daemon(const CommandOptions& options);
int run_guard(const CommandOptions& options);
int run_check(const CommandOptions& options);
int run_uninstall(const CommandOptions& options);

}  // namespace cordon::node
