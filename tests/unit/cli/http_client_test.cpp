// The client against a controller of bytes: one connection, one answer told by the test.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>

#include "cli/clients.h"
#include "tests/support/temp_dir.h"

namespace cordon::test {
namespace {

/// Reads one request (head, and a body by Content-Length), writes `answer` and closes, or waits for the
/// client to go.
class OneAnswer {
 public:
  OneAnswer(const std::string& path, std::string answer, bool then_wait = false) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(at.sun_path, path.c_str(), sizeof(at.sun_path) - 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    thread_ = std::thread([this, answer = std::move(answer), then_wait] { serve(answer, then_wait); });
  }
  ~OneAnswer() {
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  /// After the call: what the client sent.
  std::string request() {
    thread_.join();
    return request_;
  }

 private:
  void serve(const std::string& answer, bool then_wait) {
    const int peer = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    char piece[4096];
    while (!whole()) {
      const ssize_t got = read(peer, piece, sizeof(piece));
      if (got <= 0) break;
      request_.append(piece, static_cast<std::size_t>(got));
    }
    EXPECT_EQ(send(peer, answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    while (then_wait && read(peer, piece, sizeof(piece)) > 0) {
    }
    close(peer);
  }
  bool whole() const {
    const std::size_t end = request_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t length = request_.find("Content-Length: ");
    const std::size_t body = length < end ? std::stoul(request_.substr(length + 16)) : 0;
    return request_.size() >= end + 4 + body;
  }

  int listener_ = -1;
  std::string request_;
  std::thread thread_;
};

struct HttpClient : testing::Test {
  TempDir dir;
  const std::string path = (dir / "admin.sock").string();

  Result<cli::ApiReply> call(std::string_view method, std::string_view target, std::string_view body = {},
                             const cli::ApiClient::Sink& sink = {}, Seconds timeout = Seconds{20}) {
    auto client = cli::make_api_client({.socket = path, .server = {}, .token_file = {}, .ca_file = {}});
    if (!client) return std::unexpected(client.error());
    return (*client)->call(method, target, body, timeout, sink);
  }
};

TEST_F(HttpClient, SendsARequestAndReadsTheAnswer) {
  OneAnswer server(path, "HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
  const auto reply = call("POST", "/v1/tokens", "{\"uses\":1}");
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->status, 201u);
  EXPECT_EQ(reply->body, "{\"a\":1}");
  EXPECT_EQ(server.request(),
            "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nUser-Agent: cordon\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"uses\":1}");
}

TEST_F(HttpClient, PutsPiecesTogether) {
  OneAnswer server(path,
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  const auto reply = call("GET", "/v1/audit/export");
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body, "abcdefg");
}

TEST_F(HttpClient, HandsASuccessToTheSink) {
  const std::string long_body(200'000, 'x');
  OneAnswer server(path, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + long_body);
  std::string got;
  const auto reply = call("GET", "/v1/audit/export", {}, [&](std::string_view piece) -> Result<> {
    got += piece;
    return {};
  });
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body, "");
  EXPECT_EQ(got, long_body);
}

TEST_F(HttpClient, KeepsARefusalFromTheSink) {
  OneAnswer server(path, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}");
  const auto reply = call("GET", "/v1/audit/export", {}, [](std::string_view) -> Result<> {
    return fail(ErrorCode::internal, "a refusal reached the sink");
  });
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->status, 403u);
  EXPECT_EQ(reply->body, "{}");
}

TEST_F(HttpClient, TellsWhatTheSinkSaid) {
  OneAnswer server(path, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
  const auto reply = call("GET", "/v1/audit/export", {}, [](std::string_view) -> Result<> {
    return fail(ErrorCode::io, "the disk is full");
  });
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().what, "the disk is full");
}

TEST_F(HttpClient, RefusesACutAnswer) {
  for (const std::string answer : {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"a\"",
                                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                                   "HTTP/1.1 200 O", "", "SSH-2.0-OpenSSH\r\n"}) {
    unlink(path.c_str());
    OneAnswer server(path, answer);
    const auto reply = call("GET", "/v1/status");
    ASSERT_FALSE(reply) << answer;
    EXPECT_EQ(reply.error().code, ErrorCode::unavailable);
  }
}

TEST_F(HttpClient, DoesNotWaitForever) {
  OneAnswer server(path, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", true);
  const auto reply = call("GET", "/v1/status", {}, {}, Seconds{1});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().what, "can't reach the controller at " + path + ": Connection timed out");
}

TEST_F(HttpClient, SaysThatNobodyListens) {
  const auto reply = call("GET", "/v1/status");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::unavailable);
  EXPECT_NE(reply.error().hint.find("is cordon-controller running here?"), std::string::npos);
}

}  // namespace
}  // namespace cordon::test
