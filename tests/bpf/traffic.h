#pragma once
// Four streams of 1,000 packets a second through a filtered interface while something happens to its filter.
// c-a is the host's, c-b the wire.

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "node/filter/descriptor.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {

/// What the host (kV4.server, class 3) may: send to client's udp/9999 by rule 8. The answers have no grant of
/// their own: they pass as long as the flow is known.
void add_traffic_grants(policy::NodeState& state);

class Traffic {
 public:
  enum Stream : std::size_t {
    allowed_out,  ///< of one flow, begun before everything
    allowed_in,   ///< answers of another one, whose beginner is silent since
    denied_out,   ///< to somebody nobody granted, a new flow each time
    denied_in,    ///< from somebody nobody granted, likewise
    kStreams
  };
  struct Count {
    std::uint64_t sent = 0, passed = 0;
    std::uint64_t lost() const { return sent - passed; }
  };

  /// In the sandbox of this thread; the veth pair is there already. The flow begins here.
  Traffic();
  ~Traffic();
  /// The counts, once the last packets have come.
  std::array<Count, kStreams> end();
  /// One line of numbers, and what must hold: nothing of the allowed lost, nothing of the denied passed.
  void end_and_expect(const std::string& while_what);

 private:
  void run();
  void send(Stream stream, std::uint32_t number);
  void receive();

  node::Descriptor host_, listener_, wire_;
  int wire_index_ = 0;
  std::array<std::vector<bool>, kStreams> seen_;
  std::array<std::atomic<std::uint32_t>, kStreams> sent_{};
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace cordon::test
