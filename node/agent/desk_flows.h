#pragma once
// What the desk says of flows: root is shown all that this node saw, others what they began themselves, and
// no more of a denial than connect() told them.

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "node/agent/flow_history.h"
#include "node/local/request.h"

namespace boost::asio {
class io_context;
}

namespace cordon::node {

class DeskBackend;

/// What the filter counted since it was loaded.
struct NodeCounts {
  std::map<RuleId, Counter> rules;
  std::map<std::string, Counter> reasons;
  std::uint64_t events_lost = 0;
};

class DeskFlows {
 public:
  using Reply = std::function<void(std::string)>;
  DeskFlows(boost::asio::io_context& io, const DeskBackend& backend) : io_(io), backend_(backend) {}

  void flows(const local::Flows& asked, const local::Caller& caller, Reply reply);
  void counters(const local::Caller& caller, const Reply& reply) const;
  /// There are new ones in the history.
  void came();

 private:
  struct Follower;
  /// The answer, or none when there is nothing to tell yet; `id` moves on.
  std::optional<std::string> look(std::uint64_t& id, std::size_t limit, std::uint32_t uid, bool anyway) const;

  boost::asio::io_context& io_;
  const DeskBackend& backend_;
  std::list<std::shared_ptr<Follower>> followers_;
};

}  // namespace cordon::node
