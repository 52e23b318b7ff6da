#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include "base/log.h"
#include "controller/api/server.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"

namespace cordon::controller::api {
namespace {

using asio::local::stream_protocol;

/// Root, or the user that this process runs as.
bool is_trusted(StreamSocket& socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

/// A socket file whose listener died goes; one that answers, and anything that is no socket, stays.
Result<> make_room(const std::string& path) {
  struct stat about{};
  if (lstat(path.c_str(), &about) != 0) return {};
  if (!S_ISSOCK(about.st_mode)) {
    return fail(ErrorCode::conflict, "\"" + path + "\" exists and is not a socket", "move it away");
  }
  asio::io_context io;
  stream_protocol::socket probe(io);
  boost::system::error_code error;
  probe.connect(stream_protocol::endpoint(path), error);
  if (!error) {
    return fail(ErrorCode::conflict, "another controller listens at \"" + path + "\"",
                "stop it, or set another run_directory");
  }
  if (unlink(path.c_str()) != 0) return fail_errno("can't remove \"" + path + "\"", errno);
  return {};
}

class LocalListener final : public Listener, public std::enable_shared_from_this<LocalListener> {
 public:
  explicit LocalListener(std::shared_ptr<Server> server)
      : server_(std::move(server)),
        acceptor_(std::make_shared<StreamAcceptor>(asio::make_strand(server_->services.io))) {}

  Result<> open(const std::string& path) {
    if (path.size() > 107) {
      return fail(ErrorCode::invalid, "\"" + path + "\" is too long for a socket's path",
                  "set a shorter run_directory in controller.toml");
    }
    CORDON_TRY(make_room(path));
    boost::system::error_code error;
    acceptor_->open(stream_protocol(), error);
    // On Linux the file takes the mode of the socket before bind: there is no moment at which it is open to
    // others.
    if (!error && fchmod(acceptor_->native_handle(), 0600) != 0)
      return fail_errno("can't restrict a socket", errno);
    if (!error) acceptor_->bind(stream_protocol::endpoint(path), error);
    if (!error && chmod(path.c_str(), 0600) != 0) return fail_errno("can't restrict \"" + path + "\"", errno);
    if (!error) acceptor_->listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return fail(ErrorCode::io, "can't listen at \"" + path + "\": " + error.message(),
                  "run_directory in controller.toml must exist and be ours to write");
    }
    path_ = path;
    return {};
  }

  void start() {
    auto take = [self = shared_from_this()](StreamSocket socket) { self->take(std::move(socket)); };
    asio::co_spawn(acceptor_->get_executor(), accept_loop(server_, acceptor_, std::move(take)),
                   asio::detached);
  }

  void stop() override {
    if (!path_.empty()) unlink(path_.c_str());
    path_.clear();
    asio::post(acceptor_->get_executor(), [acceptor = acceptor_] {
      boost::system::error_code ignored;
      acceptor->close(ignored);
    });
    connections_->close_all();
  }

 private:
  void take(StreamSocket socket) {
    if (!is_trusted(socket)) {
      log::warning("controller.api", "refused a connection to the admin socket by another user");
      return server_->services.metrics.count("api_refused", "uid");
    }
    begin(server_, *connections_, plain_stream(std::move(socket)), Peer{.local = true});
  }

  std::shared_ptr<Server> server_;
  std::shared_ptr<StreamAcceptor> acceptor_;
  std::shared_ptr<Connections> connections_ = std::make_shared<Connections>(kMaxLocalConnections);
  std::string path_;
};

}  // namespace

Result<std::shared_ptr<Listener>> listen_local(std::shared_ptr<Server> server) {
  const std::string path = server->services.config.admin_socket().string();
  auto listener = std::make_shared<LocalListener>(std::move(server));
  CORDON_TRY(listener->open(path));
  listener->start();
  return listener;
}

}  // namespace cordon::controller::api
