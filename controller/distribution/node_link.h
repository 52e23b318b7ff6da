#pragma once
// How a session speaks to its node. Called on the strand; never blocks.

#include <string>

namespace cordon::controller {

class NodeLink {
 public:
  virtual ~NodeLink() = default;
  /// One frame; the session is told when it has been written, and sends no other until then.
  virtual void send(std::string frame) = 0;
  /// Closes once everything has been written and read by the peer, or after a second.
  virtual void finish() = 0;
  virtual void drop() = 0;  ///< closes at once
};

}  // namespace cordon::controller
