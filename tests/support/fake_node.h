#pragma once
// A node as the controller sees it: a blocking TLS client that speaks frames, keeps the state it is sent and
// signs receipts. Everything waits for a few seconds at most.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/crypto.h"
#include "policy/node_state.h"
#include "proto/codec.h"
#include "proto/frame.h"
#include "proto/receipt.h"
#include "tests/support/log_fixture.h"

namespace cordon::test {

/// What a device has once it is enrolled.
struct FakeDevice {
  std::string name;
  crypto::PrivateKey key = must(crypto::PrivateKey::generate());
  std::string chain_pem{};
};

class FakeNode {
 public:
  static constexpr std::chrono::milliseconds kPatience{5000};

  /// Connects to the loopback; without a device it presents no certificate. See connected().
  FakeNode(std::uint16_t port, const FakeDevice* device, const std::string& alpn = std::string(wire::kAlpn));
  ~FakeNode();

  bool connected() const;
  bool send_bytes(std::string_view bytes);
  bool send(const wire::ToController& message) {
    return send_bytes(must(wire::frame(message.SerializeAsString())));
  }

  /// The next message; none when the connection ended or nothing came in time.
  std::optional<wire::ToNode> receive(std::chrono::milliseconds patience = kPatience);
  /// Skips messages until one of that kind; none when the connection ends first.
  std::optional<wire::ToNode> receive_kind(wire::ToNode::BodyCase kind,
                                           std::chrono::milliseconds patience = kPatience);

  wire::ToController hello_message() const;
  bool hello() {
    send(hello_message());
    return receive_kind(wire::ToNode::kWelcome).has_value();
  }

  /// Takes states and deltas until `condition` holds of what it has, acking each; false: it never did.
  template <class Condition>
  bool take_until(const Condition& condition, std::chrono::milliseconds patience = kPatience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition(state_)) {
      if (std::chrono::steady_clock::now() > end) return false;
      const auto message = receive(patience);
      if (!message) return false;
      if (apply(*message)) send(ack());
    }
    return true;
  }
  /// Takes what comes first, and acks it.
  bool take_state();

  /// True when a state or delta is complete now and is to be acked.
  bool apply(const wire::ToNode& message);
  wire::ToController ack() const;

  const policy::NodeState& state() const { return state_; }
  bool digest_right() const { return digest_right_; }
  std::uint64_t sequence() const { return sequence_; }
  const wire::Delta& last_delta() const { return last_delta_; }

 private:
  struct Stream;

  bool read(std::string& into, std::chrono::milliseconds patience);
  bool done(std::uint64_t sequence, const std::string& digest);

  const FakeDevice* device_;
  std::unique_ptr<Stream> stream_;
  policy::NodeState state_, gathering_;
  wire::SignedHead head_;
  wire::Delta last_delta_;
  std::uint64_t sequence_ = 0;
  bool digest_right_ = true;
};

}  // namespace cordon::test
