#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "controller/api/router.h"
#include "controller/api/routes.h"
#include "controller/api/server.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_access_test {

using api::Role;

TEST(ApiRoles, EachMayWhatItIsFor) {
  const Role all[] = {Role::anyone,    Role::viewer, Role::auditor, Role::engineer,
                      Role::operator_, Role::admin,  Role::root};
  for (const Role role : all) EXPECT_TRUE(api::may(role, Role::anyone));
  for (const Role role :
       {Role::viewer, Role::auditor, Role::engineer, Role::operator_, Role::admin, Role::root}) {
    EXPECT_TRUE(api::may(role, Role::viewer));
    EXPECT_TRUE(api::may(role, role));
    EXPECT_TRUE(api::may(Role::root, role));
  }
  EXPECT_FALSE(api::may(Role::anyone, Role::viewer));
  EXPECT_FALSE(api::may(Role::viewer, Role::auditor));
  EXPECT_FALSE(api::may(Role::auditor, Role::operator_));
  EXPECT_FALSE(api::may(Role::operator_, Role::engineer));
  EXPECT_FALSE(api::may(Role::operator_, Role::admin));
  EXPECT_TRUE(api::may(Role::admin, Role::engineer));
  EXPECT_FALSE(api::may(Role::admin, Role::root));
}

TEST(ApiPercent, DecodesStrictly) {
  EXPECT_EQ(api::percent_decode("a%40b+c", false).value(), "a@b+c");
  EXPECT_EQ(api::percent_decode("a+b", true).value(), "a b");
  for (const char* bad : {"%", "%4", "%zz", "a%00b", "%4g"})
    EXPECT_FALSE(api::percent_decode(bad, false)) << bad;
  EXPECT_EQ(api::percent_decode("%41", false).value(), "A");
}

class ApiAccess : public ::testing::Test {
 protected:
  /// Over TLS, trusting the rig's authority alone.
  test::Answer https(const std::string& request, int version = TLS1_3_VERSION) {
    namespace asio = boost::asio;
    asio::io_context io;
    asio::ssl::context context(asio::ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(context.native_handle(), version);
    context.add_certificate_authority(asio::buffer(rig.authority->trust_bundle_pem()));
    context.set_verify_mode(asio::ssl::verify_peer);
    // The rig's clock isn't the machine's.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.native_handle()), X509_V_FLAG_NO_CHECK_TIME);
    asio::ssl::stream<asio::ip::tcp::socket> stream(io, context);
    boost::system::error_code error;
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), rig.api->https_port()}, error);
    if (!error) stream.handshake(asio::ssl::stream_base::client, error);
    if (error) return {};
    asio::write(stream, asio::buffer(request), error);
    std::string raw;
    asio::read(stream, asio::dynamic_buffer(raw), error);
    return test::parse_answer(raw);
  }
  std::string token(const std::string& role, const std::string& owner = "root@local", int seconds = 3600) {
    const auto made = rig.call("POST", "/v1/api-tokens",
                               R"({"role":")" + role + R"(","owner":")" + owner + R"(","expires_in_s":)" +
                                   std::to_string(seconds) + "}");
    EXPECT_EQ(made.status, 201u) << made.body;
    return made.text("token");
  }
  unsigned get(const std::string& target, const std::string& with) {
    return https(test::http_request("GET", target, "", with)).status;
  }

  test::ApiRig rig;
};

TEST_F(ApiAccess, TheSocketIsRootsAlone) {
  struct stat about{};
  ASSERT_EQ(stat(rig.config.admin_socket().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600u);
  EXPECT_EQ(rig.call("GET", "/v1/status").status, 200u);
  const auto made = rig.call("POST", "/v1/tokens");
  EXPECT_EQ(made.status, 201u);
  EXPECT_EQ(test::must(rig.store.read(Revision{}, 1000)).back().actor, "root@local");
}

TEST_F(ApiAccess, HttpsNeedsATokenOfTheRightRole) {
  EXPECT_EQ(get("/v1/health", ""), 200u);
  EXPECT_EQ(get("/v1/status", ""), 401u);
  EXPECT_EQ(get("/v1/status", "nonsense"), 401u);
  EXPECT_EQ(get("/v1/status", "cordona1.a-0000000000000000." + to_base64url(Bytes(32, 1))), 401u);
  const std::string viewer = token("viewer"), admin = token("admin");
  EXPECT_EQ(get("/v1/status", viewer), 200u);
  EXPECT_EQ(get("/v1/audit", viewer), 403u);
  EXPECT_EQ(get("/v1/audit", token("auditor")), 200u);
  std::string changed = viewer;
  changed.back() = changed.back() == 'A' ? 'Q' : 'A';
  EXPECT_EQ(get("/v1/status", changed), 401u);
  const auto denied = https(test::http_request("POST", "/v1/tokens", "{}", viewer));
  EXPECT_EQ(denied.status, 403u);
  EXPECT_EQ(denied.text("hint"), "it needs the role operator");
  EXPECT_EQ(https(test::http_request("POST", "/v1/tokens", "{}", token("operator"))).status, 201u);
  EXPECT_EQ(https(test::http_request("POST", "/v1/api-tokens", R"({"role":"viewer"})", admin)).status, 403u);
  EXPECT_GE(rig.metrics.counted("api_refused", "401"), 4u);
}

TEST_F(ApiAccess, TokensEndWithTheirTimeTheirOwnerAndByRevocation) {
  const std::string user = rig.add_user("ann@acme.example", "correct horse battery");
  const std::string hers = token("viewer", "ann@acme.example"), brief = token("viewer", "root@local", 10),
                    other = token("viewer");
  for (const auto& each : {hers, brief, other}) EXPECT_EQ(get("/v1/status", each), 200u);
  rig.clock.advance(Seconds{11});
  EXPECT_EQ(get("/v1/status", brief), 401u);
  rig.add(kinds::UserDisabled{.user = SubjectId(user)});
  EXPECT_EQ(get("/v1/status", hers), 401u);
  const std::string id = other.substr(9, other.rfind('.') - 9);
  EXPECT_EQ(rig.call("DELETE", "/v1/api-tokens/" + id).status, 200u);
  EXPECT_EQ(get("/v1/status", other), 401u);
  const auto list = rig.call("GET", "/v1/api-tokens");
  EXPECT_EQ(list.body.find(other.substr(other.rfind('.') + 1)), std::string::npos);
}

TEST_F(ApiAccess, OldTlsIsRefused) {
  EXPECT_EQ(https(test::http_request("GET", "/v1/health", ""), TLS1_2_VERSION).status, 0u);
  EXPECT_EQ(https(test::http_request("GET", "/v1/health", "")).status, 200u);
  rig.on_strand([&] {
    test::must(rig.api->reload_certificate());
    return 0;
  });
  EXPECT_EQ(https(test::http_request("GET", "/v1/health", "")).status, 200u);
}

TEST_F(ApiAccess, WhatIsTooLargeOrNoHttpIsRefusedAndTheServerLives) {
  const std::string too_much = std::to_string(api::kMaxBodyBytes + 1);
  EXPECT_EQ(
      rig.send_raw("POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: " + too_much + "\r\n\r\n").status,
      413u);
  EXPECT_EQ(rig.send_raw("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n").status, 431u);
  EXPECT_EQ(rig.send_raw("this is no http\r\n\r\n").status, 400u);
  EXPECT_EQ(rig.send_raw(std::string("\0\x01\x02\xff\r\n\r\n", 8)).status, 400u);
  EXPECT_EQ(
      rig.send_raw("POST /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
          .status,
      415u);
  EXPECT_EQ(rig.send_raw("GET /v1/audit/export HTTP/1.0\r\n\r\n").status, 400u);
  // A stranger's body is refused by the head alone: it is never read.
  EXPECT_EQ(https("POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n").status, 401u);
  EXPECT_EQ(rig.call("GET", "/v1/status").status, 200u);
}

TEST_F(ApiAccess, ConnectionsServeManyRequests) {
  const std::string one = "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
  const auto answer = rig.send_raw(one + one + test::http_request("GET", "/v1/health", ""));
  std::size_t answers = 1;
  for (std::size_t at = answer.body.find("HTTP/1.1 200"); at != std::string::npos;
       at = answer.body.find("HTTP/1.1 200", at + 1)) {
    ++answers;
  }
  EXPECT_EQ(answers, 3u);
}

}  // namespace api_access_test
}  // namespace cordon::controller
