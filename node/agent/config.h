#pragma once
// node.toml, parsed strictly: an unknown key, a wrong type or a value out of range is refused with its place
// and the mend.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "node/filter/filter.h"
#include "node/tunnel/tunnel.h"

namespace cordon::node {

/// wireguard-go's sockets share one directory, so the instance's name is part of the interface's, which the
/// kernel limits to 15 characters.
inline constexpr std::size_t kMaxInstanceName = 6;
inline constexpr std::size_t kMaxInterfaceName = 15;

struct NodeConfig {
  std::string instance = "cordon";
  std::string name;  ///< asked for at enrolment; the host's name by default
  std::filesystem::path state_directory = "/var/lib/cordon/node";
  std::filesystem::path run_directory = "/run/cordon/node";
  std::vector<Endpoint> controllers;

  Backend backend = Backend::automatic;
  bool allow_fallback = false;
  std::string interface;  ///< "cdn-" and the instance by default
  std::uint16_t listen_port = 51820;
  std::optional<Seconds> rotate_keys = Seconds{7 * 24 * 3600};  ///< none: only when an operator asks

  std::filesystem::path pin_directory;          ///< /sys/fs/bpf/cordon/<instance> by default
  std::optional<std::filesystem::path> cgroup;  ///< none: where cgroup2 is mounted; empty: no connect hook
  MapSizes sizes;

  /// Uids that have no overlay without a session; none: what the machine's accounts say (people_of_machine).
  std::optional<std::vector<UidRange>> people_uids;
  bool people_of_machine = false;  ///< they are the machine's, and followed as its accounts change

  std::vector<std::string> underlay_interfaces;  ///< empty: all but loopback and the overlay
  std::vector<Prefix> underlay_allow;
  std::vector<Endpoint> advertise;
  std::vector<Prefix> gateway_subnets;  ///< what is behind this host; none: it is no gateway

  std::filesystem::path
      health_report;  ///< where the checks that pass are written; empty: nothing is reported
  Seconds health_max_age{10 * 60};
};

/// `file` is how messages name the text.
Result<NodeConfig> parse_node_config(std::string_view text, std::string_view file);
Result<NodeConfig> load_node_config(const std::filesystem::path& path);

TunnelConfig tunnel_config(const NodeConfig& config);
/// `mounts` is the text of /proc/self/mounts, where cgroup2 is looked for.
FilterConfig filter_config(const NodeConfig& config, std::string_view mounts);

}  // namespace cordon::node
