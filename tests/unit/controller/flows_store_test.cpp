#include <gtest/gtest.h>

#include <algorithm>

#include "controller/flows/flow_store.h"
#include "controller/log/sqlite.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace flows_store_test {

using namespace test;

FlowRecord flow(Timestamp at, const std::string& node, const std::string& kind) {
  return {.at = at,
          .node = DeviceId(node),
          .kind = kind,
          .source = must(Address::parse("100.64.0.1")),
          .destination = must(Address::parse("fd00::1")),
          .person = "u-1",
          .source_device = "laptop",
          .destination_device = node,
          .protocol = 6,
          .source_port = 40000,
          .destination_port = 5432,
          .rule = "traders",
          .reason = "",
          .direction = "ingress",
          .packets = 3,
          .bytes = 400,
          .suppressed = 1};
}

class FlowStoreTest : public testing::Test {
 protected:
  TempDir dir_;
  std::unique_ptr<FlowStore> store_ = must(open_flow_store(dir_ / "flows.db"));
};

TEST_F(FlowStoreTest, GivesBackWhatItWasGivenNewestFirst) {
  must(store_->add({flow(kStart, "ledger", "opened"), flow(kStart + Seconds(1), "web", "denied")}));
  const auto all = must(store_->query({}));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].kind, "denied");
  EXPECT_EQ(all[1].source.to_string(), "100.64.0.1");
  EXPECT_EQ(all[1].destination.to_string(), "fd00::1");
  EXPECT_EQ(all[1].destination_port, 5432);
  EXPECT_EQ(all[1].person, "u-1");
  EXPECT_EQ(all[1].bytes, 400u);
}

TEST_F(FlowStoreTest, Filters) {
  must(store_->add({flow(kStart, "ledger", "opened"), flow(kStart + Seconds(1), "web", "denied")}));
  EXPECT_EQ(must(store_->query({.kind = "denied"})).size(), 1u);
  EXPECT_EQ(must(store_->query({.device = "ledger"})).size(), 1u);
  EXPECT_EQ(must(store_->query({.device = "laptop"})).size(), 2u) << "as a source";
  EXPECT_EQ(must(store_->query({.since = kStart + Seconds(1)})).size(), 1u);
  EXPECT_EQ(must(store_->query({.limit = 1})).size(), 1u);
}

TEST_F(FlowStoreTest, FiltersByWhoAndWhatAndWhy) {
  FlowRecord allowed = flow(kStart, "ledger", "opened");
  allowed.segment = "settlement";
  allowed.service = "ledger";
  FlowRecord denied = flow(kStart, "ledger", "denied");
  denied.person = "u-2";
  denied.source_device = "clerk";
  denied.source = must(Address::parse("100.64.0.2"));
  denied.segment = "lab,settlement";  // no service has the port
  denied.rule = "freeze";
  denied.reason = "forbidden";
  FlowRecord observed = flow(kStart, "ledger", "denied");
  observed.reason = "observed";
  FlowRecord around = flow(kStart, "ledger", "underlay");
  around.reason = "underlay observed";
  must(store_->add({allowed, denied, observed, around}));
  const auto found = [&](const FlowQuery& query) {
    std::vector<std::int64_t> ids;
    for (const FlowRecord& record : must(store_->query(query))) ids.push_back(record.id);
    std::ranges::sort(ids);
    return ids;
  };
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(found({.verdict = "allowed"}), (Ids{1}));
  EXPECT_EQ(found({.verdict = "denied"}), (Ids{2}));
  EXPECT_EQ(found({.verdict = "observed"}), (Ids{3, 4}));
  EXPECT_EQ(found({.rule = "freeze"}), (Ids{2}));
  EXPECT_EQ(found({.reason = "forbidden"}), (Ids{2}));
  EXPECT_EQ(found({.from = FlowEnd{.person = "u-2"}}), (Ids{2}));
  EXPECT_EQ(found({.from = FlowEnd{.device = "laptop"}}), (Ids{1, 3, 4}));
  EXPECT_EQ(found({.from = FlowEnd{.address = must(Address::parse("100.64.0.2"))}}), (Ids{2}));
  EXPECT_EQ(found({.from = FlowEnd{}}), Ids{}) << "nobody";
  EXPECT_EQ(found({.to = FlowEnd{.segment = "settlement"}}), (Ids{1, 2}));
  EXPECT_EQ(found({.to = FlowEnd{.segment = "settle"}}), Ids{}) << "a part of a name is no name";
  EXPECT_EQ(found({.to = FlowEnd{.segment = "settlement", .service = "ledger"}}), (Ids{1}));
  EXPECT_EQ(found({.to = FlowEnd{.device = "ledger"}}), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(found({.verdict = "denied", .from = FlowEnd{.device = "laptop"}}), Ids{});
  EXPECT_EQ(must(store_->query({.verdict = "allowed"})).at(0).service, "ledger");
}

TEST_F(FlowStoreTest, WhatIsRareIsSearchedForInSteps) {
  std::vector<FlowRecord> many;
  for (int i = 0; i < 25; ++i) many.push_back(flow(kStart + Seconds(i / 2), "ledger", "opened"));
  many[0].reason = many[24].reason = "rare";
  must(store_->add(many));
  FlowQuery query{.since = kStart, .reason = "rare"};
  EXPECT_TRUE(query.filters());
  std::vector<std::int64_t> found;
  int steps = 0;
  do {
    query.until = must(store_->place_behind(query, 10));
    for (const FlowRecord& record : must(store_->query(query))) found.push_back(record.id);
    query.before = query.until;
    ++steps;
  } while (query.until);
  EXPECT_EQ(found, (std::vector<std::int64_t>{25, 1}));
  EXPECT_EQ(steps, 3);
  query.before.reset();
  EXPECT_FALSE(must(store_->place_behind(query, 25))) << "no more than so many";
  EXPECT_FALSE(FlowQuery{.since = kStart}.filters());
}

TEST_F(FlowStoreTest, GoesOnBehindAPlaceInOrderOfArrival) {
  // The later one happened before.
  must(store_->add({flow(kStart, "ledger", "opened"), flow(kStart - Seconds(9), "ledger", "denied")}));
  const FlowsAfter all = must(store_->after({}, 0, 100));
  ASSERT_EQ(all.flows.size(), 2u);
  EXPECT_EQ(all.flows[1].kind, "denied");
  EXPECT_EQ(all.last, 2);
  EXPECT_FALSE(all.more);
  const FlowsAfter one = must(store_->after({.limit = 1}, 0, 100));
  EXPECT_EQ(one.last, 1);
  EXPECT_TRUE(one.more);
  const FlowsAfter part = must(store_->after({.kind = "denied"}, 0, 1));
  EXPECT_TRUE(part.flows.empty());
  EXPECT_EQ(part.last, 1);
  EXPECT_TRUE(part.more);
  EXPECT_EQ(must(store_->after({}, 999, 100)).last, 2) << "a place that a power cut took back";
}

TEST_F(FlowStoreTest, PlacesStayWhenEverythingIsOld) {
  must(store_->add({flow(kStart, "ledger", "opened"), flow(kStart, "ledger", "denied")}));
  EXPECT_EQ(must(store_->prune(kStart + Seconds(60), UINT64_MAX)), 1u);
  must(store_->add({flow(kStart + Seconds(90), "ledger", "closed")}));
  EXPECT_EQ(must(store_->last_id()), 3);
}

TEST_F(FlowStoreTest, OpensWhatAnEarlierReleaseWrote) {
  store_.reset();
  std::filesystem::remove(dir_ / "flows.db");
  {
    Sqlite old = must(Sqlite::open(dir_ / "flows.db"));
    must(
        old.execute("CREATE TABLE flows (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, node TEXT NOT NULL, "
                    "kind TEXT NOT NULL, source BLOB NOT NULL, destination BLOB NOT NULL, "
                    "person TEXT NOT NULL, source_device TEXT NOT NULL, destination_device TEXT NOT NULL, "
                    "protocol INTEGER NOT NULL, source_port INTEGER NOT NULL, "
                    "destination_port INTEGER NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL, "
                    "direction TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL, "
                    "suppressed INTEGER NOT NULL);"
                    "INSERT INTO flows VALUES (1, 5, 'ledger', 'opened', x'64400001', x'64400002', '', 'a', "
                    "'b', 6, 1, 2, 'r', '', 'ingress', 0, 0, 0)"));
  }
  for (int times = 0; times < 2; ++times) {
    store_ = must(open_flow_store(dir_ / "flows.db"));
    must(store_->add({flow(kStart, "ledger", "denied")}));
  }
  const auto all = must(store_->query({}));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].rule, "r");
  EXPECT_EQ(all[2].segment, "");
}

TEST_F(FlowStoreTest, AFlowIsOpenUntilEitherEndReportsItsEnd) {
  const auto at = [](FlowRecord record, std::uint16_t port, const std::string& direction) {
    record.source_port = port;
    record.direction = direction;
    return record;
  };
  must(store_->add({at(flow(kStart, "laptop", "opened"), 1, "egress"),
                    at(flow(kStart + Seconds(1), "ledger", "opened"), 1, "ingress"),
                    at(flow(kStart + Seconds(2), "ledger", "opened"), 2, "ingress"),
                    at(flow(kStart + Seconds(3), "ledger", "closed"), 2, "ingress"),
                    at(flow(kStart + Seconds(4), "ledger", "denied"), 3, "ingress"),
                    at(flow(kStart - Seconds(1), "ledger", "opened"), 4, "ingress")}));
  auto observed = at(flow(kStart + Seconds(5), "ledger", "denied"), 5, "ingress");
  observed.reason = "observed";
  must(store_->add({observed}));
  const auto open = must(store_->open(kStart, 100));
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].source_port, 5) << "let through by a target that observes";
  EXPECT_EQ(open[1].source_port, 1) << "told by both ends, one flow";
  EXPECT_EQ(must(store_->open(kStart, 1)).size(), 1u) << "the latest record alone was looked at";
  EXPECT_FALSE(must(store_->fits(kStart, 5)));
  EXPECT_TRUE(must(store_->fits(kStart, 6))) << "the seventh is older";
}

TEST_F(FlowStoreTest, ObservedFlowsAreCountedByDayAndOnce) {
  const auto seen = [](Timestamp at, const std::string& direction, const std::string& reason) {
    FlowRecord record = flow(at, direction == "egress" ? "laptop" : "ledger", "denied");
    record.direction = direction;
    record.reason = reason;
    record.suppressed = 0;
    record.destination_device = "ledger";
    return record;
  };
  const Timestamp day = from_us(to_us(kStart) / 86'400'000'000 * 86'400'000'000);
  for (int i = 0; i < 3; ++i) must(store_->add({seen(day + Seconds(i), "ingress", "observed")}));
  auto told_late = seen(day + Seconds(3), "ingress", "observed");
  told_late.suppressed = 40;  // past the rate they were only counted
  must(store_->add({told_late}));
  must(store_->add({seen(day + Seconds(9), "egress", "observed"),
                    seen(day + Seconds(9), "ingress", "no grant"),
                    seen(day + std::chrono::hours(24), "ingress", "observed")}));
  const auto flows = must(store_->observed(day, 100));
  ASSERT_EQ(flows.size(), 2u);
  EXPECT_EQ(flows[0], (policy::ObservedFlow{.person = SubjectId("u-1"),
                                            .source = DeviceId("laptop"),
                                            .target = DeviceId("ledger"),
                                            .protocol = 6,
                                            .port = 5432,
                                            .count = 44,
                                            .first = day,
                                            .last = day + Seconds(9)}));
  EXPECT_EQ(flows[1].count, 1u);
}

TEST_F(FlowStoreTest, PagesByPlace) {
  // Three of the same moment: the place is the moment and the record.
  must(store_->add({flow(kStart, "ledger", "opened"), flow(kStart, "ledger", "denied"),
                    flow(kStart, "ledger", "closed"), flow(kStart - Seconds(1), "ledger", "underlay")}));
  std::vector<std::string> kinds;
  std::optional<FlowPlace> before;
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = must(store_->query({.limit = 1, .before = before}));
    if (page.empty()) break;
    kinds.push_back(page[0].kind);
    before = FlowPlace{page[0].at, page[0].id};
    // What comes in meanwhile is newer, and moves no page.
    must(store_->add({flow(kStart + Seconds(1), "web", "opened")}));
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"closed", "denied", "opened", "underlay"}));
}

TEST_F(FlowStoreTest, ForgetsByAgeAndBySize) {
  std::vector<FlowRecord> many;
  for (int i = 0; i < 30'000; ++i) many.push_back(flow(kStart + Seconds(i), "ledger", "opened"));
  must(store_->add(many));
  EXPECT_EQ(must(store_->prune(kStart + Seconds(100), UINT64_MAX)), 100u);
  EXPECT_GT(must(store_->prune(kStart, 2u << 20)), 0u);
  const auto left = must(store_->query({.limit = 10'000}));
  ASSERT_FALSE(left.empty());
  EXPECT_EQ(left.front().at, kStart + Seconds(29'999)) << "the newest stay";
}

TEST_F(FlowStoreTest, KeepsThemOverARestart) {
  must(store_->add({flow(kStart, "ledger", "opened")}));
  store_.reset();
  store_ = must(open_flow_store(dir_ / "flows.db"));
  EXPECT_EQ(must(store_->query({})).size(), 1u);
}

}  // namespace flows_store_test
}  // namespace cordon::controller
