#pragma once
// One TLS connection of frames. Its own strand does the reading, writing and cryptography; it is told what to
// send from the controller's strand and posts there when it has been written.

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>

#include "base/result.h"
#include "controller/distribution/hub.h"
#include "controller/distribution/node_link.h"

namespace cordon::controller {

class Connection final : public NodeLink, public std::enable_shared_from_this<Connection> {
 public:
  using Millis = std::chrono::milliseconds;
  /// `socket`'s executor is the connection's own strand.
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> context,
             boost::asio::any_io_executor strand);

  boost::asio::any_io_executor executor() { return stream_.get_executor(); }
  // On the connection's strand.
  /// TLS 1.3 with ALPN cordon/1; the certificate, if one is presented, leads to our root.
  boost::asio::awaitable<Result<Peer>> handshake(Endpoint remote, Millis timeout);
  /// The next message's bytes; an announced length of 0 or above `most` is `protocol`. Zero timeout: none.
  boost::asio::awaitable<Result<std::string>> read(std::uint32_t most, Millis timeout);

  // From anywhere.
  void send(std::string frame) override;
  void finish() override;
  void drop() override;
  /// Called on the controller's strand after each frame. Set before the first send.
  void on_written(std::function<void()> written) { written_ = std::move(written); }

 private:
  boost::asio::awaitable<void> write_queue();
  void watch(Millis timeout);
  void unwatch();
  void shut();

  std::shared_ptr<boost::asio::ssl::context> context_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::asio::any_io_executor strand_;
  boost::asio::steady_timer watchdog_;
  boost::asio::steady_timer last_call_;
  std::function<void()> written_;
  std::deque<std::string> queue_;
  bool writing_ = false;
  bool finishing_ = false;
};

}  // namespace cordon::controller
