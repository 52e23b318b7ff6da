// The small tables that compile() is made of: ports, deadline slots, guarded ports.

#include <gtest/gtest.h>

#include "policy/deadline_slots.h"
#include "policy/guard_ports.h"
#include "policy/port_map.h"
#include "policy/port_table.h"
#include "tests/support/world_builder.h"

namespace cordon::policy {
namespace tables_test {

Offer offer(std::uint32_t rule, std::initializer_list<const char*> accesses, bool deny = false) {
  Offer out;
  out.value = {.rule = RuleId{rule}, .deny = deny, .lease_s = deny ? 0u : 900u};
  for (const char* text : accesses) {
    const auto parsed = parse_access(text).value();
    out.accesses.insert(out.accesses.end(), parsed.begin(), parsed.end());
  }
  return out;
}

PortGrant entry(std::uint8_t protocol, std::uint8_t bits, std::uint16_t port, const Offer& from) {
  return {.protocol = protocol, .port_bits = bits, .port = port, .value = from.value};
}

TEST(PortMap, KeepsRuns) {
  PortMap<int> map;
  map.paint({10, 20}, 1);
  map.paint({15, 65535}, 2);
  map.paint({0, 0}, 3);
  map.paint({21, 30}, 2);
  const std::vector<std::pair<PortRange, int>> expected{
      {{0, 0}, 3}, {{1, 9}, 0}, {{10, 14}, 1}, {{15, 65535}, 2}};
  EXPECT_EQ(map.runs(), expected);
}

TEST(PortTable, CutsRangesIntoPrefixes) {
  EXPECT_EQ(prefixes_of({0, 65535}), (std::vector<PortPrefix>{{0, 0}}));
  EXPECT_EQ(prefixes_of({443, 443}), (std::vector<PortPrefix>{{443, 16}}));
  EXPECT_EQ(prefixes_of({8000, 8099}), (std::vector<PortPrefix>{{8000, 10}, {8064, 11}, {8096, 14}}));
  EXPECT_EQ(prefixes_of({65535, 65535}), (std::vector<PortPrefix>{{65535, 16}}));
  EXPECT_EQ(prefixes_of({1, 65535}).size(), 16u);
}

TEST(PortTable, NothingGrantedIsEmpty) {
  EXPECT_TRUE(port_table({}, {}).empty());
  EXPECT_TRUE(port_table({}, {offer(1, {"any"}, true)}).empty());
  EXPECT_TRUE(port_table({offer(1, {"tcp/22"})}, {offer(2, {"tcp"}, true)}).empty());
  EXPECT_TRUE(port_table({offer(1, {"any"})}, {offer(2, {"any"}, true)}).empty());
}

TEST(PortTable, OnePortOneEntry) {
  const Offer a = offer(1, {"tcp/443", "ping"});
  EXPECT_EQ(port_table({a}, {}), (std::vector<PortGrant>{entry(kIcmp, 16, 8, a), entry(kTcp, 16, 443, a),
                                                         entry(kIcmpv6, 16, 128, a)}));
}

TEST(PortTable, ForbidsAreCutOutOfRangesWithoutDenyEntries) {
  const Offer a = offer(1, {"tcp/80-83"});
  EXPECT_EQ(port_table({a}, {offer(2, {"tcp/81"}, true)}),
            (std::vector<PortGrant>{entry(kTcp, 16, 80, a), entry(kTcp, 15, 82, a)}));
}

TEST(PortTable, OnlyTheAnyProtocolGrantNeedsDenyEntries) {
  const Offer any = offer(1, {"any"}), ssh = offer(2, {"tcp/22"}, true), udp = offer(3, {"udp"}, true);
  EXPECT_EQ(port_table({any}, {ssh, udp}),
            (std::vector<PortGrant>{entry(0, 0, 0, any), entry(kTcp, 16, 22, ssh), entry(kUdp, 0, 0, udp)}));
}

TEST(PortTable, TheFirstAllowThatCoversAPortHasIt) {
  const Offer first = offer(1, {"tcp/443"}), second = offer(2, {"tcp"});
  const auto table = port_table({first, second}, {});
  EXPECT_EQ(table.size(), 17u);
  EXPECT_EQ(port_table({second, first}, {}), (std::vector<PortGrant>{entry(kTcp, 0, 0, second)}));
}

TEST(DeadlineSlots, DifferentDeadlinesGetDifferentSlotsInOrder) {
  const DeadlineSlots slots({from_us(30), from_us(10), kNever, from_us(10)});
  EXPECT_EQ(slots.slot(from_us(10)), 0);
  EXPECT_EQ(slots.slot(from_us(30)), 1);
  EXPECT_EQ(slots.slot(kNever), 2);
  EXPECT_EQ(slots.values()[0], from_us(10));
  EXPECT_EQ(slots.values()[2], kNever);
  EXPECT_EQ(slots.values()[7], kNever);
}

TEST(DeadlineSlots, P7_MoreThanEightShareTheEarlier) {
  std::vector<Timestamp> deadlines;
  for (int i = 1; i <= 12; ++i) deadlines.push_back(from_us(i));
  const DeadlineSlots slots(deadlines);
  for (const Timestamp deadline : deadlines) EXPECT_LE(slots.values()[slots.slot(deadline)], deadline);
  EXPECT_EQ(slots.slot(from_us(8)), 7);
  EXPECT_EQ(slots.slot(from_us(12)), 7);
}

std::map<GuardKey, GuardValue> guard(const std::string& toml, std::set<std::string> tags) {
  test::WorldBuilder builder;
  builder.policy(toml);
  const Device& device = builder.device("d", std::move(tags));
  const Selectors selectors(*builder.world().policy);
  return guard_ports(selectors, selectors.segments_of(device));
}

constexpr const char* kSegments = R"(
[segments.a]
members = ["tag:a"]
[segments.a.services]
x = ["tcp/443", "tcp/8000-8099"]
y = ["tcp/444"]
[segments.open]
members = ["tag:open"]
underlay = "open"
[segments.open.services]
x = ["tcp/440-450", "udp/53"]
[segments.observed]
members = ["tag:observed"]
mode = "observe"
[segments.observed.services]
x = ["any"]
)";

TEST(GuardPorts, I13_ServicePortsAreClosed) {
  const std::map<GuardKey, GuardValue> expected{{{.protocol = kTcp, .ports = {443, 444}}, {}},
                                                {{.protocol = kTcp, .ports = {8000, 8099}}, {}}};
  EXPECT_EQ(guard(kSegments, {"a"}), expected);
  EXPECT_TRUE(guard(kSegments, {}).empty());
}

TEST(GuardPorts, OpenAndObservingSegmentsOnlyCount) {
  EXPECT_EQ(guard(kSegments, {"open"}),
            (std::map<GuardKey, GuardValue>{{{.protocol = kTcp, .ports = {440, 450}}, {.count_only = true}},
                                            {{.protocol = kUdp, .ports = {53, 53}}, {.count_only = true}}}));
  EXPECT_EQ(guard(kSegments, {"observed"}),
            (std::map<GuardKey, GuardValue>{{{.protocol = 0, .ports = {}}, {.count_only = true}}}));
}

TEST(GuardPorts, WhatAnObservedClosedWouldDropIsCounted) {
  constexpr const char* kClosed = R"(
[segments.a]
members = ["tag:a"]
[segments.a.services]
x = ["tcp/443"]
[segments.observed]
members = ["tag:observed"]
mode = "observe"
underlay = "closed"
[segments.observed.services]
x = ["tcp/22"]
)";
  const GuardKey everything{.protocol = 0, .ports = {}};
  EXPECT_EQ(guard(kClosed, {"observed"}),
            (std::map<GuardKey, GuardValue>{{everything, {.count_only = true}}}));
  EXPECT_EQ(guard(kClosed, {"a", "observed"}),
            (std::map<GuardKey, GuardValue>{{everything, {.count_only = true}},
                                            {{.protocol = kTcp, .ports = {443, 443}}, {}}}));
  test::WorldBuilder builder;
  builder.policy(kClosed);
  const Selectors selectors(*builder.world().policy);
  const auto underlay = [&](std::set<std::string> tags) {
    return strictest_underlay(selectors, selectors.segments_of(builder.device("d", std::move(tags))));
  };
  EXPECT_EQ(underlay({"observed"}), Underlay::open);
  EXPECT_EQ(underlay({"a", "observed"}), Underlay::guard);
}

TEST(GuardPorts, AMemberOfSeveralSegmentsGetsTheStrictest) {
  const auto both = guard(kSegments, {"a", "open"});
  EXPECT_EQ(both.at({.protocol = kTcp, .ports = {440, 450}}), GuardValue{});
  EXPECT_EQ(both.at({.protocol = kUdp, .ports = {53, 53}}), GuardValue{});
  const auto observed = guard(kSegments, {"a", "observed"});
  EXPECT_EQ(observed.at({.protocol = 0, .ports = {}}), GuardValue{.count_only = true});
  EXPECT_EQ(observed.at({.protocol = kTcp, .ports = {443, 444}}), GuardValue{});
  const auto counted = guard(kSegments, {"open", "observed"});
  EXPECT_EQ(counted.size(), 1u) << "what the entry for any protocol says already isn't said again";
}

}  // namespace tables_test
}  // namespace cordon::policy
