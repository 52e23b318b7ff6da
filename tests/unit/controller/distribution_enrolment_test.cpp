// Machines without a certificate that ask for one, over TLS on the loopback.

#include <gtest/gtest.h>

#include "controller/distribution/enrolment.h"
#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_enrolment_test {

using namespace test;
using wire::EnrolAnswer;
using wire::ToController;

ToController enrol_request(const FakeDevice& device, const std::string& token, const std::string& secret) {
  ToController message;
  wire::EnrolRequest& enrol = *message.mutable_enrol();
  enrol.set_token_id(token);
  enrol.set_token_secret(secret);
  enrol.set_name(device.name);
  enrol.set_csr_pem(must(crypto::make_csr(device.key, device.name)));
  enrol.set_wireguard_public_key(
      std::string(as_text(crypto::wireguard_public(crypto::wireguard_generate()))));
  return message;
}

EnrolAnswer enrol(ControllerRig& rig, const FakeDevice& device, const std::string& token,
                  const std::string& secret) {
  FakeNode node(rig.port(), nullptr);
  node.send(enrol_request(device, token, secret));
  const auto answer = node.receive();
  return answer ? answer->enrolled() : EnrolAnswer();
}

EnrolAnswer poll(ControllerRig& rig, const FakeDevice& device, Timestamp at) {
  FakeNode node(rig.port(), nullptr);
  ToController message;
  wire::EnrolPoll& poll = *message.mutable_enrol_poll();
  poll.set_device(device.name);
  poll.set_public_key_der(std::string(as_text(device.key.public_key_der())));
  poll.set_at_us(to_us(at));
  poll.set_signature(std::string(as_text(device.key.sign(wire::enrol_poll_text(DeviceId(device.name), at)))));
  node.send(message);
  const auto answer = node.receive();
  return answer ? answer->enrolled() : EnrolAnswer();
}

TEST(Enrolment, ATokenThatWaivesApprovalEnrolsAtOnceAndTheCertificateOpensASession) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', true);
  FakeDevice device{.name = "ledger"};
  const EnrolAnswer answer = enrol(rig, device, "t-1", secret);
  ASSERT_EQ(answer.outcome(), EnrolAnswer::ENROLLED) << answer.reason();
  device.chain_pem = answer.certificate_pem();
  const auto leaf = must(crypto::parse_certificate(device.chain_pem));
  EXPECT_EQ(leaf.uris, std::vector<std::string>{"spiffe://acme.example/device/ledger"});
  // An answer that got lost is given again, and the token isn't used twice.
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::ENROLLED);
  FakeNode node(rig.port(), &device);
  EXPECT_TRUE(node.hello());
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::REFUSED) << "it has connected";
  EXPECT_EQ(poll(rig, device, system_clock().now()).outcome(), EnrolAnswer::REFUSED);
}

TEST(Enrolment, GivesAnIsolatedDeviceNothingAndNobodyManyCertificates) {
  DistributionLimits limits = quick_limits();
  limits.renewals = {.burst = 2, .per_second = 0.001};
  ControllerRig rig(limits);
  const std::string secret = rig.add_token("t-1", 'a', true);
  const FakeDevice device{.name = "ledger"};
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::ENROLLED);
  const Timestamp now = system_clock().now();
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::ENROLLED);
  const EnrolAnswer later = poll(rig, device, now);
  EXPECT_EQ(later.outcome(), EnrolAnswer::PENDING);
  EXPECT_GT(later.poll_after_s(), 5u);
  rig.add(kinds::DeviceIsolated{.device = DeviceId("ledger"), .reason = "test"});
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
}

TEST(Enrolment, WaitsForApprovalAndThenAnswersThePoll) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', false);
  const FakeDevice device{.name = "ledger"};
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::PENDING);
  const Timestamp now = system_clock().now();
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::PENDING);
  rig.add(kinds::DeviceApproved{.device = DeviceId("ledger")});
  EXPECT_EQ(poll(rig, device, now).outcome(), EnrolAnswer::ENROLLED);
  EXPECT_EQ(poll(rig, device, now - std::chrono::minutes(6)).outcome(), EnrolAnswer::REFUSED)
      << "an old poll";
  const FakeDevice other{.name = "ledger"};
  EXPECT_EQ(poll(rig, other, now).outcome(), EnrolAnswer::REFUSED) << "another key";
}

TEST(Enrolment, RefusesWrongTokensAndTakenNamesAndLeavesNoTrace) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', false);
  const FakeDevice device{.name = "ledger"};
  const EnrolAnswer wrong = enrol(rig, device, "t-1", std::string(32, 'b'));
  const EnrolAnswer unknown = enrol(rig, device, "t-2", secret);
  EXPECT_EQ(wrong.outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(unknown.outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(wrong.reason(), unknown.reason()) << "which was wrong is not told";
  EXPECT_TRUE(rig.on_strand([&] { return rig.log->world().devices.empty(); }));
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::PENDING);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "ledger"}, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "Ledger!"}, "t-1", secret).outcome(), EnrolAnswer::REFUSED);
  auto forged = enrol_request(FakeDevice{.name = "web"}, "t-1", secret);
  forged.mutable_enrol()->set_csr_pem("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
  FakeNode node(rig.port(), nullptr);
  node.send(forged);
  EXPECT_EQ(node.receive()->enrolled().outcome(), EnrolAnswer::REFUSED);
  EXPECT_GE(rig.metrics.counted("enrolments_refused", "token"), 2u);
}

TEST(Enrolment, FailuresSlowTheirSourceDown) {
  DistributionLimits limits = quick_limits();
  limits.enrolment = {.burst = 4, .per_second = 0.001};
  ControllerRig rig(limits);
  EXPECT_EQ(enrol(rig, FakeDevice{.name = "ledger"}, "t-1", std::string(32, 'b')).outcome(),
            EnrolAnswer::REFUSED);
  FakeNode node(rig.port(), nullptr);
  node.send(enrol_request(FakeDevice{.name = "ledger"}, "t-1", std::string(32, 'b')));
  const auto answer = node.receive();
  ASSERT_TRUE(answer && answer->has_busy());
  EXPECT_GT(answer->busy().retry_after_ms(), 0u);
}

TEST(Enrolment, OfTwoThatWantANameAtOnceOneGetsIt) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', true);
  const FakeDevice first{.name = "ledger"}, second{.name = "ledger"};
  const DistributionLimits limits = quick_limits();
  const auto enrolment = std::make_shared<controller::Enrolment>(*rig.services, limits);
  std::promise<EnrolAnswer> told_first, told_second;
  // Both pass every check before either is in the log, and the second's request is what was kept last.
  rig.on_strand([&] {
    const Address source = must(Address::parse("127.0.0.1"));
    enrolment->enrol(enrol_request(first, "t-1", secret).enrol(), source,
                     [&](const EnrolAnswer& answer) { told_first.set_value(answer); });
    enrolment->enrol(enrol_request(second, "t-1", secret).enrol(), source,
                     [&](const EnrolAnswer& answer) { told_second.set_value(answer); });
    return 0;
  });
  const EnrolAnswer winner = told_first.get_future().get();
  EXPECT_EQ(told_second.get_future().get().outcome(), EnrolAnswer::REFUSED);
  ASSERT_EQ(winner.outcome(), EnrolAnswer::ENROLLED) << winner.reason();
  EXPECT_EQ(must(crypto::parse_certificate(winner.certificate_pem())).public_key_der,
            first.key.public_key_der());
}

TEST(Enrolment, ACertificateIsForTheKeyThatEnrolledWhateverRequestIsKept) {
  ControllerRig rig;
  const std::string secret = rig.add_token("t-1", 'a', false);
  const FakeDevice device{.name = "ledger"}, other{.name = "ledger"};
  ASSERT_EQ(enrol(rig, device, "t-1", secret).outcome(), EnrolAnswer::PENDING);
  rig.on_strand([&] {
    must(rig.secrets->put("enrol-csr/ledger", as_bytes(must(crypto::make_csr(other.key, "ledger")))));
    return 0;
  });
  rig.add(kinds::DeviceApproved{.device = DeviceId("ledger")});
  const EnrolAnswer answer = poll(rig, device, system_clock().now());
  EXPECT_EQ(answer.outcome(), EnrolAnswer::REFUSED);
  EXPECT_EQ(answer.reason(), "the request is not for this device's key");
  EXPECT_EQ(answer.certificate_pem(), "");
}

}  // namespace distribution_enrolment_test
}  // namespace cordon::controller
