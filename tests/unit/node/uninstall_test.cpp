// `cordon-node uninstall` takes away what a daemon that is gone left: filter, pins, tunnel, socket. In a
// network namespace and under pins of the test's own.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <net/if.h>

#include <filesystem>
#include <optional>

#include "base/files.h"
#include "node/agent/commands.h"
#include "node/agent/config.h"
#include "tests/support/network_namespace.h"
#include "tests/support/temp_dir.h"

namespace cordon::node {
namespace uninstall_test {

class Uninstall : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "network namespaces need root";
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
    if (std::system("command -v wireguard-go >/dev/null") != 0) GTEST_SKIP() << "no wireguard-go";
    if (!std::filesystem::is_directory("/sys/fs/bpf/")) GTEST_SKIP() << "no bpf file system";
    space_.emplace();
    std::filesystem::create_directories(pins_.parent_path());
    std::filesystem::create_directories(directory_ / "state");
    std::filesystem::create_directories(directory_ / "run");
    const auto key = directory_ / "state" / "device.key";
    ASSERT_TRUE(write_file(key, "kept", 0600));
    const std::string text = fmt::format(
        R"(instance = "t{0}"
name = "ledger"
state_directory = "{1}/state"
run_directory = "{1}/run"
controllers = ["198.51.100.1:7443"]
[tunnel]
backend = "userspace"
interface = "{2}"
[filter]
pin_directory = "{3}"
cgroup = ""
[filter.maps]
principals = 1024
targets = 1024
grants = 4096
flows = 4096
)",
        getpid() % 10'000, directory_.path().string(), interface_, pins_.string());
    ASSERT_TRUE(write_file(file_, text, 0600));
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove(pins_.parent_path(), ignored);  // when no other instance lives there
  }

  /// What a daemon sets up and leaves when it is killed.
  void leave_what_a_daemon_leaves() {
    const auto config = load_node_config(file_);
    ASSERT_TRUE(config) << config.error().message();
    const auto tunnel = open_tunnel(tunnel_config(*config));
    ASSERT_TRUE(tunnel) << tunnel.error().message();
    const auto filter = open_filter(filter_config(*config, ""));
    ASSERT_TRUE(filter) << filter.error().message();
    ASSERT_TRUE((*filter)->attach_overlay((*tunnel)->ifindex()));
    ASSERT_TRUE(write_file(directory_ / "run" / "node.sock", "", 0666));
  }

  cordon::test::TempDir directory_;
  const std::filesystem::path file_ = directory_ / "node.toml";
  const std::filesystem::path pins_ = fmt::format("/sys/fs/bpf/cordon-test/uninstall-{}", getpid());
  const std::string interface_ = fmt::format("u-{}", getpid() % 10'000'000);
  std::optional<TestNamespace> space_;
};

TEST_F(Uninstall, TakesAwayWhatAKilledDaemonLeft) {
  space_->in([&] {
    leave_what_a_daemon_leaves();
    ASSERT_NE(if_nametoindex(interface_.c_str()), 0u) << "the tunnel outlives the daemon";
    ASSERT_FALSE(std::filesystem::is_empty(pins_)) << "and so does the filter";
    // Again is as good as once: who isn't sure runs it once more.
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(run_uninstall({.config = file_}), 0);
      EXPECT_EQ(if_nametoindex(interface_.c_str()), 0u);
      EXPECT_TRUE(!std::filesystem::exists(pins_) || std::filesystem::is_empty(pins_));
      EXPECT_FALSE(std::filesystem::exists(directory_ / "run" / "node.sock"));
    }
    EXPECT_EQ(read_file(directory_ / "state" / "device.key").value_or(""), "kept");
    std::filesystem::remove(pins_);
  });
}

TEST_F(Uninstall, RefusesAConfigurationThatIsWrong) {
  ASSERT_TRUE(write_file(file_, "nmae = \"x\"\n", 0600));
  EXPECT_EQ(run_uninstall({.config = file_}), 2);
}

}  // namespace uninstall_test
}  // namespace cordon::node
