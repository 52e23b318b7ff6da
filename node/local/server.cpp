#include "node/local/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include "base/log.h"

namespace cordon::node::local {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

std::optional<Caller> caller_of(Protocol::socket& socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return std::nullopt;
  return Caller{.uid = credentials.uid, .pid = credentials.pid};
}

class Conversation;
/// All that are open: the server's hold on them, and each one's way to leave.
using Conversations = std::set<std::shared_ptr<Conversation>>;

/// One caller: reads a line, waits for its answer, writes it, and so on. Closes itself when a limit is
/// passed.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(Protocol::socket socket, Caller caller, const ServerLimits& limits, const Handler& handler,
               std::shared_ptr<Conversations> all)
      : socket_(std::move(socket)),
        limit_(socket_.get_executor()),
        limits_(limits),
        handler_(handler),
        caller_(caller),
        all_(std::move(all)) {}

  void start() {
    all_->insert(shared_from_this());
    read();
  }
  void close() {
    const auto self = shared_from_this();
    boost::system::error_code ec;
    socket_.shutdown(Protocol::socket::shutdown_both, ec);
    socket_.close(ec);
    limit_.cancel();
    all_->erase(self);
  }
  const Caller& caller() const { return caller_; }

 private:
  void arm(std::chrono::milliseconds limit) {
    limit_.expires_after(limit);
    limit_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      if (const auto self = weak.lock(); self && !ec) self->close();
    });
  }

  void read() {
    arm(limits_.idle);
    asio::async_read_until(socket_, asio::dynamic_buffer(buffer_, kMaxLineBytes + 1), '\n',
                           [self = shared_from_this()](boost::system::error_code ec, std::size_t size) {
                             if (ec == asio::error::not_found) return self->too_long();
                             if (ec) return self->close();
                             self->take(size);
                           });
  }

  void too_long() {
    last_ = true;
    write(
        error_reply({.code = ErrorCode::invalid, .what = "the line is too long", .hint = "64 KiB at most"}));
  }

  void take(std::size_t size) {
    std::string line = buffer_.substr(0, size - 1);
    buffer_.erase(0, size);
    auto request = parse_request(line);
    explicit_bzero(line.data(), line.size());  // it may have held a password
    if (!request) return write(error_reply(request.error()));
    arm(limits_.answer);
    handler_(std::move(*request), caller_, [weak = weak_from_this(), turn = turn_](std::string reply) {
      const auto self = weak.lock();
      if (self && turn == self->turn_) self->write(std::move(reply));
    });
  }

  void write(std::string reply) {
    ++turn_;
    const auto self = shared_from_this();
    reply_ = std::move(reply) + "\n";
    arm(limits_.idle);
    asio::async_write(socket_, asio::buffer(reply_), [self](boost::system::error_code ec, std::size_t) {
      if (ec || self->last_) return self->close();
      self->read();
    });
  }

  Protocol::socket socket_;
  asio::steady_timer limit_;
  const ServerLimits limits_;
  const Handler handler_;
  const Caller caller_;
  std::shared_ptr<Conversations> all_;
  std::string buffer_, reply_;
  std::uint64_t turn_ = 0;
  bool last_ = false;
};

Result<> clear_way(const std::filesystem::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0)
    return errno == ENOENT ? Result<>{} : fail_errno("can't look at " + path.string(), errno);
  if (!S_ISSOCK(info.st_mode))
    return fail(ErrorCode::conflict, path.string() + " is there and is no socket",
                "remove it, or set another run_directory");
  if (::unlink(path.c_str()) != 0) return fail_errno("can't remove the old " + path.string(), errno);
  return {};
}

}  // namespace

class Server::Acceptor : public std::enable_shared_from_this<Server::Acceptor> {
 public:
  Acceptor(asio::io_context& io, ServerLimits limits, Handler handler)
      : acceptor_(io), limits_(limits), handler_(std::move(handler)) {}

  Result<> listen(const std::filesystem::path& path) {
    CORDON_TRY(clear_way(path));
    boost::system::error_code ec;
    try {
      const Protocol::endpoint endpoint(path.string());
      acceptor_.open(endpoint.protocol(), ec);
      if (!ec) acceptor_.bind(endpoint, ec);
    } catch (const std::exception& e) {
      return fail(ErrorCode::invalid, "can't listen at " + path.string() + ": " + e.what(),
                  "use a shorter run_directory");
    }
    if (!ec) acceptor_.listen(Protocol::socket::max_listen_connections, ec);
    if (ec) return fail_errno("can't listen at " + path.string(), ec.value());
    // Everyone may ask; who asks is the kernel's word.
    if (::chmod(path.c_str(), 0666) != 0) return fail_errno("can't open up " + path.string(), errno);
    path_ = path;
    accept();
    return {};
  }

  void stop() {
    boost::system::error_code ec;
    acceptor_.close(ec);
    if (!path_.empty()) ::unlink(path_.c_str());
    path_.clear();
    const Conversations all = *conversations_;
    for (const auto& conversation : all) conversation->close();
  }

  std::size_t connections() const { return conversations_->size(); }

 private:
  void accept() {
    acceptor_.async_accept(
        [self = shared_from_this()](boost::system::error_code ec, Protocol::socket socket) {
          if (ec == asio::error::operation_aborted || !self->acceptor_.is_open()) return;
          if (ec) return self->accept_later();
          self->admit(std::move(socket));
          self->accept();
        });
  }

  /// A caller too many is let go at once: the connection closes when `socket` does.
  void admit(Protocol::socket socket) {
    const auto caller = caller_of(socket);
    if (!caller || conversations_->size() >= limits_.connections) return;
    const auto same =
        std::ranges::count_if(*conversations_, [&](const auto& c) { return c->caller().uid == caller->uid; });
    if (static_cast<std::size_t>(same) >= limits_.per_user) return;
    std::make_shared<Conversation>(std::move(socket), *caller, limits_, handler_, conversations_)->start();
  }

  /// Out of descriptors, say: a moment's rest instead of a spin.
  void accept_later() {
    rest_.emplace(acceptor_.get_executor());
    rest_->expires_after(std::chrono::milliseconds(200));
    rest_->async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec && self->acceptor_.is_open()) self->accept();
    });
  }

  Protocol::acceptor acceptor_;
  const ServerLimits limits_;
  const Handler handler_;
  std::filesystem::path path_;
  std::optional<asio::steady_timer> rest_;
  std::shared_ptr<Conversations> conversations_ = std::make_shared<Conversations>();
};

Server::Server(asio::io_context& io, ServerLimits limits, Handler handler)
    : acceptor_(std::make_shared<Acceptor>(io, limits, std::move(handler))) {}
Server::~Server() {
  acceptor_->stop();
}
Result<> Server::listen(const std::filesystem::path& path) {
  return acceptor_->listen(path);
}
void Server::stop() {
  acceptor_->stop();
}
std::size_t Server::connections() const {
  return acceptor_->connections();
}

}  // namespace cordon::node::local
