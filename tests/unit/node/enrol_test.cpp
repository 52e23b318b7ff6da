#include "node/link/enrol.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"
#include "tests/unit/node/link_fake_controller.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace enrol_test {

class Enrol : public ::testing::Test {
 protected:
  EnrolRequestFacts facts(const test::FakeController& controller) {
    EnrolRequestFacts out;
    out.controllers = {controller.endpoint()};
    out.name = "ledger";
    out.platform = "test";
    out.limit = std::chrono::milliseconds(5000);
    return out;
  }
  test::FakeController controller(test::FakeController::Script script) {
    return {pki.chain(), pki.server_key.to_pem(), pki.root_pem, std::move(script)};
  }
  wire::JoinTokenText token() {
    return {.id = TokenId{"t-0123456789abcdef"}, .secret = Bytes(32, 5), .ca_fingerprint = pki.fingerprint()};
  }

  test::Pki pki;
  test::TemporaryDirectory directory;
  IdentityStore store{directory.path()};
};

TEST_F(Enrol, WithTheRightTokenGetsACertificate) {
  wire::EnrolRequest seen;
  auto fake = controller([&](test::FakeLink& link) {
    const auto asked = link.read();
    ASSERT_TRUE(asked && asked->has_enrol());
    seen = asked->enrol();
    wire::ToNode answer;
    answer.mutable_enrolled()->set_device("ledger");
    answer.mutable_enrolled()->set_certificate_pem(pki.device(seen.csr_pem(), "ledger"));
    answer.mutable_enrolled()->set_trust_bundle_pem(pki.root_pem);
    link.send(answer);
  });
  const auto identity = enrol(facts(fake), token(), store, system_clock());
  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_EQ(identity->device.value, "ledger");
  EXPECT_FALSE(identity->pending);
  EXPECT_EQ(seen.token_secret().size(), 32u);
  EXPECT_EQ(seen.wireguard_public_key().size(), 32u);
  EXPECT_TRUE(store.load().value().has_value());
  const auto again = enrol(facts(fake), token(), store, system_clock());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(Enrol, WithAnotherFingerprintSendsNothing) {
  auto fake = controller([](test::FakeLink&) {});
  wire::JoinTokenText other = token();
  other.ca_fingerprint.fill(1);
  const auto identity = enrol(facts(fake), other, store, system_clock());
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code, ErrorCode::unauthorized);
  EXPECT_NE(identity.error().hint.find("nothing was sent"), std::string::npos);
  EXPECT_EQ(fake.connections(), 1);
  EXPECT_EQ(fake.messages(), 0);
  EXPECT_FALSE(store.load()->has_value());
}

TEST_F(Enrol, TheRootAloneInTheChainIsNoProof) {
  // Someone who presents the true root beside a chain of their own: the leaf doesn't lead to it.
  const test::Pki stranger;
  test::FakeController fake(stranger.server_pem + stranger.intermediate_pem + pki.root_pem,
                            stranger.server_key.to_pem(), pki.root_pem, [](test::FakeLink&) {});
  const auto identity = enrol(facts(fake), token(), store, system_clock());
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code, ErrorCode::unauthorized);
  EXPECT_EQ(fake.messages(), 0);
}

TEST_F(Enrol, ADeviceIsNoController) {
  const auto key = crypto::PrivateKey::generate().value();
  const std::string chain = pki.device(crypto::make_csr(key, "web").value(), "web") + pki.root_pem;
  test::FakeController fake(chain, key.to_pem(), pki.root_pem, [](test::FakeLink&) {});
  const auto identity = enrol(facts(fake), token(), store, system_clock());
  ASSERT_FALSE(identity);
  EXPECT_EQ(fake.messages(), 0);
}

TEST_F(Enrol, RefusalsAreToldAndNothingIsStored) {
  auto fake = controller([](test::FakeLink& link) {
    link.read();
    wire::ToNode answer;
    answer.mutable_enrolled()->set_outcome(wire::EnrolAnswer::REFUSED);
    answer.mutable_enrolled()->set_reason("the token is used up; make another");
    link.send(answer);
  });
  const auto identity = enrol(facts(fake), token(), store, system_clock());
  ASSERT_FALSE(identity);
  EXPECT_NE(identity.error().what.find("used up"), std::string::npos);
  EXPECT_FALSE(store.load()->has_value());
}

TEST_F(Enrol, ACertificateForAnotherKeyOrDeviceIsRefused) {
  const auto other = crypto::PrivateKey::generate().value();
  for (const bool own_key : {false, true}) {
    auto fake = controller([&](test::FakeLink& link) {
      const auto asked = link.read();
      const std::string csr = own_key ? asked->enrol().csr_pem() : crypto::make_csr(other, "ledger").value();
      wire::ToNode answer;
      answer.mutable_enrolled()->set_device("ledger");
      answer.mutable_enrolled()->set_certificate_pem(pki.device(csr, own_key ? "web" : "ledger"));
      link.send(answer);
    });
    EXPECT_FALSE(enrol(facts(fake), token(), store, system_clock()));
    EXPECT_FALSE(store.load()->has_value());
  }
}

TEST_F(Enrol, PendingIsPolledWithASignatureUntilApproved) {
  int turn = 0;
  std::string csr;
  auto fake = controller([&](test::FakeLink& link) {
    const auto asked = link.read();
    wire::ToNode answer;
    auto& enrolled = *answer.mutable_enrolled();
    enrolled.set_device("ledger");
    if (++turn < 3) {
      if (asked->has_enrol()) csr = asked->enrol().csr_pem();
      enrolled.set_outcome(wire::EnrolAnswer::PENDING);
      enrolled.set_poll_after_s(7);
    } else {
      const auto& poll = asked->enrol_poll();
      EXPECT_TRUE(crypto::verify(as_bytes(poll.public_key_der()),
                                 wire::enrol_poll_text(DeviceId{poll.device()}, from_us(poll.at_us())),
                                 as_bytes(poll.signature())));
      enrolled.set_certificate_pem(pki.device(csr, "ledger"));
      enrolled.set_trust_bundle_pem(pki.root_pem);
    }
    link.send(answer);
  });
  const auto identity = enrol(facts(fake), token(), store, system_clock());
  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_TRUE(identity->pending);
  const auto waiting = poll_enrolment(facts(fake), store, system_clock());
  ASSERT_TRUE(waiting) << waiting.error().message();
  EXPECT_TRUE(waiting->identity.pending);
  EXPECT_EQ(waiting->ask_again, Seconds{7});
  const auto approved = poll_enrolment(facts(fake), store, system_clock());
  ASSERT_TRUE(approved) << approved.error().message();
  EXPECT_FALSE(approved->identity.pending);
}

TEST_F(Enrol, GarbageIsAnErrorAndNotACrash) {
  for (const std::string& bytes :
       {std::string("\0\0\0\0", 4), std::string("\xff\xff\xff\xff garbage", 12),
        std::string("\0\0\0\3abc", 7), std::string("HTTP/1.1 400 Bad Request\r\n\r\n")}) {
    auto fake = controller([&](test::FakeLink& link) {
      link.read();
      link.send_raw(bytes);
    });
    EXPECT_FALSE(enrol(facts(fake), token(), store, system_clock()));
  }
}

TEST_F(Enrol, NobodyThereIsUnavailable) {
  EnrolRequestFacts nobody;
  {
    auto fake = controller([](test::FakeLink&) {});
    nobody = facts(fake);
  }
  const auto identity = enrol(nobody, token(), store, system_clock());
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code, ErrorCode::unavailable);
}

TEST_F(Enrol, TheTokenFileIsForItsOwner) {
  const auto path = directory.path() / "token";
  ASSERT_TRUE(write_file(path, wire::to_string(token()) + "\n", 0600));
  EXPECT_EQ(read_join_token(path)->id, token().id);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_FALSE(read_join_token(path));
}

}  // namespace enrol_test
}  // namespace cordon::node
