#include "node/agent/check_report.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "tests/support/temp_dir.h"

namespace cordon::node {
namespace check_report_test {

using Names = std::set<std::string>;

class CheckReport : public ::testing::Test {
 protected:
  void write(std::string_view text, mode_t mode = 0644) {
    ASSERT_TRUE(write_file(path, text));
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  Result<Names> read(Seconds later = Seconds(0)) {
    return read_check_report(path, Seconds(600), system_clock().now() + later, ::getuid());
  }
  std::string refusal(Seconds later = Seconds(0)) {
    const auto names = read(later);
    return names ? "" : names.error().message();
  }

  cordon::test::TempDir dir;
  std::filesystem::path path = dir / "checks";
};

TEST_F(CheckReport, IsOneNameALine) {
  write("# by /etc/cron.d/checks\nos_updates\n\n  configuration # sshd, disks\r\nos_updates\nsite.vpn-off");
  const auto names = read();
  ASSERT_TRUE(names) << names.error().message();
  EXPECT_EQ(*names, (Names{"os_updates", "configuration", "site.vpn-off"}));
  write("# nothing passes\n");
  EXPECT_EQ(read().value(), Names{});
  write("");
  EXPECT_EQ(read().value(), Names{});
}

TEST_F(CheckReport, ThatIsNoLongerWrittenIsNoReport) {
  write("os_updates\n");
  EXPECT_TRUE(read(Seconds(590)));
  EXPECT_NE(refusal(Seconds(601)).find("it was last written 60"), std::string::npos) << refusal(Seconds(601));
  EXPECT_NE(refusal(Seconds(-120)).find("in the future"), std::string::npos);
}

TEST_F(CheckReport, ThatOthersMayWriteIsRefused) {
  for (const mode_t mode : {0664u, 0646u}) {
    write("os_updates\n", mode);
    EXPECT_NE(refusal().find("others than root"), std::string::npos) << refusal();
  }
  write("os_updates\n");
  if (::getuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
    EXPECT_NE(refusal().find("others than root"), std::string::npos) << refusal();
  }
}

TEST_F(CheckReport, BadFilesAreRefusedWithTheirPlace) {
  EXPECT_NE(refusal().find((dir / "checks").string()), std::string::npos) << "it isn't there";
  write("os_updates\nos updates\n");
  EXPECT_NE(refusal().find("line 2"), std::string::npos) << refusal();
  write(std::string(100'000, 'x'));
  EXPECT_NE(refusal().find("16 KiB"), std::string::npos) << refusal();
  std::string many;
  for (int i = 0; i < 65; ++i) many += "c" + std::to_string(i) + "\n";
  write(many);
  EXPECT_NE(refusal().find("64 checks"), std::string::npos) << refusal();
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/etc/hostname", path);
  EXPECT_FALSE(read());
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(refusal().find("no regular file"), std::string::npos) << refusal();
}

}  // namespace check_report_test
}  // namespace cordon::node
