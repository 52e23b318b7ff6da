// Captures through the real programs: what POLICY.md says of `policy replay`, and that kernel and evaluator
// agree.

#include "node/filter/replay.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "policy/evaluate.h"
#include "tests/bpf/packet.h"
#include "tests/support/capture_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace replay_test {

using node::ReplayedPacket;

constexpr const char* kPolicy = R"(
[groups]
traders = { users = ["trader@x"] }
vendors = { users = ["vendor@x"] }
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432", "udp/53"]
[segments.watched]
members = ["tag:watched"]
mode    = "observe"
[segments.watched.services]
web = ["tcp/443"]
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders", "vendors"] }
to   = ["settlement/*", "settlement ping"]
lease = "1s"
[[allow]]
name = "traders-to-watched"
from = { groups = ["traders"] }
to   = ["watched/web"]
[[forbid]]
name = "vendors-never"
from = { groups = ["vendors"] }
to   = ["settlement/*"]
)";

struct Told {
  bool accept = false;
  std::string rule, reason;
  policy::Direction where = policy::Direction::egress;
  bool operator==(const Told&) const = default;
};
void PrintTo(const Told& told, std::ostream* out) {
  *out << (told.accept ? "accept" : "drop") << " rule '" << told.rule << "' reason '" << told.reason
       << "' at " << (told.where == policy::Direction::egress ? "egress" : "ingress");
}
const auto kEgress = policy::Direction::egress, kIngress = policy::Direction::ingress;
Told by(std::string rule) {
  return {.accept = true, .rule = std::move(rule), .reason = "", .where = kIngress};
}
Told drop(std::string reason, policy::Direction where = kEgress) {
  return {.accept = false, .rule = "", .reason = std::move(reason), .where = where};
}

class ReplayTest : public testing::TestWithParam<bool> {  // true: IPv4
 protected:
  ReplayTest() {
    builder.policy(kPolicy);
    builder.device("ledger", {"settlement"});
    builder.device("watched", {"watched"});
    builder.device("laptop");
    builder.device("laptop-2");
    builder.session("s-trader", "trader@x", "laptop");
    builder.session("s-vendor", "vendor@x", "laptop-2");
    policy::number_targets(builder.world());
  }

  Address device(const char* id) { return family(builder.world().devices.at(DeviceId{id}).addresses); }
  Address session(const char* id) { return family(builder.world().sessions.at(SessionId{id}).addresses); }
  static Address family(const policy::OverlayAddresses& both) { return GetParam() ? both.v4 : both.v6; }
  static Address stranger() { return address(GetParam() ? "100.64.99.99" : "fd12:3456:789a::9999"); }

  std::vector<Told> replay(const CaptureFile& file, std::size_t cut = 0) {
    node::Replay replay(builder.world(), kNow);
    std::vector<Told> out;
    const auto prepared = replay.prepare(node::Capture::read(file.open(cut)).value());
    EXPECT_TRUE(prepared) << prepared.error().message();
    const auto done = replay.run(node::Capture::read(file.open(cut)).value(), [&](const ReplayedPacket& p) {
      EXPECT_EQ(p.packet, out.size());
      out.push_back({p.accept, p.rule, std::string(p.reason), p.where});
      return Result<>{};
    });
    problem = done ? "" : done.error().message();
    EXPECT_EQ(replay.totals().packets, out.size());
    EXPECT_EQ(replay.totals().accepted + replay.totals().dropped, out.size());
    return out;
  }

  WorldBuilder builder;
  std::string problem;
};
INSTANTIATE_TEST_SUITE_P(Families, ReplayTest, testing::Bool(),
                         [](const auto& info) { return std::string(info.param ? "v4" : "v6"); });

TEST_P(ReplayTest, AConnectionIsRememberedFromPacketToPacket) {
  const Flow flow{session("s-trader"), device("ledger"), 40000, 5432};
  CaptureFile file;
  file.add(tcp(flow.reversed(), kSyn | kAck))  // an answer to nothing
      .add(tcp(flow, kSyn))
      .add(tcp(flow.reversed(), kSyn | kAck))
      .add(tcp(flow, kAck))
      .add(tcp(flow.reversed(), kFin | kAck))
      .add(tcp({flow.source, flow.destination, 40000, 5433}, kSyn));
  const std::vector<Told> told = replay(file);
  EXPECT_EQ(problem, "");
  ASSERT_EQ(told.size(), 6u);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(told[i], by("traders-to-ledger")) << i;
  EXPECT_EQ(told[5], drop("no grant"));
}

TEST_P(ReplayTest, DatagramsAndEchoesHaveAnswersToo) {
  const Flow flow{session("s-trader"), device("ledger"), 40000, 53};
  CaptureFile file;
  file.add(udp(flow, 10))
      .add(udp(flow.reversed(), 10))
      .add(udp({flow.destination, flow.source, 53, 40001}, 10))
      .add(echo_request(flow.source, flow.destination, 7))
      .add(echo_reply(flow.destination, flow.source, 7))
      .add(echo_reply(flow.destination, flow.source, 8));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 6u);
  for (const std::size_t i : {0u, 1u, 3u, 4u}) EXPECT_EQ(told[i], by("traders-to-ledger")) << i;
  for (const std::size_t i : {2u, 5u}) EXPECT_FALSE(told[i].accept) << i;
}

TEST_P(ReplayTest, ErrorsAreBelievedOfTheOtherEndAlone) {
  const Flow flow{session("s-trader"), device("ledger"), 40000, 53};
  const Address router = address(GetParam() ? "203.0.113.9" : "2001:db8::9");
  const std::uint8_t type = GetParam() ? 3 : 1;
  CaptureFile file;
  file.add(udp(flow, 10))
      .add(icmp_error(flow.destination, flow.source, type, 3, udp(flow, 10)))
      .add(icmp_error(router, flow.source, type, 3, udp(flow, 10)));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 3u);
  for (const std::size_t i : {0u, 1u}) EXPECT_EQ(told[i], by("traders-to-ledger")) << i;
  EXPECT_FALSE(told[2].accept);
}

TEST_P(ReplayTest, StrangersAndForbidsAreDrops) {
  const Address trader = session("s-trader"), vendor = session("s-vendor"), ledger = device("ledger");
  CaptureFile file;
  file.add(tcp({stranger(), ledger, 1, 5432}, kSyn))
      .add(tcp({trader, stranger(), 1, 5432}, kSyn))
      .add(tcp({vendor, ledger, 1, 5432}, kSyn))
      .add(tcp({vendor, ledger, 2, 5432}, kSyn));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told[0], drop("unknown principal"));
  EXPECT_EQ(told[1], drop("unknown target"));
  EXPECT_FALSE(told[2].accept);
  EXPECT_FALSE(told[3].accept);
}

TEST_P(ReplayTest, AForbidIsNamedEachTime) {
  const Address vendor = session("s-vendor"), ledger = device("ledger");
  builder.policy(
      std::string(kPolicy) +
      "[[allow]]\nname = \"wide\"\nfrom = { groups = [\"vendors\"] }\nto = [\"settlement any\"]\n");
  policy::number_targets(builder.world());
  CaptureFile file;
  for (std::uint16_t i = 0; i < 20; ++i) file.add(tcp({vendor, ledger, i, 5432}, kSyn));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 20u);
  Told forbidden = drop("forbidden");
  forbidden.rule = "vendors-never";
  for (const Told& t : told) EXPECT_EQ(t, forbidden);
}

TEST_P(ReplayTest, ObserveAcceptsAndSaysSo) {
  CaptureFile file;
  file.add(tcp({session("s-trader"), device("watched"), 1, 443}, kSyn))
      .add(tcp({session("s-trader"), device("watched"), 2, 22}, kSyn));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0], by("traders-to-watched"));
  EXPECT_EQ(told[1], (Told{.accept = true, .rule = "", .reason = "observed", .where = kIngress}));
}

TEST_P(ReplayTest, EthernetVlanAndWhatIsNoIp) {
  const Packet packet = tcp({session("s-trader"), device("ledger"), 1, 5432}, kSyn);
  Packet tagged = ethernet(packet);
  const Packet tag{0x81, 0x00, 0x00, 0x05};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  Packet arp(42);
  arp[12] = 0x08, arp[13] = 0x06;
  CaptureFile file(kEthernetLink, CaptureFile::Format::pcapng);
  file.add(ethernet(packet)).add(tagged).add(arp).add(Packet(5)).add(ethernet(Packet{0x15, 0, 0, 0}));
  const std::vector<Told> told = replay(file);
  EXPECT_EQ(problem, "");
  ASSERT_EQ(told.size(), 5u);
  EXPECT_EQ(told[0], by("traders-to-ledger"));
  EXPECT_EQ(told[1], by("traders-to-ledger"));
  EXPECT_EQ(told[2], drop("not ip"));
  EXPECT_EQ(told[3], drop("malformed packet"));
  EXPECT_EQ(told[4], drop("not ip"));
}

TEST_P(ReplayTest, PacketsCapturedInPartOrVeryLongAreDecidedByTheirHeaders) {
  const Flow flow{session("s-trader"), device("ledger"), 1, 53};
  const std::size_t headers = (GetParam() ? 20u : 40u) + 8;
  CaptureFile file;
  file.add(udp(flow, 1000), headers).add(udp(flow, 60000)).add(udp(flow, 10), headers - 1);
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0], by("traders-to-ledger"));
  EXPECT_EQ(told[1], by("traders-to-ledger"));
  EXPECT_EQ(told[2], drop("malformed packet"));
}

TEST_P(ReplayTest, FragmentsBelongToTheFirst) {
  const Packet whole = udp({session("s-trader"), device("ledger"), 1, 53}, 4000);
  CaptureFile file;
  file.add(fragment(whole, 1480, 1480, 7))  // before its first: nobody knows what it is
      .add(fragment(whole, 0, 1480, 7), 100)
      .add(fragment(whole, 1480, 1480, 7), 100);
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0], drop("fragment"));
  EXPECT_EQ(told[1], by("traders-to-ledger"));
  EXPECT_EQ(told[2], by("traders-to-ledger"));
}

TEST_P(ReplayTest, ACutCaptureIsToldAfterWhatCouldBeRead) {
  const Packet packet = tcp({session("s-trader"), device("ledger"), 1, 5432}, kSyn);
  for (const auto format : {CaptureFile::Format::pcap, CaptureFile::Format::pcapng}) {
    CaptureFile file(kRawLink, format);
    file.add(packet).add(packet);
    EXPECT_EQ(replay(file, 5), std::vector<Told>{by("traders-to-ledger")});
    EXPECT_NE(problem.find("no further than 1 packet"), std::string::npos) << problem;
  }
}

/// What holds at the moment asked about holds throughout, and what is over is over.
TEST_P(ReplayTest, TimeStandsStill) {
  builder.world().sessions.change(SessionId{"s-trader"}, [](policy::Session& session) {
    session.ends_at = kNow + std::chrono::microseconds(1);
  });
  builder.world().sessions.change(SessionId{"s-vendor"},
                                  [](policy::Session& session) { session.ends_at = kNow; });
  CaptureFile file;
  for (std::uint16_t i = 0; i < 200; ++i)
    file.add(tcp({session("s-trader"), device("ledger"), i, 5432}, kSyn))
        .add(tcp({session("s-vendor"), device("ledger"), i, 5432}, kSyn));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 400u);
  for (std::size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].accept, i % 2 == 0) << i;
}

/// More datagrams than a principal may have remembered in a minute: here no minute passes.
TEST_P(ReplayTest, ManyDatagramsAreAllRemembered) {
  const Address trader = session("s-trader"), ledger = device("ledger");
  constexpr std::uint16_t kFlows = 5000;
  CaptureFile file;
  for (std::uint16_t i = 1; i <= kFlows; ++i) file.add(udp({trader, ledger, i, 53}, 1));
  for (std::uint16_t i = 1; i <= kFlows; ++i) file.add(udp({ledger, trader, 53, i}, 1));
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), 2u * kFlows);
  EXPECT_EQ(std::ranges::count(told, true, &Told::accept), 2 * kFlows);
}

TEST_P(ReplayTest, KernelAndEvaluatorAgree) {
  struct Ask {
    policy::PrincipalRef principal;
    Address source;
    const char* target;
    std::uint8_t protocol;
    std::uint16_t port;
  };
  std::mt19937 random(GetParam() ? 1 : 2);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::vector<const char*> targets{"ledger", "watched", "laptop", "laptop-2"};
  builder.world().devices.at(DeviceId{"laptop-2"}).isolated = true;
  CaptureFile file;
  std::vector<Ask> asks;
  for (std::uint16_t i = 0; i < 300; ++i) {
    Ask ask{.principal = {},
            .source = {},
            .target = targets[below(targets.size())],
            .protocol = below(2) == 0 ? policy::kTcp : policy::kUdp,
            .port = std::vector<std::uint16_t>{5432, 53, 443, 22}[below(4)]};
    if (below(2) == 0) {
      const char* id = below(2) == 0 ? "s-trader" : "s-vendor";
      ask.principal = SessionId{id}, ask.source = session(id);
    } else {
      const char* id = targets[below(targets.size())];
      ask.principal = DeviceId{id}, ask.source = device(id);
    }
    const Flow flow{ask.source, device(ask.target), static_cast<std::uint16_t>(1000 + i), ask.port};
    file.add(ask.protocol == policy::kTcp ? tcp(flow, kSyn) : udp(flow, 1));
    asks.push_back(ask);
  }
  const std::vector<Told> told = replay(file);
  ASSERT_EQ(told.size(), asks.size());
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    const Ask& ask = asks[i];
    const policy::Decision decision = policy::evaluate(builder.world(),
                                                       {.principal = ask.principal,
                                                        .target = DeviceId{ask.target},
                                                        .protocol = ask.protocol,
                                                        .port = ask.port},
                                                       kNow);
    const bool allowed = decision.verdict == policy::Verdict::allow;
    EXPECT_EQ(told[i].accept, allowed || (decision.observed && decision.reason.empty()))
        << i << told[i].reason;
    if (allowed) {
      EXPECT_EQ(told[i].rule, decision.rule) << i;
    }
    accepted += told[i].accept ? 1u : 0u;
  }
  EXPECT_GT(accepted, 20u);
}

TEST(CaptureTest, WhatIsNoCaptureIsRefused) {
  for (const std::string text : {"", "x", "not a capture at all, just text that goes on for a while"}) {
    std::string copy = text;
    auto* stream = copy.empty() ? std::fopen("/dev/null", "rb") : ::fmemopen(copy.data(), copy.size(), "rb");
    const auto capture = node::Capture::read(stream);
    ASSERT_FALSE(capture);
    EXPECT_NE(capture.error().message().find("can't be read as a capture"), std::string::npos);
  }
  const CaptureFile wifi(105);
  const auto capture = node::Capture::read(wifi.open());
  ASSERT_FALSE(capture);
  EXPECT_NE(capture.error().what.find("IEEE802_11"), std::string::npos) << capture.error().what;
  EXPECT_FALSE(node::Capture::open("/nonexistent"));
  EXPECT_FALSE(node::Capture::open("/dev"));
  const TempDir dir;
  const auto pipe = dir / "pipe.pcap";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(node::Capture::open(pipe)) << "nobody writes into it, and nobody waits";
}

}  // namespace replay_test
}  // namespace cordon::test
