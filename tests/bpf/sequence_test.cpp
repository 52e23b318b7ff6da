// Long sequences of packets, revocations, epochs and deadlines: what the kernel remembers must never let a
// packet through, or stop one, that the state of the moment wouldn't (I2, I3, I5). The model beside it holds
// a list of flows and asks policy::look_up each time.

#include <fmt/format.h>

#include <cstdlib>
#include <random>

#include "policy/compile.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/packet_gen.h"

namespace cordon::test {
namespace sequence_test {

using policy::Direction;

constexpr int kSequences = 12, kSteps = 500, kLongFactor = 100;

struct Question {
  Flow flow;
  std::uint8_t protocol = 0;
  std::uint16_t asks_port = 0;
  Direction direction = Direction::ingress;

  Question reversed() const {
    return {flow.reversed(), protocol, flow.source_port,
            direction == Direction::ingress ? Direction::egress : Direction::ingress};
  }
  /// The same for both ways.
  auto ends() const {
    const auto from = std::tuple(flow.source.bytes, flow.source_port),
               to = std::tuple(flow.destination.bytes, flow.destination_port);
    return std::tuple(std::min(from, to), std::max(from, to), protocol);
  }
  bool is_part_of(const Question& origin) const {
    const auto same = [&](const Question& q) {
      return q.direction == direction && q.flow.source == flow.source &&
             q.flow.destination == flow.destination && q.flow.source_port == flow.source_port &&
             q.flow.destination_port == flow.destination_port;
    };
    return same(origin) || same(origin.reversed());
  }
};

class SequenceTest : public FilterTest {
 protected:
  SequenceTest() : FilterTest(kOverlayPrograms) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool chance(unsigned percent) { return below(100) < percent; }
  Address host(bool v4, unsigned i) {
    return v4 ? Address::from_v4(0x64400001u + i)
              : cordon::test::address(fmt::format("fd00:c0de::{}", i + 1));
  }
  std::uint16_t some_port() { return std::array<std::uint16_t, 3>{53, 443, 8080}[below(3)]; }

  /// What grants are asked for stands in a flow's first packet: an answer's is another.
  bool allowed(const Question& q) const {
    return policy::look_up(state_, q.direction, q.flow.source, q.flow.destination, q.protocol, q.asks_port,
                           kNow)
        .accept;
  }

  bool expected(const Question& q, bool begins) {
    const auto known = flows_.find(q.ends());
    if (known != flows_.end() && begins && q.flow.source == known->second.flow.destination &&
        q.flow.source_port == known->second.flow.destination_port)
      return allowed(q);  // whoever answers begins nothing in the flow
    if (known != flows_.end() && q.is_part_of(known->second)) {
      if (allowed(known->second)) return true;
      flows_.erase(known);
    }
    if (allowed(q)) {
      flows_.insert_or_assign(q.ends(), q);
      return true;
    }
    return q.protocol == policy::kTcp && !begins && allowed(q.reversed());  // an answer is not remembered
  }

  Question some_question() {
    const bool v4 = chance(50);
    Question q;
    q.protocol =
        std::array<std::uint8_t, 4>{policy::kTcp, policy::kTcp, policy::kUdp, policy::kSctp}[below(4)];
    q.flow = {host(v4, below(3)), host(v4, below(3)), static_cast<std::uint16_t>(40000 + below(3)),
              some_port()};
    q.asks_port = q.flow.destination_port;
    q.direction = chance(50) ? Direction::ingress : Direction::egress;
    return chance(50) ? q : q.reversed();
  }
  const char* hook(const Question& q) const {
    return q.direction == Direction::ingress ? "overlay_in" : "overlay_out";
  }

  void change_something() {
    policy::PrincipalValue& who =
        std::get<policy::PrincipalValue>(state_.entries.at(policy::PrincipalKey{host(chance(50), below(3))}));
    switch (below(6)) {
      case 0:
        who.class_id = ClassId(1 + below(3));
        break;
      case 5:  // as a tag that moves
        add_target(host(chance(50), below(3)).to_string(), 1 + below(2));
        break;
      case 1:
        who.isolated = chance(30);
        break;
      case 2:
        who.deadlines[below(2)] = chance(50) ? kNow - Seconds(1) : kNow + Seconds(3600);
        break;
      case 3:
        settings().isolated = chance(20);
        break;
      default:
        if (chance(50))
          add_some_grant();
        else
          std::erase_if(state_.entries, [&](const auto& entry) {
            return std::holds_alternative<policy::GrantKey>(entry.first) && below(8) == 0;
          });
    }
    update(chance(20));
  }
  void add_some_grant() {
    const std::uint8_t bits = std::array<std::uint8_t, 4>{16, 16, 4, 0}[below(4)];
    const auto port = static_cast<std::uint16_t>(bits == 0 ? 0 : some_port() & (0xffffu << (16 - bits)));
    add_grant({.class_id = 1 + below(3),
               .target = 1 + below(2),
               .protocol = std::array<std::uint8_t, 3>{policy::kTcp, policy::kUdp, policy::kSctp}[below(3)],
               .port = port,
               .port_bits = bits,
               .direction = chance(50) ? Direction::ingress : Direction::egress,
               .rule = 1 + below(20),
               .deny = chance(15),
               .responder = chance(30),
               .slot = static_cast<std::uint8_t>(below(2))});
  }
  void begin() {
    const policy::SettingsValue plain = settings();
    state_.entries.clear();
    settings() = plain;
    settings().isolated = false;
    for (bool v4 : {true, false})
      for (unsigned i = 0; i < 3; ++i) {
        add_principal(host(v4, i).to_string(), 1 + below(3));
        add_target(host(v4, i).to_string(), 1 + below(2));
      }
    for (int i = 0; i < 30; ++i) add_some_grant();
    write();
    for (const char* map : {"flows", "flow_budgets", "fragments"}) forget(map);
    flows_.clear();
  }

  void send(int step, const Question& q);
  void send_fragments(int step, const Question& q, std::uint32_t id);
  void send_error(int step, const Question& q);
  void expect(int step, const char* what, const Question& q, const Packet& packet, bool accept) {
    ++(accept ? accepts_ : drops_);
    if (accepts(hook(q), packet) == accept) return;
    ADD_FAILURE() << "step " << step << ", " << what << " at " << hook(q) << ": " << q.flow.source.to_string()
                  << " " << q.flow.source_port << " > " << q.flow.destination.to_string() << " "
                  << q.flow.destination_port << " protocol " << int{q.protocol} << " should be "
                  << (accept ? "accepted" : "dropped") << "\n"
                  << hex_lines(packet);
  }
  using FilterTest::accepts;

  std::mt19937_64 random_{0x5eed};
  std::map<decltype(Question{}.ends()), Question> flows_;
  unsigned accepts_ = 0, drops_ = 0;
};

void SequenceTest::send(int step, const Question& q) {
  const std::uint8_t flags = std::array<std::uint8_t, 3>{kSyn, kAck, kSyn | kAck}[below(3)];
  const bool init = q.protocol == policy::kSctp && flags == kSyn;
  const Packet packet = q.protocol == policy::kTcp ? tcp(q.flow, flags)
                        : init                     ? sctp(q.flow, 1)
                                                   : any_packet(q.flow, q.protocol);
  expect(step, "packet", q, packet, expected(q, init || (q.protocol == policy::kTcp && flags == kSyn)));
}

/// The second is judged as the first would be at that time.
void SequenceTest::send_fragments(int step, const Question& q, std::uint32_t id) {
  if (q.protocol != policy::kUdp) return;
  const Packet whole = udp(q.flow, 64);
  const bool first = expected(q, false);
  expect(step, "first fragment", q, fragment(whole, 0, 40, id), first);
  if (chance(30)) change_something();
  expect(step, "later fragment", q, fragment(whole, 40, 32, id), first && expected(q, false));
}

void SequenceTest::send_error(int step, const Question& q) {
  const auto known = flows_.find(q.ends());
  const bool passes = known != flows_.end() && q.is_part_of(known->second) && allowed(known->second);
  const bool v4 = q.flow.source.is_v4();
  const Packet about = q.protocol == policy::kTcp ? tcp(q.flow, kAck) : any_packet(q.flow, q.protocol);
  // About a packet of the flow, so it passes the other hook.
  Question error = q.reversed();
  const Address teller = chance(70) ? q.flow.destination : host(v4, below(3));
  expect(step, "error", error, icmp_error(teller, q.flow.source, v4 ? 3 : 1, 1, about),
         passes && teller == q.flow.destination);
}

TEST_F(SequenceTest, WhatIsRememberedNeverChangesTheAnswer) {
  const int sequences = kSequences * (std::getenv("CORDON_LONG") != nullptr ? kLongFactor : 1);
  for (int s = 0; s < sequences && !HasFailure(); ++s) {
    begin();
    for (int step = 0; step < kSteps && !HasFailure(); ++step) {
      const unsigned what = below(100);
      if (what < 12)
        change_something();
      else if (what < 22)
        send_fragments(step, some_question(), static_cast<std::uint32_t>(step));
      else if (what < 32)
        send_error(step, some_question());
      else
        send(step, some_question());
    }
    EXPECT_FALSE(HasFailure()) << "sequence " << s;
  }
  EXPECT_GT(accepts_, 500u);
  EXPECT_GT(drops_, 500u);
}

}  // namespace sequence_test
}  // namespace cordon::test
