#include "node/agent/socket_cutter.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <set>
#include <span>
#include <utility>

#include "base/log.h"
#include "node/agent/cut_sockets.h"

namespace cordon::node {
namespace {

constexpr std::string_view kCutterArea = "node.guard";
// About half a millisecond to judge; to destroy one takes some 10 us.
constexpr std::size_t kSocketsASlice = 256;
// The kernel needs some 20 ms; the first tick may come at once.
constexpr int kTicksLowered = 2;

/// Which sockets can be cut at all: of the overlay, or every one of an isolated host (none named).
std::vector<Prefix> looked_at(const policy::NodeState& state) {
  const policy::SettingsValue* settings = state.settings();
  std::vector<Prefix> out;
  if (settings == nullptr || settings->isolated) return out;
  for (const Prefix& prefix : {settings->overlay_v4, settings->overlay_v6})
    if (!prefix.address.is_unspecified()) out.push_back(prefix);
  return out;
}

}  // namespace

/// One listing and what is done with it.
struct SocketCutter::Round {
  std::vector<Prefix> within;
  Result<std::vector<HostSocket>> sockets;
  std::set<Endpoint> here;  ///< their own ends
  std::size_t judged = 0;

  void list(const Network& network) {
    try {
      sockets = network.connected_sockets(within);
      if (sockets) here = own_ends(*sockets);
    } catch (const std::exception& e) {
      sockets = fail(ErrorCode::exhausted, e.what());  // no memory for so many
    }
  }
};

SocketCutter::SocketCutter(boost::asio::io_context& io, Network& network,
                           std::function<std::optional<SocketJudgement>()> judgement,
                           const std::pair<std::filesystem::path, std::filesystem::path>& timeout)
    : io_(io),
      network_(network),
      judgement_(std::move(judgement)),
      close_timeout_(timeout.first, timeout.second) {}

SocketCutter::~SocketCutter() = default;

void SocketCutter::cut() {
  due_ = true;
  begin();
}

void SocketCutter::tick() {
  if (ticks_lowered_ > 0 && --ticks_lowered_ == 0) close_timeout_.restore();
  begin();
}

void SocketCutter::begin() {
  if (!due_ || round_) return;
  const auto judgement = judgement_();
  if (!judgement) return;
  due_ = false;
  round_ = std::make_shared<Round>();
  round_->within = looked_at(judgement->state);
  thread_.run([this, round = round_, work = boost::asio::make_work_guard(io_)] {
    round->list(network_);
    boost::asio::post(io_, [this, weak = std::weak_ptr(round)] {
      if (!weak.expired()) listed();
    });
  });
}

void SocketCutter::listed() {
  thread_.wait();
  const auto& sockets = round_->sockets;
  if (!sockets && !failed_) log::warning(kCutterArea, "{}", sockets.error().message());
  failed_ = !sockets;
  if (sockets) return judge_on();
  due_ = true;  // at the next tick
  round_.reset();
}

void SocketCutter::judge_on() {
  const std::span<const HostSocket> all(*round_->sockets);
  const auto judgement = judgement_();
  if (judgement) {
    const auto slice = all.subspan(round_->judged, std::min(kSocketsASlice, all.size() - round_->judged));
    round_->judged += slice.size();
    const auto cut =
        cut_sockets(slice, round_->here, judgement->state, judgement->now, judgement->controllers);
    if (std::ranges::any_of(cut, &HostSocket::multipath)) {
      close_timeout_.lower();
      ticks_lowered_ = kTicksLowered;
    }
    const auto ended = network_.destroy(cut);
    if (!ended) log::warning(kCutterArea, "{}", ended.error().message());
  } else {
    due_ = true;
  }
  if (!judgement || round_->judged == all.size()) {
    round_.reset();
    return begin();
  }
  boost::asio::post(io_, [this, weak = std::weak_ptr(round_)] {
    if (!weak.expired()) judge_on();
  });
}

}  // namespace cordon::node
