#include "node/local/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "base/files.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node::local {
namespace local_server_test {

/// A caller that never blocks the one thread: it runs the server while it waits.
class Caller_ {
 public:
  Caller_(boost::asio::io_context& io, const std::filesystem::path& path) : io_(io) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Caller_() { ::close(fd_); }

  void say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      if (sent < 0 && errno != EAGAIN) return;
      io_.run_for(std::chrono::milliseconds(1));
      io_.restart();
    }
  }
  /// A line, or "<closed>".
  std::string hear() {
    for (int i = 0; i < 5000; ++i) {
      if (const auto end = text_.find('\n'); end != std::string::npos) {
        const std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      char buffer[4096];
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
      if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EAGAIN)) return "<closed>";
      io_.run_for(std::chrono::milliseconds(1));
      io_.restart();
    }
    return "<nothing>";
  }

 private:
  boost::asio::io_context& io_;
  int fd_ = -1;
  std::string text_;
};

class LocalServer : public ::testing::Test {
 protected:
  void serve(ServerLimits limits = {}) {
    server.emplace(io, limits,
                   [this](Request request, Caller caller, std::function<void(std::string)> reply) {
                     last = caller;
                     if (std::holds_alternative<Logout>(request))
                       later.push_back(std::move(reply));
                     else
                       reply(R"({"ok":true})");
                   });
    ASSERT_TRUE(server->listen(path));
  }
  test::TemporaryDirectory directory;
  std::filesystem::path path = directory.path() / "node.sock";
  boost::asio::io_context io;
  std::optional<Server> server;
  Caller last;
  std::vector<std::function<void(std::string)>> later;
};

TEST_F(LocalServer, AnswersLineByLineAndKnowsTheCaller) {
  serve();
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0666u);
  Caller_ caller(io, path);
  caller.say("{\"verb\":\"status\"}\n{\"verb\":\"status\"}\n");
  EXPECT_EQ(caller.hear(), R"({"ok":true})");
  EXPECT_EQ(caller.hear(), R"({"ok":true})");
  EXPECT_EQ(last.uid, ::getuid());
  EXPECT_EQ(last.pid, ::getpid());
}

TEST_F(LocalServer, GarbageIsAnsweredAndTheConnectionLives) {
  serve();
  Caller_ caller(io, path);
  caller.say(std::string("\0\xff\xfe garbage\n", 12));
  EXPECT_NE(caller.hear().find(R"("ok":false)"), std::string::npos);
  caller.say("{\"verb\":\"status\"}\n");
  EXPECT_EQ(caller.hear(), R"({"ok":true})");
}

TEST_F(LocalServer, AnOverlongLineEndsTheConnection) {
  serve();
  Caller_ caller(io, path);
  caller.say(std::string(kMaxLineBytes + 10, 'a'));
  EXPECT_NE(caller.hear().find("too long"), std::string::npos);
  EXPECT_EQ(caller.hear(), "<closed>");
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(LocalServer, SilentAndWaitingCallersAreLetGo) {
  serve({.connections = 4,
         .per_user = 4,
         .idle = std::chrono::milliseconds(20),
         .answer = std::chrono::milliseconds(20)});
  Caller_ silent(io, path);
  EXPECT_EQ(silent.hear(), "<closed>");
  Caller_ waiting(io, path);
  waiting.say("{\"verb\":\"logout\"}\n");
  EXPECT_EQ(waiting.hear(), "<closed>");
  ASSERT_EQ(later.size(), 1u);
  later[0]("{}");  // an answer that comes too late goes nowhere
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(LocalServer, OnePersonCantKeepTheOthersOut) {
  serve({.connections = 8, .per_user = 2});
  Caller_ first(io, path), second(io, path), third(io, path);
  EXPECT_EQ(third.hear(), "<closed>");
  first.say("{\"verb\":\"status\"}\n");
  EXPECT_EQ(first.hear(), R"({"ok":true})");
}

TEST_F(LocalServer, ReplacesADeadSocketOnly) {
  serve();
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(write_file(path, "someone's file"));
  server.emplace(io, ServerLimits{}, [](Request, Caller, auto) {});
  EXPECT_FALSE(server->listen(path));
}

}  // namespace local_server_test
}  // namespace cordon::node::local
