#include "controller/core/config.h"

#include <gtest/gtest.h>

namespace cordon::controller {
namespace config_test {

constexpr const char* kLeast = "name = \"c1\"\ntrust_domain = \"acme.example\"\n";

TEST(ControllerConfig, HasDefaults) {
  const auto config = parse_controller_config(kLeast, "f.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->listen_nodes.port, 7443);
  EXPECT_FALSE(config->overlay_v4);
  EXPECT_FALSE(config->overlay_v6);
  EXPECT_FALSE(config->node_lease);
  EXPECT_TRUE(config->places_database.empty());
  EXPECT_EQ(config->max_nodes, 10'000u);
}

TEST(ControllerConfig, ReadsEveryKey) {
  const auto config = parse_controller_config(R"(name = "c1"
trust_domain = "acme.example"
state_directory = "/s"
run_directory = "/r"
[listen]
nodes = "127.0.0.1:1"
api = "[::1]:2"
[advertise]
names = ["controller.acme.example"]
addresses = ["198.51.100.1"]
nodes = ["203.0.113.1:443", "[2001:db8::1]:7443"]
[overlay]
v4 = "100.64.0.0/16"
v6 = "fd12:3456:789a::/48"
[leases]
node = "1m"
[sessions]
longest = "8h"
[flows]
keep = "1d"
max_bytes = 10485760
[metrics]
listen = "127.0.0.1:9464"
[places]
database = "/usr/share/GeoIP/GeoLite2-Country.mmdb"
[limits]
nodes = 5
)",
                                              "f.toml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->admin_socket(), "/r/admin.sock");
  EXPECT_EQ(config->listen_api.port, 2);
  EXPECT_EQ(config->advertise_addresses.size(), 1u);
  EXPECT_EQ(config->advertise_nodes.at(1).to_string(), "[2001:db8::1]:7443");
  EXPECT_EQ(config->overlay_v6->to_string(), "fd12:3456:789a::/48");
  EXPECT_EQ(config->node_lease, Seconds(60));
  EXPECT_EQ(config->session_longest, Seconds(8 * 3600));
  EXPECT_EQ(config->metrics_listen->port, 9464);
  EXPECT_EQ(config->places_database, "/usr/share/GeoIP/GeoLite2-Country.mmdb");
  EXPECT_EQ(config->max_nodes, 5u);
}

struct Bad {
  const char* text;
  const char* place;
  const char* what;
};

TEST(ControllerConfig, SaysWhereAndWhat) {
  const Bad cases[] = {
      {"name = ", "f.toml:3:", ""},
      {"nmae = \"x\"", "f.toml:3:1", "unknown key \"nmae\"; did you mean \"name\"?"},
      {"[listen]\nnode = \"1\"", "f.toml:4:1", "did you mean \"nodes\"?"},
      {"[listen]\nnodes = 7443", "f.toml:4:9", "\"nodes\" is a number, expected a text"},
      {"[listen]\nnodes = \"7443\"", "f.toml:4:9", "nodes"},
      {"listen = 1", "f.toml:3:10", "expected a table"},
      {"[limits]\nnodes = 0", "f.toml:4:9", "expected 1 to"},
      {"[leases]\nnode = \"1s\"", "f.toml:1:1", "leases.node"},
      {"[leases]\nnode = \"soon\"", "f.toml:4:8", ""},
      {"[overlay]\nv4 = \"10.0.0.0/8\"", "f.toml:4:6", "100.64.0.0/10"},
      {"[overlay]\nv6 = \"2001:db8::/48\"", "f.toml:4:6", ""},
      {"state_directory = \"here\"", "f.toml:3:19", "absolute"},
      {"[advertise]\naddresses = [\"x\"]", "f.toml:4:14", ""},
      {"[advertise]\nnodes = [\"x\"]", "f.toml:4:10", ""},
      {"[advertise]\nnodes = [\"controller.acme.example:7443\"]", "f.toml:4:10", ""},
      {"[advertise]\nnodes = [\"192.0.2.1:0\"]", "f.toml:4:10", "192.0.2.1:0"},
      {"[advertise]\nnodes = [\"[::]:7443\"]", "f.toml:4:10", "nowhere"},
      {"[advertise]\nnodes = [\"192.0.2.1:7443\", \"192.0.2.1:7443\"]", "f.toml:4:28", "twice"},
      {"[places]\ndatabase = \"countries.mmdb\"", "f.toml:4:12", "no absolute path"},
      {"[places]\ndatabase = \"\"", "f.toml:4:12", "no absolute path"},
      {"[places]\ndatabase = true", "f.toml:4:12", "expected a text"},
      {"[places]\ndatabases = \"/x\"", "f.toml:4:1", "did you mean \"database\"?"},
      {"[place]\ndatabase = \"/x\"", "f.toml:3:", "did you mean \"places\"?"},
      {"[advertise]\nnames = [1]", "f.toml:4:10", "a number"},
  };
  for (const Bad& bad : cases) {
    const auto config = parse_controller_config(std::string(kLeast) + bad.text, "f.toml");
    ASSERT_FALSE(config) << bad.text;
    const std::string message = config.error().message();
    EXPECT_NE(message.find(bad.place), std::string::npos) << bad.text << ": " << message;
    EXPECT_NE(message.find(bad.what), std::string::npos) << bad.text << ": " << message;
  }
}

TEST(ControllerConfig, WantsANameAndATrustDomain) {
  EXPECT_NE(parse_controller_config("", "f").error().what.find("\"name\" is missing"), std::string::npos);
  EXPECT_NE(parse_controller_config("name = \"c\"", "f").error().what.find("\"trust_domain\" is missing"),
            std::string::npos);
  EXPECT_FALSE(parse_controller_config("name = \"C 1\"\ntrust_domain = \"a\"", "f"));
  EXPECT_FALSE(parse_controller_config("name = \"c\"\ntrust_domain = \"a..b\"", "f"));
}

TEST(ControllerConfig, TellsWhatTheFirstStartSettled) {
  const policy::Installation installation{.trust_domain = "acme.example",
                                          .overlay_v4 = Prefix::parse("100.64.0.0/10").value(),
                                          .overlay_v6 = Prefix::parse("fd12:3456:789a::/48").value(),
                                          .node_lease = Seconds(900)};
  ControllerConfig config;
  EXPECT_TRUE(settled_at_first_start(config, installation).empty()) << "nothing is told";
  config.overlay_v4 = installation.overlay_v4;
  config.overlay_v6 = installation.overlay_v6;
  config.node_lease = installation.node_lease;
  EXPECT_TRUE(settled_at_first_start(config, installation).empty()) << "the same is told";
  config.overlay_v4 = Prefix::parse("100.64.0.0/16").value();
  config.overlay_v6 = Prefix::parse("fd12:3456:789b::/48").value();
  config.node_lease = Seconds(60);
  const auto told = settled_at_first_start(config, installation);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_NE(told[0].find("[overlay] v4 = \"100.64.0.0/16\" is not heeded"), std::string::npos);
  EXPECT_NE(told[1].find("\"fd12:3456:789a::/48\""), std::string::npos);
  EXPECT_NE(told[2].find("[leases] node = \"1m\""), std::string::npos) << told[2];
}

}  // namespace config_test
}  // namespace cordon::controller
