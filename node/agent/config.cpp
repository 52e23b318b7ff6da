#include "node/agent/config.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "base/files.h"
#include "node/agent/people.h"
#include "node/agent/toml_table.h"
#include "proto/features.h"

namespace cordon::node {
namespace {

constexpr std::size_t kMaxConfigBytes = 1u << 20;
constexpr std::size_t kMaxDeviceName = 63;

bool is_name(std::string_view text, std::size_t most, std::string_view also) {
  return !text.empty() && text.size() <= most && std::ranges::all_of(text, [also](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || also.contains(c);
  });
}

/// The host's name as a device name: lower case, up to the first dot; empty when that isn't one.
std::string host_name() {
  std::array<char, 256> buffer{};
  if (::gethostname(buffer.data(), buffer.size() - 1) != 0) return {};
  std::string name(buffer.data());
  name = name.substr(0, name.find('.'));
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return is_name(name, kMaxDeviceName, "-") ? name : std::string{};
}

Result<> take_instance(NodeConfig& config, const std::string& text) {
  if (!is_name(text, kMaxInstanceName, "-_"))
    return fail(ErrorCode::invalid, "\"" + text + "\" is no instance name",
                "1 to 6 of a-z, 0-9, '-' and '_': it is part of the interface's name");
  config.instance = text;
  return {};
}

Result<> take_name(NodeConfig& config, const std::string& text) {
  if (!is_name(text, kMaxDeviceName, "-"))
    return fail(ErrorCode::invalid, "\"" + text + "\" is no device name", "1 to 63 of a-z, 0-9 and '-'");
  config.name = text;
  return {};
}

Result<> take_interface(std::string& out, const std::string& text) {
  const bool fits = !text.empty() && text.size() <= kMaxInterfaceName && text != "." && text != "..";
  const bool clean =
      std::ranges::none_of(text, [](char c) { return c <= ' ' || c == '/' || c == ':' || c > '~'; });
  if (!fits || !clean)
    return fail(ErrorCode::invalid, "\"" + text + "\" is no interface name",
                "at most 15 characters, such as cdn-cordon");
  out = text;
  return {};
}

Result<> take_backend(NodeConfig& config, const std::string& text) {
  if (text == "auto")
    config.backend = Backend::automatic;
  else if (text == "kernel")
    config.backend = Backend::kernel;
  else if (text == "userspace")
    config.backend = Backend::userspace;
  else
    return fail(ErrorCode::invalid, "unknown backend \"" + text + "\"", "one of auto, kernel, userspace");
  return {};
}

Result<> take_rotation(NodeConfig& config, const std::string& text) {
  constexpr Seconds kLeast{3600}, kMost{365 * 24 * 3600};
  config.rotate_keys.reset();
  if (text == "never") return {};
  CORDON_ASSIGN(const Seconds every, parse_duration(text));
  if (every < kLeast || every > kMost)
    return fail(ErrorCode::invalid, "\"" + text + "\" is no time to keep a key", "1h to 365d, or \"never\"");
  config.rotate_keys = every;
  return {};
}

Result<> take_directory(std::filesystem::path& out, const std::string& text) {
  if (!text.starts_with('/') || text.contains('\0'))
    return fail(ErrorCode::invalid, "\"" + text + "\" is no absolute path", "it is to start with '/'");
  out = text;
  return {};
}

Result<> take_endpoint(std::vector<Endpoint>& out, const std::string& text) {
  auto endpoint = Endpoint::parse(text);
  if (!endpoint || endpoint->port == 0)
    return fail(ErrorCode::invalid, "\"" + text + "\" is no address and port",
                "such as 198.51.100.1:7443 or [2001:db8::1]:7443; names are not looked up");
  out.push_back(*endpoint);
  return {};
}

Result<> take_uids(std::vector<UidRange>& out, const std::string& text) {
  CORDON_ASSIGN(const auto range, parse_uid_range(text));
  out.push_back(range);
  return {};
}

Result<> take_prefix(std::vector<Prefix>& out, const std::string& text) {
  CORDON_ASSIGN(auto prefix, Prefix::parse(text));
  out.push_back(prefix);
  return {};
}

/// What no router may forward, and a way to everywhere, is behind nobody.
Result<> take_subnet(std::vector<Prefix>& out, const std::string& text) {
  CORDON_ASSIGN(const auto subnet, Prefix::parse(text));
  for (const char* never : {"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::1", "fe80::/10", "ff00::/8"}) {
    const Prefix unroutable = Prefix::parse(never).value();
    if (unroutable.contains(subnet.address) || subnet.contains(unroutable.address))
      return fail(ErrorCode::invalid, fmt::format("nothing in {} can be behind a gateway", never),
                  "such as 192.0.2.0/24 or 2001:db8:1::/64");
  }
  if (out.size() == wire::kMostSubnets)
    return fail(ErrorCode::invalid, fmt::format("more than {} subnets", wire::kMostSubnets),
                "name wider ones that hold several");
  if (std::ranges::find(out, subnet) != out.end())
    return fail(ErrorCode::invalid, fmt::format("\"{}\" stands there twice", text));
  out.push_back(subnet);
  return {};
}

void read_sizes(TomlTable& table, MapSizes& sizes) {
  constexpr std::int64_t kMost = 1 << 26;
  table.number("principals", sizes.principals, 16, kMost);
  table.number("targets", sizes.targets, 16, kMost);
  table.number("grants", sizes.grants, 16, kMost);
  table.number("grant_ranges", sizes.grant_ranges, 16, kMost);
  table.number("flows", sizes.flows, 64, kMost);
  table.number("rule_counters", sizes.rule_counters, 16, kMost);
  table.number("events_bytes", sizes.events_bytes, 4096, 1 << 30);
}

void read_root(TomlTable& root, NodeConfig& config) {
  root.text("instance", "\"cordon\"", [&](const auto& t) { return take_instance(config, t); });
  root.text("name", "\"ledger\"", [&](const auto& t) { return take_name(config, t); });
  root.text("state_directory", "\"/var/lib/cordon/node\"",
            [&](const auto& t) { return take_directory(config.state_directory, t); });
  root.text("run_directory", "\"/run/cordon/node\"",
            [&](const auto& t) { return take_directory(config.run_directory, t); });
  root.texts("controllers", "[\"198.51.100.1:7443\"]",
             [&](const auto& t) { return take_endpoint(config.controllers, t); });
  if (root.has("people_uids")) config.people_uids.emplace();
  root.texts("people_uids", "[\"1000-60000\"]",
             [&](const auto& t) { return take_uids(*config.people_uids, t); });
  root.section("tunnel", [&](TomlTable& t) {
    t.text("backend", "\"auto\"", [&](const auto& v) { return take_backend(config, v); });
    t.flag("allow_fallback", config.allow_fallback);
    t.text("interface", "\"cdn-cordon\"", [&](const auto& v) { return take_interface(config.interface, v); });
    t.number("listen_port", config.listen_port, 1, 65535);
    t.text("rotate_keys", "\"7d\"", [&](const auto& v) { return take_rotation(config, v); });
  });
  root.section("filter", [&](TomlTable& t) {
    t.text("pin_directory", "\"/sys/fs/bpf/cordon/cordon\"",
           [&](const auto& v) { return take_directory(config.pin_directory, v); });
    t.text("cgroup", "\"/sys/fs/cgroup\"", [&](const std::string& v) -> Result<> {
      config.cgroup.emplace();
      return v.empty() ? Result<>{} : take_directory(*config.cgroup, v);
    });
    t.section("maps", [&](TomlTable& maps) { read_sizes(maps, config.sizes); });
  });
  root.section("underlay", [&](TomlTable& t) {
    t.texts("interfaces", "[\"eth0\"]",
            [&](const auto& v) { return take_interface(config.underlay_interfaces.emplace_back(), v); });
    t.texts("allow", "[\"192.0.2.0/24\"]",
            [&](const auto& v) { return take_prefix(config.underlay_allow, v); });
  });
  root.section("advertise", [&](TomlTable& t) {
    t.texts("endpoints", "[\"203.0.113.5:51820\"]",
            [&](const auto& v) { return take_endpoint(config.advertise, v); });
  });
  root.section("gateway", [&](TomlTable& t) {
    t.texts("subnets", "[\"192.0.2.0/24\"]",
            [&](const auto& v) { return take_subnet(config.gateway_subnets, v); });
  });
  root.section("health", [&](TomlTable& t) {
    t.text("report", "\"/var/lib/site/checks\"",
           [&](const auto& v) { return take_directory(config.health_report, v); });
    t.text("max_age", "\"10m\"", [&](const std::string& v) -> Result<> {
      CORDON_ASSIGN(config.health_max_age, parse_duration(v));
      return {};
    });
  });
  root.finish();
}

Result<NodeConfig> complete(NodeConfig config, std::string_view file) {
  if (config.controllers.empty())
    return fail(ErrorCode::invalid, fmt::format("{}: no controllers", file),
                "add: controllers = [\"198.51.100.1:7443\"]");
  if (config.name.empty()) config.name = host_name();
  if (config.name.empty())
    return fail(ErrorCode::invalid, fmt::format("{}: the host's name is no device name", file),
                "add: name = \"ledger\" (1 to 63 of a-z, 0-9 and '-')");
  if (config.people_uids) config.people_uids = merged_uids(std::move(*config.people_uids));
  if (config.interface.empty()) config.interface = "cdn-" + config.instance;
  if (config.pin_directory.empty()) config.pin_directory = "/sys/fs/bpf/cordon/" + config.instance;
  return config;
}

}  // namespace

Result<NodeConfig> parse_node_config(std::string_view text, std::string_view file) {
  toml::table document;
  try {
    document = toml::parse(text, file);
  } catch (const toml::parse_error& e) {
    return fail(ErrorCode::invalid, fmt::format("{}:{}:{}: {}", file, e.source().begin.line,
                                                e.source().begin.column, e.description()));
  }
  NodeConfig config;
  Result<> problem;
  TomlTable root(document, file, "", problem);
  read_root(root, config);
  if (!problem) return std::unexpected(problem.error());
  return complete(std::move(config), file);
}

Result<NodeConfig> load_node_config(const std::filesystem::path& path) {
  auto text = read_file(path, kMaxConfigBytes);
  if (!text) return std::unexpected(in_context(text.error(), "reading the node's configuration"));
  CORDON_ASSIGN(auto config, parse_node_config(*text, path.string()));
  if (!config.people_uids) {
    CORDON_ASSIGN(config.people_uids, people_of_machine());
    config.people_of_machine = true;
  }
  return config;
}

TunnelConfig tunnel_config(const NodeConfig& config) {
  TunnelConfig out;
  out.backend = config.backend;
  out.allow_fallback = config.allow_fallback;
  out.interface = config.interface;
  out.listen_port = config.listen_port;
  out.state_directory = config.state_directory;
  out.run_directory = config.run_directory;
  return out;
}

FilterConfig filter_config(const NodeConfig& config, std::string_view mounts) {
  FilterConfig out;
  out.pin_directory = config.pin_directory;
  out.sizes = config.sizes;
  out.underlay_allow = config.underlay_allow;
  out.wireguard_port = config.listen_port;
  out.controllers = config.controllers;
  out.people = config.people_uids.value_or(std::vector<UidRange>{});
  if (config.cgroup) {
    out.cgroup = *config.cgroup;
    return out;
  }
  std::istringstream lines{std::string(mounts)};
  for (std::string device, where, type, rest;
       lines >> device >> where >> type && std::getline(lines, rest);) {
    if (type != "cgroup2") continue;
    out.cgroup = where;
    break;
  }
  return out;
}

}  // namespace cordon::node
