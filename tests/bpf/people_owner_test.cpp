// Step 4 on real packets of real sockets: whatever the hooks and the routing rules were told, who sends from
// a session's address is its owner, and a person is never the device. The hooks are not attached here.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/bpf/people_fixture.h"

namespace cordon::test {
namespace {

class PeopleOwnerTest : public PeopleTest {
 protected:
  void SetUp() override {
    PeopleTest::SetUp();
    if (!IsSkipped()) open(false);
  }

  /// Why the filter dropped what a process of that uid sent from that address; "" when it passed. The
  /// kernel's own packets (MLD) pass the interface too: only the one to the server counts.
  std::string sent(std::uint32_t uid, std::string_view from, std::string_view to) {
    (void)events();
    const auto before = filter_->drop_counters().value();
    EXPECT_EQ(as(uid, [&] { return send_to(SocketAddress(to, 7), from); }), 0) << "egress drops in silence";
    std::string reason = "not seen";
    for (const node::FlowEvent& event : events())
      if (event.destination == address(to)) reason = event.reason;
    if (!reason.empty()) {
      EXPECT_GT(counted(reason), before.at(reason).packets);
      met_reasons().insert(reason);
    }
    return reason;
  }
};

TEST_F(PeopleOwnerTest, ASessionsAddressIsItsOwnersAlone) {
  for (const auto& [server, ann, ben] :
       {std::tuple(kV4.server, kAnnV4, kBenV4), std::tuple(kV6.server, kAnnV6, kBenV6)}) {
    EXPECT_EQ(sent(kAnn, ann, server), "");
    EXPECT_EQ(sent(kBen, ben, server), "");
    EXPECT_EQ(sent(kBen, ann, server), "wrong owner");
    EXPECT_EQ(sent(kGuest, ann, server), "wrong owner");
    EXPECT_EQ(sent(0, ann, server), "wrong owner");
  }
}

TEST_F(PeopleOwnerTest, APersonIsNeverTheDevice) {
  for (const auto& [server, device] :
       {std::pair(kV4.server, kV4.client), std::pair(kV6.server, kV6.client)}) {
    EXPECT_EQ(sent(0, device, server), "");
    EXPECT_EQ(sent(kSystemUid, device, server), "");
    EXPECT_EQ(sent(kAnn, device, server), "wrong owner") << "she has an address of her own";
    EXPECT_EQ(sent(kGuest, device, server), "no session");
  }
}

TEST_F(PeopleOwnerTest, AfterALogoutThePersonHasNothing) {
  log_out("s-ann", kAnnV4, kAnnV6);
  update();
  EXPECT_EQ(sent(kAnn, kAnnV4, kV4.server), "unknown principal");
  EXPECT_EQ(sent(kAnn, kV4.client, kV4.server), "no session");
}

}  // namespace
}  // namespace cordon::test
