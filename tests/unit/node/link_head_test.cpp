#include "node/link/head.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace link_head_test {

class Heads : public ::testing::Test {
 protected:
  HeadMemory open() { return HeadMemory::open(directory.path() / "seen_head.json").value(); }
  Result<Head> accept(HeadMemory& memory, const wire::SignedHead& head) {
    return memory.accept(head, pki.root_pem, "acme.example", pki.now);
  }
  test::Pki pki;
  test::TemporaryDirectory directory;
};

TEST_F(Heads, GoForwardAndAreRemembered) {
  HeadMemory memory = open();
  EXPECT_FALSE(memory.seen());
  ASSERT_TRUE(accept(memory, pki.head(5)));
  ASSERT_TRUE(accept(memory, pki.head(5)));
  ASSERT_TRUE(accept(memory, pki.head(9)));
  ASSERT_TRUE(memory.save());
  EXPECT_EQ(open().seen(), memory.seen());
  EXPECT_EQ(open().seen()->revision, Revision{9});
}

TEST_F(Heads, AForkIsFound) {
  HeadMemory memory = open();
  ASSERT_TRUE(accept(memory, pki.head(5)));
  const auto fork = accept(memory, pki.head(5, 1));
  ASSERT_FALSE(fork);
  EXPECT_EQ(fork.error().code, ErrorCode::conflict);
  EXPECT_NE(fork.error().what.find("log rewritten"), std::string::npos);
}

TEST_F(Heads, ACutIsFoundAfterARestartToo) {
  {
    HeadMemory memory = open();
    ASSERT_TRUE(accept(memory, pki.head(9)));
    ASSERT_TRUE(memory.save());
  }
  HeadMemory memory = open();
  const auto cut = accept(memory, pki.head(8));
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::conflict);
  EXPECT_EQ(memory.seen()->revision, Revision{9}) << "what was seen stays seen";
}

TEST_F(Heads, AnOlderHeadIsOnlyRightInItsOwnSession) {
  HeadMemory memory = open();
  ASSERT_TRUE(accept(memory, pki.head(5)));
  ASSERT_TRUE(accept(memory, pki.head(6)));
  EXPECT_TRUE(accept(memory, pki.head(5)));
  EXPECT_FALSE(accept(memory, pki.head(5, 1)));
  memory.begin_session();
  EXPECT_FALSE(accept(memory, pki.head(5)));
}

TEST_F(Heads, ASignatureThatDoesNotHoldIsRefused) {
  HeadMemory memory = open();
  wire::SignedHead forged = pki.head(5);
  forged.set_revision(6);
  EXPECT_EQ(accept(memory, forged).error().code, ErrorCode::unauthorized);
  forged = pki.head(5);
  forged.set_signer_pem("");
  EXPECT_FALSE(accept(memory, forged));
  forged.set_hash("short");
  EXPECT_EQ(accept(memory, forged).error().code, ErrorCode::protocol);
  EXPECT_FALSE(memory.seen());
}

TEST_F(Heads, TheSignerIsAControllerOfOurDomain) {
  HeadMemory memory = open();
  const test::Pki stranger(pki.now);
  EXPECT_FALSE(accept(memory, stranger.head(5))) << "another root";
  const test::Pki cousin(pki.now, "other.example");
  EXPECT_FALSE(memory.accept(cousin.head(5), cousin.root_pem, "acme.example", pki.now)) << "another domain";
  wire::SignedHead by_device = pki.head(5);
  const auto key = crypto::PrivateKey::generate().value();
  const Bytes signature =
      key.sign(wire::head_text(Revision{5}, crypto::parse_certificate(pki.root_pem)->fingerprint));
  by_device.set_signature(signature.data(), signature.size());
  by_device.set_signer_pem(pki.device(crypto::make_csr(key, "web").value(), "web"));
  EXPECT_EQ(accept(memory, by_device).error().code, ErrorCode::forbidden);
}

TEST_F(Heads, ADamagedMemoryIsNotAnEmptyOne) {
  for (const char* text :
       {"", "{}", "{\"revision\":-1,\"hash\":\"00\"}", "[1]", "{\"revision\":1,\"hash\":7}"}) {
    ASSERT_TRUE(write_file(directory.path() / "seen_head.json", text));
    EXPECT_FALSE(HeadMemory::open(directory.path() / "seen_head.json")) << text;
  }
}

}  // namespace link_head_test
}  // namespace cordon::node
