#pragma once
// A network namespace of this thread's own with a veth pair in it; the old one comes back at the end.

#include <string>

#include "node/filter/descriptor.h"
#include "tests/bpf/packet.h"

namespace cordon::test {

class NetSandbox {
 public:
  NetSandbox();
  ~NetSandbox();

  /// A veth pair, both ends up, without addresses; the index of the first.
  unsigned make_veth(const std::string& name, const std::string& peer);
  void remove(const std::string& name);
  /// Puts an Ethernet frame on the wire at this interface: its peer receives it.
  void send(const std::string& name, const Packet& frame);

 private:
  node::Descriptor before_;
};

/// Runs a command; a failure throws.
void shell(const std::string& command);

}  // namespace cordon::test
