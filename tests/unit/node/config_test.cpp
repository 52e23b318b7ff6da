#include "node/agent/config.h"

#include <gtest/gtest.h>

namespace cordon::node {
namespace config_test {

constexpr std::string_view kLeast = "name = \"ledger\"\ncontrollers = [\"198.51.100.1:7443\"]\n";

Error refused(std::string_view text) {
  const auto config = parse_node_config(text, "node.toml");
  EXPECT_FALSE(config.has_value()) << text;
  return config ? Error{} : config.error();
}

TEST(NodeConfig, DefaultsFollowTheInstance) {
  const auto config = parse_node_config(std::string(kLeast) + "instance = \"blue\"\n", "node.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->interface, "cdn-blue");
  EXPECT_EQ(config->pin_directory, "/sys/fs/bpf/cordon/blue");
  EXPECT_EQ(config->listen_port, 51820);
  EXPECT_EQ(config->sizes.principals, MapSizes{}.principals);
  EXPECT_FALSE(config->cgroup);
  EXPECT_EQ(config->rotate_keys, Seconds{7 * 24 * 3600});
}

TEST(NodeConfig, KeysServeAnHourToAYearOrUntilSomebodyAsks) {
  const auto with = [](std::string_view value) {
    return std::string(kLeast) + "[tunnel]\nrotate_keys = " + std::string(value) + "\n";
  };
  const auto never = parse_node_config(with("\"never\""), "node.toml");
  ASSERT_TRUE(never) << never.error().message();
  EXPECT_FALSE(never->rotate_keys);
  for (const char* bad : {"\"59m\"", "\"366d\"", "\"0s\"", "\"often\"", "7", "\"\""})
    EXPECT_NE(refused(with(bad)).what.find("rotate_keys"), std::string::npos) << bad;
}

TEST(NodeConfig, ReadsEverything) {
  const auto config = parse_node_config(R"(
instance = "c1"
name = "ledger"
state_directory = "/s"
run_directory = "/r"
controllers = ["198.51.100.1:7443", "[2001:db8::1]:7443"]
[tunnel]
backend = "userspace"
allow_fallback = true
interface = "cdn-c1"
listen_port = 1234
rotate_keys = "30d"
[filter]
pin_directory = "/p"
cgroup = ""
[filter.maps]
principals = 4096
events_bytes = 262144
[underlay]
interfaces = ["eth0"]
allow = ["192.0.2.0/24"]
[advertise]
endpoints = ["203.0.113.5:51820"]
[gateway]
subnets = ["198.51.100.0/25", "2001:db8:1::/64"]
[health]
report = "/var/lib/site/checks"
max_age = "2m"
)",
                                        "node.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->controllers.size(), 2u);
  EXPECT_EQ(config->backend, Backend::userspace);
  EXPECT_TRUE(config->allow_fallback);
  EXPECT_EQ(config->rotate_keys, Seconds{30 * 24 * 3600});
  EXPECT_EQ(config->sizes.principals, 4096u);
  EXPECT_EQ(config->underlay_interfaces, std::vector<std::string>{"eth0"});
  EXPECT_EQ(config->underlay_allow.front().to_string(), "192.0.2.0/24");
  EXPECT_EQ(config->advertise.front().to_string(), "203.0.113.5:51820");
  ASSERT_EQ(config->gateway_subnets.size(), 2u);
  EXPECT_EQ(config->gateway_subnets.back().to_string(), "2001:db8:1::/64");
  EXPECT_EQ(config->health_report, "/var/lib/site/checks");
  EXPECT_EQ(config->health_max_age, Seconds(120));
  const FilterConfig filter = filter_config(*config, "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  EXPECT_TRUE(filter.cgroup.empty()) << "an empty text means no hook";
  EXPECT_EQ(filter.wireguard_port, 1234);
  EXPECT_EQ(tunnel_config(*config).interface, "cdn-c1");
}

TEST(NodeConfig, AGatewaysSubnetsAreWhatARouterMayForward) {
  const auto with = [](std::string_view value) {
    return std::string(kLeast) + "[gateway]\nsubnets = [" + std::string(value) + "]\n";
  };
  EXPECT_TRUE(parse_node_config(with("\"10.0.0.0/8\", \"10.1.0.0/16\", \"192.0.2.7\""), "node.toml"));
  EXPECT_TRUE(parse_node_config(with(""), "node.toml")->gateway_subnets.empty());
  for (const char* bad : {"\"192.0.2.1/24\"", "\"192.0.2.0/33\"", "\"printer\"", "7", "\"0.0.0.0/0\"",
                          "\"::/0\"", "\"127.0.0.0/8\"", "\"169.254.1.0/24\"", "\"224.0.0.0/4\"", "\"::1\"",
                          "\"fe80::/64\"", "\"ff02::/16\"", "\"192.0.2.0/24\", \"192.0.2.0/24\""})
    EXPECT_NE(refused(with(bad)).what.find("gateway.subnets"), std::string::npos)
        << bad << ": " << refused(with(bad)).message();
  EXPECT_EQ(refused(with("\"192.0.2.1/24\"")).hint.find("192.0.2.0/24") == std::string::npos, false);
  EXPECT_NE(refused(std::string(kLeast) + "[gateway]\nsubnet = []\n").what.find("subnet"), std::string::npos);
}

TEST(NodeConfig, FindsTheCgroup2Mount) {
  const auto config = parse_node_config(kLeast, "node.toml");
  const FilterConfig filter =
      filter_config(*config, "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n");
  EXPECT_EQ(filter.cgroup, "/sys/fs/cgroup");
  EXPECT_TRUE(filter_config(*config, "proc /proc proc rw 0 0\n").cgroup.empty());
}

TEST(NodeConfig, RefusesUnknownKeysWithPlaceAndMend) {
  const Error root = refused(std::string(kLeast) + "controler = 1\n");
  EXPECT_TRUE(root.what.starts_with("node.toml:3:1: unknown key \"controler\"")) << root.what;
  EXPECT_NE(root.hint.find("controllers"), std::string::npos);
  const Error nested = refused(std::string(kLeast) + "[filter.maps]\ngrant = 5\n");
  EXPECT_NE(nested.what.find("node.toml:4:1: unknown key \"filter.maps.grant\""), std::string::npos)
      << nested.what;
}

TEST(NodeConfig, RefusesWrongTypesAndValues) {
  EXPECT_NE(refused("name = 5\n").what.find("node.toml:1:8"), std::string::npos);
  EXPECT_NE(refused("instance = \"toolong\"\n").what.find("\"toolong\""), std::string::npos);
  EXPECT_NE(refused("name = \"Ledger\"\n").what.find("no device name"), std::string::npos);
  EXPECT_NE(refused("[tunnel]\ninterface = \"cdn-sixteen-chars\"\n").what.find("no interface name"),
            std::string::npos);
  EXPECT_NE(refused("[tunnel]\nlisten_port = 70000\n").what.find("outside 1 to 65535"), std::string::npos);
  EXPECT_NE(refused("[tunnel]\nbackend = \"magic\"\n").hint.find("userspace"), std::string::npos);
  EXPECT_NE(refused("controllers = [\"controller.example:7443\"]\n").hint.find("not looked up"),
            std::string::npos);
  EXPECT_NE(refused("controllers = [5]\n").what.find("list of texts"), std::string::npos);
  EXPECT_NE(refused("[underlay]\nallow = [\"192.0.2.1/24\"]\n").what.find("underlay.allow"),
            std::string::npos);
  EXPECT_NE(refused("state_directory = \"relative\"\n").what.find("absolute"), std::string::npos);
  EXPECT_NE(refused("tunnel = 3\n").what.find("a table"), std::string::npos);
  EXPECT_NE(refused("name = \n").what.find("node.toml:1:"), std::string::npos);
  EXPECT_NE(refused("name = \"ledger\"\n").what.find("no controllers"), std::string::npos);
}

}  // namespace config_test
}  // namespace cordon::node
