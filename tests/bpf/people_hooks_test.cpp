// What a process is told at bind(), connect() and sendto() on a host of several people (DATAPATH.md, "Session
// addresses on shared hosts").

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/bpf/people_fixture.h"

namespace cordon::test {
namespace {

class PeopleHooksTest : public PeopleTest {
 protected:
  void SetUp() override {
    PeopleTest::SetUp();
    if (!IsSkipped()) open(true);
  }
  int binds(std::uint32_t uid, std::string_view to, bool mapped = false, int type = SOCK_STREAM) {
    return as(uid, [&] { return bind_to(SocketAddress(to, 0, mapped), type); });
  }
  int connects(std::uint32_t uid, std::string_view to, std::uint16_t port = 7, bool mapped = false) {
    return as(uid, [&] { return connect_to(SocketAddress(to, port, mapped)); });
  }
  int sends(std::uint32_t uid, std::string_view to, std::string_view from = {}, std::uint16_t port = 7) {
    return as(uid, [&] { return send_to(SocketAddress(to, port), from); });
  }
};

TEST_F(PeopleHooksTest, EachMayBindToTheirOwnAddressAndToEveryOne) {
  struct Case {
    std::uint32_t uid;
    const char *v4, *v6;
  };
  const Case owns[] = {{kAnn, kAnnV4, kAnnV6},
                       {kBen, kBenV4, kBenV6},
                       {kSystemUid, kV4.client, kV6.client},
                       {0, kV4.client, kV6.client}};
  for (const Case& who : owns) {
    for (const Case& of : owns) {
      const int expected = std::string_view(who.v4) == of.v4 ? 0 : EADDRNOTAVAIL;
      EXPECT_EQ(binds(who.uid, of.v4), expected) << who.uid << " to " << of.v4;
      EXPECT_EQ(binds(who.uid, of.v4, true), expected) << "v4-mapped, " << who.uid << " to " << of.v4;
      EXPECT_EQ(binds(who.uid, of.v6), expected) << who.uid << " to " << of.v6;
      EXPECT_EQ(binds(who.uid, of.v6, false, SOCK_DGRAM), expected) << who.uid << " to " << of.v6;
    }
    EXPECT_EQ(binds(who.uid, "0.0.0.0"), 0);
    EXPECT_EQ(binds(who.uid, "::"), 0);
    EXPECT_EQ(binds(who.uid, "127.0.0.1"), 0) << "not of the overlay";
  }
  EXPECT_GT(counted("wrong owner"), 0u);
  const auto before = counted("no session");
  for (const char* address : {kV4.client, kV6.client, kAnnV4, kAnnV6})
    EXPECT_EQ(binds(kGuest, address), EADDRNOTAVAIL) << address;
  EXPECT_EQ(counted("no session"), before + 4);
}

TEST_F(PeopleHooksTest, AskedAsTheCallersSession) {
  for (const Hosts& hosts : {kV4, kV6}) {
    EXPECT_EQ(connects(kAnn, hosts.server), 0);
    EXPECT_EQ(connects(kAnn, hosts.server, 8), 0);
    EXPECT_EQ(connects(kBen, hosts.server), 0);
    EXPECT_EQ(connects(kBen, hosts.server, 8), EHOSTUNREACH) << "only ann's class has it";
    EXPECT_EQ(connects(kSystemUid, hosts.server), 0) << "the device";
    EXPECT_EQ(connects(0, hosts.server, 8), EHOSTUNREACH);
  }
  EXPECT_EQ(connects(kAnn, kV4.server, 8, true), 0) << "v4-mapped";
  EXPECT_EQ(connects(kBen, kV4.server, 8, true), EHOSTUNREACH);
}

TEST_F(PeopleHooksTest, PeopleWithoutASessionHaveNoOverlay) {
  std::uint64_t before = counted("no session");
  for (const Hosts& hosts : {kV4, kV6}) {
    EXPECT_EQ(connects(kGuest, hosts.server), EHOSTUNREACH);
    EXPECT_EQ(sends(kGuest, hosts.server), EHOSTUNREACH);
  }
  EXPECT_EQ(connects(kGuest, kV4.server, 7, true), EHOSTUNREACH);
  EXPECT_EQ(counted("no session"), before + 5);
  const auto told = events();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front().reason, "no session");
  EXPECT_EQ(told.front().source, address(kV4.client)) << "it happened on this device";
  log_in("s-guest", kGuest, "100.64.1.3", "fd00:c0de::1:3", 2);
  update();
  EXPECT_EQ(connects(kGuest, kV4.server, 8), 0) << "logged in";
  log_out("s-guest", "100.64.1.3", "fd00:c0de::1:3");
  update();
  EXPECT_EQ(connects(kGuest, kV4.server, 8), EHOSTUNREACH) << "logged out";
}

TEST_F(PeopleHooksTest, WhosePeoplesUidsAreMayChange) {
  ASSERT_EQ(connects(kSystemUid, kV4.server), 0) << "the device";
  ASSERT_TRUE(filter_->set_people({{kSystemUid, kSystemUid}, {3000, 3999}}, state_));
  EXPECT_EQ(connects(kSystemUid, kV4.server), EHOSTUNREACH) << "a person without a session";
  EXPECT_EQ(connects(kAnn, kV4.server, 8), 0) << "her session stays";
  update();
  EXPECT_EQ(connects(kSystemUid, kV4.server), EHOSTUNREACH) << "also with the next state";
  ASSERT_TRUE(filter_->set_people({{3000, 3999}}, state_));
  EXPECT_EQ(connects(kSystemUid, kV4.server), 0);
  EXPECT_EQ(connects(kGuest, kV4.server), EHOSTUNREACH);
}

TEST_F(PeopleHooksTest, ADatagramsSourceIsTheSendersOwn) {
  for (const auto& [server, ann, device] :
       {std::tuple(kV4.server, kAnnV4, kV4.client), std::tuple(kV6.server, kAnnV6, kV6.client)}) {
    EXPECT_EQ(sends(kAnn, server, ann), 0);
    EXPECT_EQ(sends(kBen, server, ann), EADDRNOTAVAIL);
    EXPECT_EQ(sends(kBen, server, device), EADDRNOTAVAIL) << "a person is not the device";
    EXPECT_EQ(sends(kSystemUid, server, ann), EADDRNOTAVAIL) << "and the device is no person";
    EXPECT_EQ(sends(kSystemUid, server, device), 0);
    EXPECT_EQ(sends(kAnn, server, ann, 9), EHOSTUNREACH) << "no grant";
    EXPECT_EQ(sends(kAnn, server, {}, 9), EHOSTUNREACH);
    // Over a connected socket too, where no address is given with the datagram.
    const std::string_view bens = address(server).is_v4() ? kBenV4 : kBenV6;
    EXPECT_EQ(as(kAnn, [&] { return send_to(SocketAddress(server, 7), ann, true); }), 0);
    EXPECT_EQ(as(kAnn, [&] { return send_to(SocketAddress(server, 7), bens, true); }), EADDRNOTAVAIL);
  }
}

// What docs/DATAPATH.md says of them: where the port is granted over TCP alone connect() may be a question,
// and what is then sent is dropped without a word unless the socket asked for errors.
TEST_F(PeopleHooksTest, AConnectedDatagramWithoutAGrantIsDropped) {
  for (const char* server : {kV4.server, kV6.server}) {
    const auto before = counted("no grant");
    const auto sends = [&](bool wants_errors) {
      return as(kAnn, [&] {
        const SocketAddress to(server, 8);
        const node::Descriptor socket(::socket(to.family(), SOCK_DGRAM, 0));
        const bool v4 = to.family() == AF_INET;
        const int on = wants_errors ? 1 : 0;
        ::setsockopt(socket.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &on,
                     sizeof on);
        if (::connect(socket.get(), to.get(), to.size) != 0) return 1000 + errno;
        return ::send(socket.get(), "x", 1, 0) == 1 ? 0 : errno;
      });
    };
    EXPECT_EQ(sends(false), 0) << server;
    EXPECT_EQ(sends(true), ENOBUFS) << server;
    EXPECT_EQ(counted("no grant"), before + 2) << "by the filter, for each packet";
  }
  for (const std::uint16_t port : {0, 8}) {
    EXPECT_EQ(as(kGuest, [&] { return connect_to(SocketAddress(kV4.server, port), SOCK_DGRAM); }),
              EHOSTUNREACH)
        << "who has no session has no way";
    EXPECT_EQ(counted("no session"), port == 0 ? 0u : 1u);
  }
}

TEST_F(PeopleHooksTest, WhatIsCountedIsTold) {
  EXPECT_EQ(binds(kBen, kAnnV4), EADDRNOTAVAIL);
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].source, address(kAnnV4));
  EXPECT_EQ(seen[0].reason, "wrong owner");
  EXPECT_EQ(binds(kGuest, kAnnV6), EADDRNOTAVAIL);
  EXPECT_EQ(sends(kBen, kV4.server, kAnnV4), EADDRNOTAVAIL);
  EXPECT_EQ(sends(kBen, kV6.server, {}, 9), EHOSTUNREACH);
  EXPECT_EQ(connects(kGuest, kV6.server), EHOSTUNREACH);
  (void)sweep();
  std::map<std::string, std::uint64_t> told{{"wrong owner", 1}};
  for (const node::FlowEvent& event : events()) told[event.reason] += event.suppressed + 1;
  for (const auto& [reason, count] : told) EXPECT_EQ(count, counted(reason)) << reason;
  EXPECT_EQ(told.size(), 3u);
}

TEST_F(PeopleHooksTest, AnAnswerIsNoQuestion) {
  // A service's datagrams to a person's session, which is no target, pass as long as that one's flow is
  // there.
  const Flow asked{address(kV4.other), address(kV4.client), 40000, 7777};
  add_principal(kV4.other, 9);
  add_target(kV4.client, 5);
  add_grant({.class_id = 9, .target = 5, .protocol = policy::kUdp, .port = 7777, .rule = 4});
  update();
  const auto answer = [&](bool connected) {
    return as(0, [&] {
      const SocketAddress from(kV4.client, 7777), to(kV4.other, 40000);
      if (connected) return connect_to(to, SOCK_DGRAM, &from);
      const node::Descriptor socket(::socket(AF_INET, SOCK_DGRAM, 0));
      const SocketAddress any("0.0.0.0", 7777);
      if (::bind(socket.get(), any.get(), any.size) != 0) return 1000 + errno;
      return ::sendto(socket.get(), "x", 1, 0, to.get(), to.size) == 1 ? 0 : errno;
    });
  };
  EXPECT_EQ(answer(false), EHOSTUNREACH);
  EXPECT_EQ(answer(true), EHOSTUNREACH);
  ASSERT_EQ(in(udp(asked)), accepted(4));
  EXPECT_EQ(answer(false), 0);
  EXPECT_EQ(answer(true), 0);
}

TEST_F(PeopleHooksTest, ContainersAreLeftAlone) {
  EXPECT_EQ(as(0,
               [&] {
                 if (::unshare(CLONE_NEWNET) != 0) return 200;
                 if (std::system("ip link set lo up && ip addr add 100.64.1.1/32 dev lo") != 0) return 201;
                 if (::setresuid(kGuest, kGuest, kGuest) != 0) return 202;
                 return bind_to(SocketAddress(kAnnV4, 0));
               }),
            0)
      << "a namespace of its own has nothing to do with the host's overlay";
}

}  // namespace
}  // namespace cordon::test
