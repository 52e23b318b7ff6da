#pragma once
// Ends the sockets of cut flows (cut_sockets.h) beside the loop: a thread lists them, what the kernel filters
// by the overlay's prefixes already, and the loop judges and destroys them in slices. Whatever is cut while
// it goes on is looked at once more; what can't be looked at yet waits. Who reads from an MPTCP socket is
// told as soon as its subflows are destroyed: for a second or two the kernel waits for no others
// (close_timeout.h).

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "node/filter/parallel.h"
#include "node/netlink/close_timeout.h"
#include "node/netlink/network.h"
#include "policy/node_state.h"

namespace cordon::node {

/// By what sockets are judged in this moment.
struct SocketJudgement {
  const policy::NodeState& state;
  Timestamp now;
  std::vector<Endpoint> controllers;
};

class SocketCutter {
 public:
  /// All of it is called by the loop's thread; nobody else uses the network's sockets. `judgement`: none
  /// while the time isn't known. What is passed outlives it. `timeout`: CloseTimeout's setting and memory.
  SocketCutter(boost::asio::io_context& io, Network& network,
               std::function<std::optional<SocketJudgement>()> judgement,
               const std::pair<std::filesystem::path, std::filesystem::path>& timeout);
  /// Waits for a listing that runs.
  ~SocketCutter();
  SocketCutter(const SocketCutter&) = delete;
  SocketCutter& operator=(const SocketCutter&) = delete;

  /// Something was taken away: once for all that was until the listing begins.
  void cut();
  /// Each second. Tries again what had to wait: the time wasn't known, or the kernel didn't tell.
  void tick();

 private:
  struct Round;
  void begin();
  void listed();
  void judge_on();

  boost::asio::io_context& io_;
  Network& network_;
  std::function<std::optional<SocketJudgement>()> judgement_;
  CloseTimeout close_timeout_;
  int ticks_lowered_ = 0;         ///< until it is restored
  std::shared_ptr<Round> round_;  ///< null when none runs; the thread sees it too
  bool due_ = false;
  bool failed_ = false;  ///< the last listing, which was told
  Beside thread_;        // last: waits for the listing before the others go
};

}  // namespace cordon::node
