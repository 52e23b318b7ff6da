#pragma once
// Takes connections, learns who is there, and hands nodes to the hub and machines that want to be nodes to
// enrolment.
//
//   stranger (no certificate):  (EnrolRequest | EnrolPoll)*         each within 64 KiB and a timeout
//   device:                     Hello message*  |  RenewRequest     the latter with an expired certificate

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <memory>
#include <set>

#include "controller/distribution/connection.h"

namespace cordon::controller {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(Services& services, std::shared_ptr<Hub> hub);
  Result<> open(const Endpoint& at);
  std::uint16_t port() const { return port_; }
  Result<> reload_certificate();
  void stop();

 private:
  /// Counts a connection as a stranger's until it is destroyed or promoted.
  class Stranger;
  boost::asio::awaitable<void> accept();
  boost::asio::awaitable<void> serve(std::shared_ptr<Connection> connection, Endpoint remote,
                                     std::shared_ptr<Stranger> stranger);
  boost::asio::awaitable<void> serve_stranger(std::shared_ptr<Connection> connection, Peer peer);
  boost::asio::awaitable<void> serve_device(std::shared_ptr<Connection> connection, Peer peer,
                                            std::shared_ptr<Stranger> stranger);
  boost::asio::awaitable<void> converse(std::shared_ptr<Connection> connection,
                                        std::shared_ptr<NodeSession> session);
  bool enrol(const std::string& bytes, const Peer& peer, const std::shared_ptr<Connection>& connection);
  void refuse(Connection& connection, std::string_view counter, std::string_view reason);

  Services& services_;
  std::shared_ptr<Hub> hub_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
  std::map<std::string, std::size_t> strangers_by_source_;
  std::size_t strangers_ = 0;
  std::set<std::weak_ptr<Connection>, std::owner_less<>> connections_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

}  // namespace cordon::controller
