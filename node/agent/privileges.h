#pragma once
// What the daemon may do: its own user, three capabilities, no new privileges, no system calls that it has no
// use for. wireguard-go, its child, inherits all of it.

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace cordon::node {

/// As root: makes the directories for `user` (0700 but for `run`, which everybody may enter to reach the
/// socket), then becomes that user with CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON as the only capabilities.
struct Directories {
  std::filesystem::path state, run, pins;
};
Result<> become_user(const std::string& user, const Directories& directories);

/// Served before what is ordinary, and wireguard-go too: what peers do takes milliseconds, and the daemon
/// little. Started as root it takes that itself, else cordon-node.service gives it (Nice=); without it all
/// works.
void take_precedence();

/// Which of the three capabilities this process lacks, by name; empty: none.
std::vector<std::string> missing_capabilities();
/// `forbidden` with the mend when this is root (the daemon is not to run as root), or a capability is
/// missing.
Result<> require_modest_privileges();

/// Gives up every capability but the three (inheritable and ambient, so that wireguard-go has them too), sets
/// no_new_privs, and refuses system calls that neither the daemon nor wireguard-go needs.
Result<> lock_down();

}  // namespace cordon::node
