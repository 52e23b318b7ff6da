#include "controller/flows/flows.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "controller/core/metrics.h"
#include "controller/distribution/address_book.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace flows_test {

using namespace test;

FlowRecord denial(const std::string& source, const std::string& reason = "no grant") {
  return {.at = kStart,
          .node = DeviceId("ledger"),
          .kind = "denied",
          .source = must(Address::parse(source)),
          .destination = must(Address::parse("100.64.0.1")),
          .protocol = 6,
          .destination_port = 5432,
          .reason = reason,
          .direction = "ingress"};
}

class FlowsTest : public testing::Test {
 protected:
  void open(FlowLimits limits = {}) {
    flows_.reset();
    flows_ = must(Flows::open(dir_ / "flows.db", metrics_, limits));
  }
  std::future<FlowsAfter> follow(std::int64_t id, std::chrono::milliseconds wait, FlowQuery query = {}) {
    auto promise = std::make_shared<std::promise<FlowsAfter>>();
    flows_->follow(std::move(query), id, wait,
                   [promise](Result<FlowsAfter> found) { promise->set_value(must(std::move(found))); });
    return promise->get_future();
  }
  void wait_for(std::uint64_t written) {
    const auto end = std::chrono::steady_clock::now() + Seconds(10);
    while (metrics_.counted("flows") < written && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    ASSERT_EQ(metrics_.counted("flows"), written);
  }
  std::vector<FlowRecord> kept() {
    flows_.reset();
    return must(must(open_flow_store(dir_ / "flows.db"))->query({.limit = 10'000}));
  }

  TempDir dir_;
  Metrics metrics_;
  std::unique_ptr<Flows> flows_;
};

constexpr std::chrono::milliseconds kNotAtAll{0}, kLong{20'000};

TEST_F(FlowsTest, WhatWasAddedIsWrittenBeforeItEnds) {
  open();
  for (int i = 0; i < 10; ++i) flows_->add({denial("100.64.0.2")});
  EXPECT_EQ(kept().size(), 10u);
  EXPECT_EQ(metrics_.counted("flows"), 10u);
}

TEST_F(FlowsTest, AFollowerIsToldWhenSomethingComesAndGoesOnFromThere) {
  open();
  auto first = follow(0, kLong);
  EXPECT_EQ(first.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout) << "there is nothing";
  flows_->add({denial("100.64.0.2")});
  const FlowsAfter one = first.get();
  ASSERT_EQ(one.flows.size(), 1u);
  auto second = follow(one.last, kLong);
  flows_->add({denial("100.64.0.3")});
  EXPECT_EQ(second.get().flows.at(0).source.to_string(), "100.64.0.3");
}

TEST_F(FlowsTest, APlaceOutlivesARestart) {
  open();
  flows_->add({denial("100.64.0.2")});
  const std::int64_t place = follow(0, kLong).get().last;
  open();
  flows_->add({denial("100.64.0.3")});
  EXPECT_EQ(follow(place, kLong).get().flows.at(0).source.to_string(), "100.64.0.3");
}

TEST_F(FlowsTest, WhatAFollowerDidNotAskForMovesItsPlaceAndWakesNobody) {
  open();
  auto waiting = follow(0, std::chrono::milliseconds(300), {.reason = "forbidden"});
  flows_->add({denial("100.64.0.2")});
  const FlowsAfter none = waiting.get();
  EXPECT_TRUE(none.flows.empty());
  EXPECT_EQ(none.last, 1);
}

TEST_F(FlowsTest, OneFollowerTooManyIsAnsweredAtOnceAndAllAreAtTheEnd) {
  open({.followers = 1});
  auto waiting = follow(0, kLong);
  EXPECT_TRUE(follow(0, kLong).get().flows.empty());
  flows_->stop();
  EXPECT_TRUE(waiting.get().flows.empty());
}

TEST_F(FlowsTest, AFollowerFarBehindIsToldInSteps) {
  open({.look_at = 10});
  std::vector<FlowRecord> many(25, denial("100.64.0.2"));
  many.push_back(denial("100.64.0.3", "forbidden"));
  flows_->add(std::move(many));
  wait_for(26);
  std::int64_t place = 0;
  for (int steps = 0; steps < 3; ++steps) {
    const FlowsAfter step = follow(place, kLong, {.reason = "forbidden"}).get();
    EXPECT_EQ(step.more, steps < 2);
    EXPECT_EQ(step.flows.size(), steps < 2 ? 0u : 1u);
    place = step.last;
  }
  EXPECT_EQ(place, 26);
}

TEST_F(FlowsTest, ADiskThatIsSlowLosesNoCountOfADenial) {
  // No more than a batch is written in the time that this takes.
  open({.waiting = 8, .batch = 1, .pause = std::chrono::hours(1)});
  constexpr int kAll = 5'000;
  for (int i = 0; i < kAll; ++i) flows_->add({denial("100.64.0." + std::to_string(i % 4))});
  std::map<std::string, std::uint64_t> counted;
  for (const FlowRecord& flow : kept()) counted[flow.source.to_string()] += flow.suppressed + 1;
  ASSERT_EQ(counted.size(), 4u);
  for (const auto& [source, count] : counted) EXPECT_EQ(count, kAll / 4u) << source;
  EXPECT_EQ(metrics_.counted("flows_dropped", "room"), 0u);
}

TEST_F(FlowsTest, ASlowDiskAndMoreSourcesThanPlacesLoseNoCountOfADenial) {
  open({.waiting = 8, .batch = 1, .pause = std::chrono::hours(1)});
  constexpr std::uint64_t kAll = 1'000;
  for (std::uint64_t i = 0; i < kAll; ++i) flows_->add({denial("100.64.1." + std::to_string(i % 250))});
  std::uint64_t counted = 0, others = 0;
  for (const FlowRecord& flow : kept()) {
    counted += flow.suppressed + 1;
    if (flow.source == Address{}) others += flow.suppressed + 1;
  }
  EXPECT_EQ(counted, kAll);
  EXPECT_GT(others, 0u);
  EXPECT_EQ(metrics_.counted("flows_dropped", "room"), 0u);
}

TEST_F(FlowsTest, WhatHasNoRoomIsCounted) {
  open({.waiting = 8, .batch = 1, .pause = std::chrono::hours(1)});
  std::vector<FlowRecord> opened;
  for (int i = 0; i < 1'000; ++i) {
    opened.push_back(denial("100.64.0.2"));
    opened.back().kind = "opened";
  }
  flows_->add(std::move(opened));
  const std::size_t there = kept().size();
  EXPECT_LT(there, 1'000u);
  EXPECT_EQ(there + metrics_.counted("flows_dropped", "room"), 1'000u);
}

TEST_F(FlowsTest, WhatIsReadAsideDoesNotHoldUpWhoAdds) {
  open();
  std::promise<void> go_on;  // dropped without a value, it ends the wait too
  const auto reads = std::make_shared<std::promise<void>>();
  flows_->read([reads, until = go_on.get_future().share()](FlowStore&) {
    reads->set_value();
    until.wait();
  });
  reads->get_future().wait();
  for (int i = 0; i < 100; ++i) flows_->add({denial("100.64.0.2")});
  wait_for(100);  // while a reader is busy
  go_on.set_value();
}

/// Sessions that begin a second apart, each on an address of its own, and last an hour.
struct ManyLogins {
  policy::World world;
  AddressBook book;
  unsigned logins = 0;
  explicit ManyLogins(std::size_t most) : book(world, most) {}

  static Address address(unsigned login) { return Address::from_v4(0x64400000 + login); }
  static Timestamp at(unsigned login) { return kStart + Seconds(login); }
  void log_in() {
    const unsigned login = ++logins;
    const std::string id = "s-" + std::to_string(login);
    policy::Session session{.id = SessionId(id),
                            .user = SubjectId("u-" + std::to_string(login)),
                            .device = DeviceId("laptop"),
                            .ends_at = at(login) + std::chrono::hours(1),
                            .addresses = {.v4 = address(login)}};
    const auto opened = test::session(id, session.user.value, "laptop", 1000, session.ends_at);
    world.sessions.put(std::move(session));
    book.update(next_record(world, kinds::encode("device:laptop", opened), at(login)), world);
    world.sessions.close(SessionId(id));
  }
  void pass_to(Timestamp when) {
    book.update(next_record(world, kinds::encode("controller", kinds::TimeAdvanced{}), when), world);
  }
};

TEST(AddressBook, ForgetsWhoseTimeNoReportCanBeOf) {
  ManyLogins many(100);
  for (int i = 0; i < 10; ++i) many.log_in();
  EXPECT_EQ(many.book.size(), 10u);
  const Timestamp first_ends = ManyLogins::at(1) + std::chrono::hours(1);
  many.pass_to(first_ends + kLatestReport - Seconds(1));
  ASSERT_NE(many.book.find(ManyLogins::address(1), first_ends - Seconds(1)), nullptr);
  many.pass_to(first_ends + kLatestReport);
  EXPECT_EQ(many.book.find(ManyLogins::address(1), first_ends - Seconds(1)), nullptr);
  EXPECT_EQ(many.book.size(), 9u);
  many.pass_to(first_ends + kLatestReport + Seconds(9));
  EXPECT_EQ(many.book.size(), 0u);
}

TEST(AddressBook, ADayOfOwnersOfOneAddressIsKept) {
  policy::World world;
  AddressBook book(world);
  const Address address = must(Address::parse("100.64.0.9"));
  for (int hour = 0; hour < 48; ++hour) {
    const Timestamp at = kStart + std::chrono::hours(hour);
    const std::string id = "s-" + std::to_string(hour);
    world.sessions.put({.id = SessionId(id),
                        .user = SubjectId("u-" + std::to_string(hour)),
                        .device = DeviceId("laptop"),
                        .ends_at = at + std::chrono::hours(12),
                        .addresses = {.v4 = address}});
    const auto opened = test::session(id, "u", "laptop", 1000, at + std::chrono::hours(12));
    book.update(next_record(world, kinds::encode("device:laptop", opened), at), world);
  }
  EXPECT_EQ(book.find(address, kStart + std::chrono::hours(30))->person, "u-30");
  EXPECT_EQ(book.find(address, kStart + std::chrono::hours(25))->person, "u-25");
  EXPECT_LE(book.size(), 26u);
}

TEST(AddressBook, PastItsPlacesTheOldestGo) {
  ManyLogins many(4);
  for (int i = 0; i < 10; ++i) many.log_in();
  EXPECT_EQ(many.book.size(), 4u);
  EXPECT_EQ(many.book.find(ManyLogins::address(6), ManyLogins::at(10)), nullptr);
  EXPECT_EQ(many.book.find(ManyLogins::address(7), ManyLogins::at(10))->person, "u-7");
}

TEST(AddressBook, NamesWhoHadTheAddressThen) {
  policy::World world;
  const Address address = must(Address::parse("100.64.0.9"));
  const auto session = [&](const std::string& id, const std::string& user, Timestamp at) {
    world.sessions.put({.id = SessionId(id),
                        .user = SubjectId(user),
                        .device = DeviceId("laptop"),
                        .authenticated_at = at,
                        .addresses = {.v4 = address}});
  };
  session("s-1", "u-1", kStart);
  AddressBook book(world);
  EXPECT_EQ(book.find(address, kStart)->person, "u-1");
  EXPECT_EQ(book.find(address, kStart - Seconds(60)), nullptr) << "before anybody whom we know of";
  world.sessions.clear();
  session("s-2", "u-2", kStart + Seconds(600));
  const auto opened = test::session("s-2", "u-2", "laptop", 1000, kStart + Seconds(900));
  book.update(next_record(world, kinds::encode("device:laptop", opened), kStart + Seconds(600)), world);
  EXPECT_EQ(book.find(address, kStart + Seconds(60))->person, "u-1") << "told late";
  EXPECT_EQ(book.find(address, kStart + Seconds(601))->person, "u-2");
}

TEST_F(FlowsTest, AReportIsKeptWhenAllOfItIs) {
  open({.batch = 4, .pause = std::chrono::milliseconds(1)});
  std::promise<std::size_t> written;
  flows_->on_kept([&](const std::vector<FlowMark>& marks) {
    EXPECT_EQ(marks, (std::vector<FlowMark>{{.node = DeviceId("ledger"), .boot = "b", .sequence = 9}}));
    written.set_value(metrics_.counted("flows"));
  });
  std::vector<FlowRecord> many;
  for (int i = 0; i < 11; ++i) many.push_back(denial("100.64.0.2"));
  flows_->add(std::move(many), FlowMark{.node = DeviceId("ledger"), .boot = "b", .sequence = 9});
  EXPECT_EQ(written.get_future().get(), 11u);
  open();
  ASSERT_EQ(flows_->marks().size(), 1u) << "an ack that was lost is given again after a restart";
  EXPECT_EQ(flows_->marks().front().sequence, 9u);
  flows_->add({}, FlowMark{.node = DeviceId("ledger"), .boot = "c", .sequence = 1});
  open();
  EXPECT_EQ(flows_->marks(),
            (std::vector<FlowMark>{{.node = DeviceId("ledger"), .boot = "c", .sequence = 1}}))
      << "a report that told nothing, of another boot";
}

}  // namespace flows_test
}  // namespace cordon::controller
