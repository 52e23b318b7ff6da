#pragma once
// A node as the controller sees it: a blocking TLS client that speaks frames, keeps the state it is sent and
// signs receipts. Everything waits for a few seconds at most.

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
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
  FakeNode(std::uint16_t port, const FakeDevice* device, const std::string& alpn = std::string(wire::kAlpn))
      : device_(device), context_(make_context(device, alpn)), stream_(io_, context_) {
    const boost::asio::ip::tcp::endpoint to(boost::asio::ip::address_v4::loopback(), port);
    stream_.lowest_layer().connect(to, error_);
    if (error_) return;
    wait([&](auto done) { stream_.async_handshake(boost::asio::ssl::stream_base::client, done); });
  }

  bool connected() const { return !error_; }
  boost::asio::ip::tcp::socket& socket() { return stream_.next_layer(); }

  bool send_bytes(std::string_view bytes) {
    if (error_) return false;
    wait([&](auto done) {
      boost::asio::async_write(stream_, boost::asio::buffer(bytes.data(), bytes.size()),
                               [done](auto error, std::size_t) { done(error); });
    });
    return !error_;
  }
  bool send(const wire::ToController& message) {
    return send_bytes(must(wire::frame(message.SerializeAsString())));
  }

  /// The next message; none when the connection ended or nothing came in time.
  std::optional<wire::ToNode> receive(std::chrono::milliseconds patience = kPatience) {
    std::string header(4, '\0');
    if (!read(header, patience)) return std::nullopt;
    std::uint32_t length = 0;
    for (const char c : header) length = length << 8 | static_cast<std::uint8_t>(c);
    std::string body(length, '\0');
    if (!read(body, patience)) return std::nullopt;
    auto message = wire::decode_to_node(body);
    if (!message) throw std::runtime_error("the controller sent nonsense: " + message.error().message());
    return std::move(*message);
  }
  /// Skips messages until one of that kind; none when the connection ends first.
  std::optional<wire::ToNode> receive_kind(wire::ToNode::BodyCase kind,
                                           std::chrono::milliseconds patience = kPatience) {
    while (auto message = receive(patience)) {
      if (message->body_case() == kind) return message;
      apply(*message);
    }
    return std::nullopt;
  }

  wire::ToController hello_message() const {
    wire::ToController message;
    wire::Hello& hello = *message.mutable_hello();
    hello.set_version("test");
    hello.set_sent_boot_ns(17);
    hello.set_wireguard_port(51820);
    hello.set_applied_sequence(sequence_);
    if (sequence_ != 0) hello.set_state_digest(std::string(as_text(policy::digest(state_).value())));
    return message;
  }
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
  bool take_state() {
    bool taken = false;
    while (!taken) {
      const auto message = receive();
      if (!message) return false;
      taken = apply(*message);
    }
    return send(ack());
  }

  /// True when a state or delta is complete now and is to be acked.
  bool apply(const wire::ToNode& message) {
    if (message.has_begin()) {
      gathering_.entries.clear();
      head_ = message.begin().head();
    }
    if (message.has_part()) {
      for (const auto& entry : message.part().entries()) upsert(gathering_, entry);
    }
    if (message.has_end()) {
      state_ = gathering_;
      return done(message.end().sequence(), message.end().digest());
    }
    if (!message.has_delta()) return false;
    last_delta_ = message.delta();
    for (const auto& entry : message.delta().removals())
      state_.entries.erase(must(wire::decode_entry(entry, true)).key);
    for (const auto& entry : message.delta().upserts()) upsert(state_, entry);
    head_ = message.delta().head();
    return done(message.delta().sequence(), message.delta().digest());
  }

  wire::ToController ack() const {
    wire::ReceiptFields fields{.device = DeviceId(device_->name),
                               .revision = Revision(head_.revision()),
                               .digest = policy::digest(state_).value(),
                               .at = kStart};
    std::ranges::copy(as_bytes(head_.hash()), fields.head_hash.begin());
    wire::ToController message;
    wire::Ack& ack = *message.mutable_ack();
    ack.set_sequence(sequence_);
    ack.set_revision(head_.revision());
    wire::Receipt& receipt = *ack.mutable_receipt();
    receipt.set_revision(head_.revision());
    receipt.set_head_hash(head_.hash());
    receipt.set_digest(std::string(as_text(fields.digest)));
    receipt.set_at_us(to_us(fields.at));
    receipt.set_signature(std::string(as_text(device_->key.sign(wire::receipt_text(fields)))));
    return message;
  }

  const policy::NodeState& state() const { return state_; }
  bool digest_right() const { return digest_right_; }
  std::uint64_t sequence() const { return sequence_; }
  const wire::Delta& last_delta() const { return last_delta_; }

 private:
  static boost::asio::ssl::context make_context(const FakeDevice* device, const std::string& alpn) {
    boost::asio::ssl::context context(boost::asio::ssl::context::tls_client);
    context.set_verify_mode(boost::asio::ssl::verify_none);
    if (device != nullptr) {
      context.use_certificate_chain(boost::asio::buffer(device->chain_pem));
      context.use_private_key(boost::asio::buffer(device->key.to_pem()), boost::asio::ssl::context::pem);
    }
    const std::string protocols = static_cast<char>(alpn.size()) + alpn;
    SSL_CTX_set_alpn_protos(context.native_handle(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
    return context;
  }
  template <class Start>
  void wait(const Start& start, std::chrono::milliseconds patience = kPatience) {
    bool finished = false;
    start([&](boost::system::error_code error) {
      error_ = error;
      finished = true;
    });
    io_.restart();
    io_.run_for(patience);
    if (finished) return;
    error_ = boost::asio::error::timed_out;
    boost::system::error_code ignored;
    stream_.lowest_layer().close(ignored);
    io_.restart();
    io_.run();  // the handler refers to this frame
    error_ = boost::asio::error::timed_out;
  }
  bool read(std::string& into, std::chrono::milliseconds patience) {
    if (error_) return false;
    wait(
        [&](auto done) {
          boost::asio::async_read(stream_, boost::asio::buffer(into),
                                  [done](auto error, std::size_t) { done(error); });
        },
        patience);
    return !error_;
  }
  static void upsert(policy::NodeState& state, const wire::Entry& entry) {
    auto change = must(wire::decode_entry(entry, false));
    state.entries.insert_or_assign(change.key, *change.value);
  }
  bool done(std::uint64_t sequence, const std::string& digest) {
    sequence_ = sequence;
    digest_right_ = digest == as_text(policy::digest(state_).value());
    return true;
  }

  const FakeDevice* device_;
  boost::asio::io_context io_;
  boost::asio::ssl::context context_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::system::error_code error_;
  policy::NodeState state_, gathering_;
  wire::SignedHead head_;
  wire::Delta last_delta_;
  std::uint64_t sequence_ = 0;
  bool digest_right_ = true;
};

}  // namespace cordon::test
