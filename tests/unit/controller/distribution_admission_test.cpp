// Who may have a session at the real listener, and who is let go.

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_admission_test {

using namespace test;
using wire::ToController;
using wire::ToNode;

TEST(Nodes, ACertificateOfAnotherNodeOrAnotherAuthorityOpensNothing) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  // A certificate of our own authority that names ledger, but for another key than ledger's.
  FakeDevice thief{.name = "ledger"};
  thief.chain_pem = rig.certificate(thief, system_clock().now());
  FakeNode node(rig.port(), &thief);
  node.send(node.hello_message());
  const auto goodbye = node.receive();
  ASSERT_TRUE(goodbye && goodbye->has_goodbye());
  ControllerRig other;
  FakeDevice stranger{.name = "ledger"};
  stranger.chain_pem = other.certificate(stranger, system_clock().now());
  FakeNode refused(rig.port(), &stranger);
  refused.send(refused.hello_message());
  EXPECT_FALSE(refused.receive());
  EXPECT_TRUE(rig.eventually([&] { return rig.metrics.counted("connections_refused", "handshake") >= 1; }));
}

TEST(Nodes, AnExpiredCertificateServesForRenewalOnly) {
  ControllerRig rig;
  FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  ledger.chain_pem = rig.certificate(ledger, system_clock().now() - std::chrono::days(3));
  FakeNode node(rig.port(), &ledger);
  node.send(node.hello_message());
  EXPECT_TRUE(node.receive()->has_goodbye());
  ToController renew;
  renew.mutable_renew()->set_request(1);
  renew.mutable_renew()->set_csr_pem(must(crypto::make_csr(ledger.key, "ledger")));
  FakeNode again(rig.port(), &ledger);
  again.send(renew);
  const auto renewed = again.receive();
  ASSERT_TRUE(renewed && renewed->has_renewed());
  ASSERT_EQ(renewed->renewed().reason(), "");
  ledger.chain_pem = renewed->renewed().certificate_pem();
  FakeNode fresh(rig.port(), &ledger);
  EXPECT_TRUE(fresh.hello());
  ledger.chain_pem = rig.certificate(ledger, system_clock().now() - std::chrono::days(40));
  FakeNode late(rig.port(), &ledger);
  late.send(renew);
  EXPECT_TRUE(late.receive()->has_goodbye()) << "more than 30 days";
}

TEST(Nodes, OneThatIsRemovedIsToldAndLetGo) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  rig.add(kinds::DeviceRemoved{.device = DeviceId("ledger"), .reason = "test"});
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  FakeNode again(rig.port(), &ledger);
  again.send(again.hello_message());
  EXPECT_TRUE(again.receive()->has_goodbye());
}

TEST(Nodes, SilentOnesAreLetGo) {
  DistributionLimits limits = quick_limits();
  limits.idle_least = std::chrono::milliseconds(100);
  ControllerRig rig(limits);
  rig.apply_policy(std::string(kWebToLedger) + "lease = \"1s\"\n");  // a heartbeat every 500 ms, then
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  EXPECT_EQ(rig.metrics.counted("sessions_ended", "silent"), 1u);
}

TEST(Strangers, GarbageAtEveryStageIsRefusedAndTheControllerLives) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket plain(io);
    plain.connect({boost::asio::ip::address_v4::loopback(), rig.port()});
    boost::asio::write(plain, boost::asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
    std::string rest;
    boost::system::error_code error;
    boost::asio::read(plain, boost::asio::dynamic_buffer(rest), error);
    EXPECT_TRUE(error);
  }
  EXPECT_FALSE(FakeNode(rig.port(), &ledger, "http/1.1").connected());
  for (const std::string& bytes : {std::string("\0\0\0\0", 4), std::string("\xff\xff\xff\xff", 4),
                                   std::string("\0\0\0\x03zzz", 7), std::string("\0\x02\0\0", 4)}) {
    FakeNode stranger(rig.port(), nullptr);
    stranger.send_bytes(bytes);
    const auto refused = stranger.receive();
    EXPECT_TRUE(refused && refused->has_goodbye());
  }
  FakeNode unproven(rig.port(), nullptr);
  unproven.send(FakeNode(rig.port(), &ledger).hello_message());
  EXPECT_TRUE(unproven.receive()->has_goodbye()) << "Hello without a certificate";
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  node.send_bytes(std::string("\0\0\0\x03zzz", 7));
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  FakeNode again(rig.port(), &ledger);
  EXPECT_TRUE(again.hello());
}

TEST(Strangers, SlowOnesAreCutOffAndTheirNumberIsBounded) {
  DistributionLimits limits = quick_limits();
  limits.handshake = std::chrono::milliseconds(150);
  limits.first_frame = std::chrono::milliseconds(150);
  limits.strangers_of_a_source = 3;
  ControllerRig rig(limits);
  FakeNode silent(rig.port(), nullptr);
  ASSERT_TRUE(silent.connected());
  EXPECT_FALSE(silent.receive(std::chrono::milliseconds(3000))) << "no first frame";
  FakeNode slow(rig.port(), nullptr);
  slow.send_bytes(std::string("\0\0\1", 3));
  EXPECT_FALSE(slow.receive(std::chrono::milliseconds(3000))) << "half a header";
  boost::asio::io_context io;
  std::vector<boost::asio::ip::tcp::socket> sockets;
  for (int i = 0; i < 6; ++i) {
    sockets.emplace_back(io);
    sockets.back().connect({boost::asio::ip::address_v4::loopback(), rig.port()});
  }
  EXPECT_TRUE(rig.eventually([&] { return rig.metrics.counted("connections_refused", "strangers") >= 3; }));
  EXPECT_TRUE(rig.eventually([&] { return rig.metrics.counted("connections_refused", "handshake") >= 3; }));
}

}  // namespace distribution_admission_test
}  // namespace cordon::controller
