// What may stand behind a gateway, and what the fold keeps of it.
#include <gtest/gtest.h>

#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace world_behind_test {

using namespace test;
using namespace kinds;
using policy::DeviceState;

DeviceAdded added(const std::string& name, const std::string& gateway,
                  const std::vector<std::string>& prefixes) {
  DeviceAdded out{.device = DeviceId(name),
                  .gateway = DeviceId(gateway),
                  .prefixes = {},
                  .tags = {"print"},
                  .ownership = policy::Ownership::company};
  for (const std::string& prefix : prefixes) out.prefixes.push_back(must(Prefix::parse(prefix)));
  return out;
}

class WorldBehind : public testing::Test {
 protected:
  WorldBehind() {
    h.add(installation());
    h.add(join_token("t-1"));
    h.add(join_token("t-2", 5, false));
    h.add(enrolled("gw-1", "t-1", 1));
    h.add(enrolled("waits", "t-2", 2));
    h.add(added("printer", "gw-1", {"192.168.7.20/32"}));
  }
  const policy::Device& device(const char* id) { return h.world.devices.at(DeviceId(id)); }

  void refused(const Kind& kind, ErrorCode code, const std::string& part, const std::string& mend) {
    const auto result = h.try_add(kind);
    ASSERT_FALSE(result) << part;
    EXPECT_EQ(result.error().code, code) << result.error().message();
    EXPECT_NE(result.error().what.find(part), std::string::npos) << result.error().message();
    EXPECT_NE(result.error().hint.find(mend), std::string::npos) << result.error().message();
  }

  History h;
};

TEST_F(WorldBehind, ItIsADeviceAsActiveAsItsGatewayWithoutKeysOrAddresses) {
  const auto& printer = device("printer");
  EXPECT_EQ(printer.state, DeviceState::active);
  EXPECT_EQ(printer.number, 3u);
  EXPECT_EQ(printer.tags, (std::set<std::string>{"print"}));
  EXPECT_EQ(printer.ownership, policy::Ownership::company);
  EXPECT_EQ(printer.addresses, policy::OverlayAddresses{});
  EXPECT_FALSE(h.world.wireguard_keys.contains(WireguardKey{}));
  EXPECT_FALSE(printer.is_node());

  h.add(added("scanner", "waits", {"192.168.8.0/24"}));
  EXPECT_EQ(device("scanner").state, DeviceState::pending);
  refused(DeviceApproved{DeviceId("scanner")}, ErrorCode::conflict, "is behind \"waits\"", "approve waits");
  h.add(DeviceApproved{DeviceId("waits")});
  EXPECT_EQ(device("scanner").state, DeviceState::active);
}

TEST_F(WorldBehind, ItIsTaggedIsolatedReleasedAndRemovedAsADevice) {
  h.add(DeviceTagged{DeviceId("printer"), {"old"}});
  h.add(DeviceClassified{DeviceId("printer"), std::nullopt});
  h.add(DeviceIsolated{DeviceId("printer"), ""});
  EXPECT_TRUE(device("printer").isolated);
  EXPECT_FALSE(device("gw-1").isolated);
  h.add(DeviceReleased{DeviceId("printer")});
  EXPECT_FALSE(device("printer").cut_off());
  h.add(DeviceRemoved{DeviceId("printer"), ""});
  EXPECT_EQ(device("printer").state, DeviceState::removed);
  EXPECT_TRUE(h.world.prefixes.empty());
  h.add(added("printer-2", "gw-1", {"192.168.7.20/32"}));
  refused(added("printer", "gw-1", {"192.168.9.0/24"}), ErrorCode::conflict, "is or was another device's",
          "never");
}

TEST_F(WorldBehind, ItIsCutOffWithItsGatewayAndKeepsItsOwnIsolation) {
  h.add(DeviceIsolated{DeviceId("gw-1"), ""});
  EXPECT_TRUE(device("printer").cut_off());
  EXPECT_FALSE(device("printer").isolated);
  h.add(added("scanner", "gw-1", {"192.168.8.0/24"}));
  EXPECT_TRUE(device("scanner").cut_off()) << "added behind an isolated gateway";
  h.add(DeviceIsolated{DeviceId("printer"), ""});
  h.add(DeviceReleased{DeviceId("gw-1")});
  EXPECT_TRUE(device("printer").cut_off());
  EXPECT_FALSE(device("scanner").cut_off());
}

TEST_F(WorldBehind, AGatewayStaysWhileSomethingIsBehindIt) {
  h.add(added("scanner", "gw-1", {"192.168.8.0/24"}));
  refused(DeviceRemoved{DeviceId("gw-1"), ""}, ErrorCode::conflict,
          "\"gw-1\" is the gateway of printer, scanner", "cordon device remove printer");
  h.add(DeviceRemoved{DeviceId("printer"), ""});
  h.add(DeviceRemoved{DeviceId("scanner"), ""});
  h.add(DeviceRemoved{DeviceId("gw-1"), ""});
}

TEST_F(WorldBehind, OnlyADeviceWithADaemonIsAGateway) {
  refused(added("x", "nobody", {"192.168.8.0/24"}), ErrorCode::not_found, "no device \"nobody\"",
          "device list");
  refused(added("x", "printer", {"192.168.8.0/24"}), ErrorCode::conflict, "is itself behind \"gw-1\"",
          "behind \"gw-1\"");
  refused(added("x", "x", {"192.168.8.0/24"}), ErrorCode::not_found, "no device \"x\"", "");
  h.add(enrolled("gone", "t-1", 3));
  h.add(DeviceRemoved{DeviceId("gone"), ""});
  refused(added("x", "gone", {"192.168.8.0/24"}), ErrorCode::conflict, "\"gone\" was removed", "there");
  refused(added("X", "gw-1", {"192.168.8.0/24"}), ErrorCode::invalid, "can't be a device's name",
          "lower-case");
  auto tagged = added("x", "gw-1", {"192.168.8.0/24"});
  tagged.tags = {"no such tag!"};
  refused(tagged, ErrorCode::invalid, "can't be a tag", "letters");
}

TEST_F(WorldBehind, PrefixesAreOfASiteAndOfNobodyElse) {
  const std::vector<std::pair<std::string, std::string>> reserved = {
      {"0.1.2.0/24", "unspecified"}, {"127.0.0.0/8", "loopback"},         {"169.254.1.1/32", "link-local"},
      {"224.0.0.0/8", "multicast"},  {"239.1.1.1/32", "multicast"},       {"255.255.255.255/32", "broadcast"},
      {"240.0.0.0/8", "reserved"},   {"255.255.255.254/31", "broadcast"}, {"::1/128", "loopback"},
      {"fe80::/64", "link-local"},   {"ff02::/16", "multicast"}};
  for (const auto& [prefix, what] : reserved)
    refused(added("x", "gw-1", {prefix}), ErrorCode::invalid, what, "name the addresses");
  for (const char* wide : {"0.0.0.0/0", "10.0.0.0/7", "2000::/15", "::/0"})
    refused(added("x", "gw-1", {wide}), ErrorCode::invalid, "too wide", "at least");
  for (const char* overlay :
       {"100.64.0.0/10", "100.64.3.0/24", "100.0.0.0/8", "fd12:3456:789a::1/128", "fd12::/16"})
    refused(added("x", "gw-1", {overlay}), ErrorCode::invalid, "overlaps the overlay", "its own site");
  for (const char* taken : {"192.168.7.20/32", "192.168.7.0/24", "192.0.0.0/8"})
    refused(added("x", "waits", {taken}), ErrorCode::conflict, "which is where \"printer\" is",
            "\"printer\"");
  refused(added("x", "gw-1", {"10.0.0.0/8", "10.1.0.0/16"}), ErrorCode::invalid, "overlap", "wider");
  refused(added("x", "gw-1", {}), ErrorCode::invalid, "has no prefix", "addresses or subnets");
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) many.push_back("10.1." + std::to_string(i) + ".0/24");
  auto all = added("x", "gw-1", many);
  std::ranges::sort(all.prefixes);
  refused(all, ErrorCode::invalid, "65 prefixes are too many", "64");
  for (const char* good :
       {"192.168.7.21/32", "10.0.0.0/8", "100.128.0.0/16", "2001:db8::/32", "203.0.113.7/32"})
    EXPECT_TRUE(h.try_add(added("b-" + std::to_string(h.records.size()), "gw-1", {good}))) << good;
}

TEST_F(WorldBehind, NothingThatNeedsADaemonIsTakenOfIt) {
  h.add(user("u-1", "clerk@acme.example"));
  const DeviceId printer("printer");
  WireguardKey key{};
  key.fill(7);
  for (const Kind& kind :
       {Kind(session("s-1", "u-1", "printer", 1000, h.now + Seconds(3600))),
        Kind(WireguardKeyChanged{printer, key}), Kind(WireguardKeyOffered{printer, key}),
        Kind(KeyRotationAsked{printer}),
        Kind(DeviceFacts{.device = printer, .checks = std::set<std::string>{"os_updates"}}),
        Kind(CertificateIssued{printer, "0a", h.now})})
    refused(kind, ErrorCode::conflict, "is behind \"gw-1\" and has no daemon", "");
  EXPECT_EQ(h.try_add(enrolled("printer", "t-1", 9)).error().code, ErrorCode::conflict);
}

TEST_F(WorldBehind, TwoThatCouldMeetNeverShareABatch) {
  const auto meet = [](const Kind& a, const Kind& b) {
    const auto one = touches(a), other = touches(b);
    return std::ranges::any_of(
        one, [&](const std::string& t) { return std::ranges::find(other, t) != other.end(); });
  };
  const Kind printer = added("a", "gw-1", {"10.1.0.0/16"});
  EXPECT_TRUE(meet(printer, added("b", "waits", {"10.0.0.0/8"}))) << "prefixes";
  EXPECT_TRUE(meet(printer, DeviceRemoved{DeviceId("gw-1"), ""})) << "the gateway";
  EXPECT_TRUE(meet(printer, DeviceIsolated{DeviceId("gw-1"), ""}));
  EXPECT_FALSE(meet(printer, DeviceIsolated{DeviceId("waits"), ""}));
}

}  // namespace world_behind_test
}  // namespace cordon::controller
