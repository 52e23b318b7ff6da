#pragma once
// A controller over real TLS on a loopback port, on a thread of its own; a test says what it does with each
// connection.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/address.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"

namespace cordon::node::test {

/// One connection, blocking; it ends when the test does.
class FakeLink {
 public:
  using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;
  explicit FakeLink(Stream& stream) : stream_(stream) {}

  /// None: the node closed.
  std::optional<wire::ToController> read();
  bool send(const wire::ToNode& message);
  bool send_raw(std::string_view bytes);
  /// The first certificate the node showed, or "".
  std::string device_pem();

 private:
  Stream& stream_;
  wire::FrameReader frames_;
};

class FakeController {
 public:
  using Script = std::function<void(FakeLink&)>;

  /// `chain_pem` is what it presents, `roots_pem` whom it believes.
  FakeController(const std::string& chain_pem, const std::string& key_pem, const std::string& roots_pem,
                 Script script);
  ~FakeController();

  cordon::Endpoint endpoint() const;
  int connections() const { return connections_; }
  /// Messages that nodes sent before their connection ended, of all connections.
  int messages() const { return messages_; }

 private:
  friend class FakeLink;
  void serve();

  boost::asio::io_context io_;
  boost::asio::ssl::context context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  Script script_;
  std::atomic<int> connections_ = 0, messages_ = 0;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;
  int current_ = -1;  ///< the socket in use, for the destructor to shut
  std::thread thread_;
};

}  // namespace cordon::node::test
