// `cordon-node check`: is the configuration right, and what can this machine do?

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "base/files.h"
#include "node/agent/commands.h"
#include "node/agent/config.h"
#include "node/agent/gateways.h"
#include "node/agent/identity.h"
#include "node/agent/people.h"
#include "node/agent/privileges.h"

namespace cordon::node {
namespace {

/// One line each; remembers whether anything was wrong.
class Findings {
 public:
  void good(const std::string& what) { std::cout << "ok       " << what << "\n"; }
  void bad(const std::string& what, const std::string& mend) {
    std::cout << "problem  " << what << (mend.empty() ? "" : "; " + mend) << "\n";
    wrong_ = true;
  }
  void bad(const Error& error) { bad(error.message(), ""); }
  bool wrong() const { return wrong_; }

 private:
  bool wrong_ = false;
};

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (::access((directory + "/" + program).c_str(), X_OK) == 0) return true;
  return false;
}

void check_identity(const NodeConfig& config, Findings& findings) {
  const IdentityStore store(config.state_directory);
  const auto identity = store.load();
  if (!identity) return findings.bad(identity.error());
  if (!*identity)
    return findings.bad("this device is not enrolled", "run: cordon-node enrol --token-file FILE");
  if (const auto keys = store.load_keys(); !keys) return findings.bad(keys.error());
  findings.good((*identity)->pending ? "enrolled as " + (*identity)->device.value + ", waiting for approval"
                                     : "enrolled as " + (*identity)->device.value);
}

void check_filter(const NodeConfig& config, Findings& findings) {
  const std::string mounts = read_file("/proc/self/mounts").value_or(std::string{});
  if (mounts.find(" bpf ") == std::string::npos)
    findings.bad("no bpf filesystem is mounted", "run: mount -t bpf bpf /sys/fs/bpf");
  else if (::access(config.pin_directory.c_str(), W_OK | X_OK) != 0)
    findings.bad(config.pin_directory.string() + " is not there or not writable",
                 "start once as root with --user cordon");
  else
    findings.good("pins in " + config.pin_directory.string());
  const FilterConfig filter = filter_config(config, mounts);
  findings.good("people are uids " + in_words(filter.people) + "; others are the device");
  findings.good(filter.cgroup.empty() ? "no connect hook: denied connections hang until their own timeout"
                                      : "connect hook at " + filter.cgroup.string());
}

void check_tunnel(const NodeConfig& config, Findings& findings) {
  const bool kernel = std::filesystem::exists("/sys/module/wireguard");
  const bool userspace = in_path("wireguard-go");
  if (config.backend == Backend::userspace && !userspace)
    findings.bad("wireguard-go is not installed", "apt install wireguard-go, or tunnel.backend = \"kernel\"");
  else if (kernel || userspace)
    findings.good(std::string("WireGuard: ") + (kernel ? "kernel module loaded" : "module not loaded") +
                  (userspace ? ", wireguard-go installed" : ""));
  else
    findings.bad("neither the kernel's WireGuard is loaded nor wireguard-go installed",
                 "run: modprobe wireguard, or: apt install wireguard-go");
}

void check_gateway(const NodeConfig& config, Findings& findings) {
  if (config.gateway_subnets.empty()) return;
  std::string subnets;
  for (const Prefix& subnet : config.gateway_subnets) subnets += " " + subnet.to_string();
  findings.good("gateway for" + subnets);
  for (const std::string& problem : forwarding_problems(config.gateway_subnets, config.interface))
    findings.bad(problem, "");
}

}  // namespace

int run_check(const CommandOptions& options) {
  Findings findings;
  const auto config = load_node_config(options.config);
  if (!config) {
    findings.bad(config.error());
    return 2;
  }
  findings.good(options.config.string());
  const Directories directories{
      .state = config->state_directory, .run = config->run_directory, .pins = config->pin_directory};
  if (const auto became = options.user.empty() ? Result<>{} : become_user(options.user, directories); !became)
    findings.bad(became.error());
  if (const auto modest = require_modest_privileges(); modest)
    findings.good("privileges: CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON");
  else
    findings.bad(modest.error());
  check_identity(*config, findings);
  check_filter(*config, findings);
  check_tunnel(*config, findings);
  check_gateway(*config, findings);
  return findings.wrong() ? 1 : 0;
}

}  // namespace cordon::node
