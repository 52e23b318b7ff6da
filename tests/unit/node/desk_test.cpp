#include "node/agent/desk.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "proto/cordon.pb.h"

namespace cordon::node {
namespace desk_test {

constexpr std::uint32_t kDeskAnn = 1000, kDeskBen = 1001;

/// A controller that takes everything and answers nothing.
class SilentBackend final : public DeskBackend {
 public:
  NodeView view() const override { return {.device = "jump"}; }
  const policy::NodeState& state() const override { return held_; }
  Timestamp lease_end(Seconds) const override { return {}; }
  bool send(const wire::ToController&) override { return ++asked > 0; }
  const FlowHistory& history() const override { return flows_; }
  std::string view_name() const override { return "jump"; }
  Result<NodeCounts> counts() const override { return NodeCounts{}; }
  std::size_t asked = 0;

 private:
  policy::NodeState held_;
  FlowHistory flows_{1, 8};
};

// Whom the controller slows down is the device: one person's requests are not to be all it takes.
TEST(Desk, OnePersonLeavesTheOthersRoom) {
  boost::asio::io_context io;
  SilentBackend backend;
  Desk desk(io, {.of_one = {.burst = 3, .per_second = 0.001, .keys = 8}}, backend);
  std::string answer;
  const auto ask = [&](const local::Request& request, std::uint32_t uid) {
    answer.clear();
    const std::size_t before = backend.asked;
    desk.take(request, {.uid = uid}, [&](std::string reply) { answer = std::move(reply); });
    return backend.asked != before;
  };
  EXPECT_TRUE(ask(local::Status{}, kDeskAnn));
  EXPECT_TRUE(ask(local::Why{.target = "ledger"}, kDeskAnn));
  EXPECT_TRUE(ask(local::Login{.user = "ann@acme.example"}, kDeskAnn));
  const local::Request each[] = {local::Login{.user = "ann@acme.example"}, local::Logout{},
                                 local::Why{.target = "ledger"}};
  for (const local::Request& request : each) {
    EXPECT_FALSE(ask(request, kDeskAnn));
    EXPECT_NE(answer.find("too many requests of this user"), std::string::npos) << answer;
    EXPECT_NE(answer.find("retry_after_ms"), std::string::npos) << answer;
  }
  EXPECT_FALSE(ask(local::Status{}, kDeskAnn));
  EXPECT_NE(answer.find("jump"), std::string::npos) << "what the host knows itself is told: " << answer;
  EXPECT_TRUE(ask(local::Login{.user = "ben@acme.example"}, kDeskBen));
}

}  // namespace desk_test
}  // namespace cordon::node
