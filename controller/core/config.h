#pragma once
// controller.toml: strict; an unknown key, a wrong type or a value out of range is an error with its place.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "policy/world.h"

namespace cordon::controller {

struct ControllerConfig {
  std::string name;          ///< [a-z0-9-]{1,63}
  std::string trust_domain;  ///< "acme.example"
  std::filesystem::path state_directory = "/var/lib/cordon/controller";
  std::filesystem::path run_directory = "/run/cordon/controller";
  Endpoint listen_nodes{Address{}, 7443};
  Endpoint listen_api{Address{}, 8443};
  std::vector<std::string> advertise_names;
  std::vector<Address> advertise_addresses;
  std::vector<Endpoint>
      advertise_nodes;  ///< where nodes reach the controllers; empty: the addresses and the port above
  // Settled at the first start.
  std::optional<Prefix> overlay_v4;   ///< none: 100.64.0.0/10
  std::optional<Prefix> overlay_v6;   ///< none: a random ULA /48 at first start
  std::optional<Seconds> node_lease;  ///< none: 15 minutes
  Seconds session_longest{12 * 3600};
  Seconds flows_keep{7 * 24 * 3600};
  std::uint64_t flows_max_bytes = 1u << 30;
  std::optional<Endpoint> metrics_listen;
  std::filesystem::path places_database;  ///< countries of addresses; empty: none
  std::size_t max_nodes = 10'000;

  std::filesystem::path admin_socket() const { return run_directory / "admin.sock"; }
};

/// `file` names the text in diagnostics: "controller.toml:3:1: unknown key \"nmae\"; did you mean \"name\"?".
Result<ControllerConfig> parse_controller_config(std::string_view text, std::string_view file);
/// What the log settled at the first start and `config` says otherwise now, a sentence each: it is not
/// heeded.
std::vector<std::string> settled_at_first_start(const ControllerConfig& config,
                                                const policy::Installation& installation);
Result<ControllerConfig> read_controller_config(const std::filesystem::path& path);

}  // namespace cordon::controller
