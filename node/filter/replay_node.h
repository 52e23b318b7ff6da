#pragma once
// One node's maps and verdict programs in the kernel, attached nowhere and pinned nowhere, at a time that
// stands still: what holds at that moment holds for as long as this lives.

#include <memory>
#include <span>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "policy/node_state.h"

namespace cordon::node {

class ReplayNode {
 public:
  /// An error that says what this process lacks to run programs.
  static Result<> check_privileges();
  /// `flows`: how many are remembered at least. Owners of sockets are not checked, as there are none.
  static Result<std::unique_ptr<ReplayNode>> load(policy::NodeState state, Timestamp at, std::size_t flows);
  ~ReplayNode();
  ReplayNode(const ReplayNode&) = delete;

  struct Verdict {
    bool accept = false;
    RuleId rule;              ///< that let it through or forbade it; 0: none
    std::string_view reason;  ///< of a drop, or "observed"; else empty
  };
  /// Runs the program of that direction on an IP packet from `source`; flows are remembered.
  Result<Verdict> run(policy::Direction direction, std::span<const std::uint8_t> packet,
                      const Address& source);

 private:
  struct Kernel;
  explicit ReplayNode(std::unique_ptr<Kernel> kernel);
  std::unique_ptr<Kernel> kernel_;
};

}  // namespace cordon::node
