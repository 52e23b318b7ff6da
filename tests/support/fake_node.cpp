#include "tests/support/fake_node.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

namespace cordon::test {

namespace asio = boost::asio;

namespace {

asio::ssl::context make_context(const FakeDevice* device, const std::string& alpn) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.set_verify_mode(asio::ssl::verify_none);
  if (device != nullptr) {
    context.use_certificate_chain(asio::buffer(device->chain_pem));
    context.use_private_key(asio::buffer(device->key.to_pem()), asio::ssl::context::pem);
  }
  const std::string protocols = static_cast<char>(alpn.size()) + alpn;
  SSL_CTX_set_alpn_protos(context.native_handle(), reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned>(protocols.size()));
  return context;
}

void upsert(policy::NodeState& state, const wire::Entry& entry) {
  auto change = must(wire::decode_entry(entry, false));
  state.entries.insert_or_assign(change.key, *change.value);
}

}  // namespace

struct FakeNode::Stream {
  Stream(const FakeDevice* device, const std::string& alpn)
      : context(make_context(device, alpn)), tls(io, context) {}

  template <class Start>
  void wait(const Start& start, std::chrono::milliseconds patience = kPatience) {
    bool finished = false;
    start([&](boost::system::error_code result) {
      error = result;
      finished = true;
    });
    io.restart();
    io.run_for(patience);
    if (finished) return;
    error = asio::error::timed_out;
    boost::system::error_code ignored;
    tls.lowest_layer().close(ignored);
    io.restart();
    io.run();  // the handler refers to this frame
    error = asio::error::timed_out;
  }

  asio::io_context io;
  asio::ssl::context context;
  asio::ssl::stream<asio::ip::tcp::socket> tls;
  boost::system::error_code error;
};

FakeNode::FakeNode(std::uint16_t port, const FakeDevice* device, const std::string& alpn)
    : device_(device), stream_(std::make_unique<Stream>(device, alpn)) {
  stream_->tls.lowest_layer().connect({asio::ip::address_v4::loopback(), port}, stream_->error);
  if (stream_->error) return;
  stream_->wait([&](auto done) { stream_->tls.async_handshake(asio::ssl::stream_base::client, done); });
}

FakeNode::~FakeNode() = default;

bool FakeNode::connected() const {
  return !stream_->error;
}

bool FakeNode::send_bytes(std::string_view bytes) {
  if (stream_->error) return false;
  stream_->wait([&](auto done) {
    asio::async_write(stream_->tls, asio::buffer(bytes.data(), bytes.size()),
                      [done](auto error, std::size_t) { done(error); });
  });
  return !stream_->error;
}

bool FakeNode::read(std::string& into, std::chrono::milliseconds patience) {
  if (stream_->error) return false;
  stream_->wait(
      [&](auto done) {
        asio::async_read(stream_->tls, asio::buffer(into), [done](auto error, std::size_t) { done(error); });
      },
      patience);
  return !stream_->error;
}

std::optional<wire::ToNode> FakeNode::receive(std::chrono::milliseconds patience) {
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

std::optional<wire::ToNode> FakeNode::receive_kind(wire::ToNode::BodyCase kind,
                                                   std::chrono::milliseconds patience) {
  while (auto message = receive(patience)) {
    if (message->body_case() == kind) return message;
    apply(*message);
  }
  return std::nullopt;
}

wire::ToController FakeNode::hello_message() const {
  wire::ToController message;
  wire::Hello& hello = *message.mutable_hello();
  hello.set_version("test");
  hello.set_sent_boot_ns(17);
  hello.set_wireguard_port(51820);
  hello.set_applied_sequence(sequence_);
  if (sequence_ != 0) hello.set_state_digest(std::string(as_text(policy::digest(state_).value())));
  return message;
}

bool FakeNode::take_state() {
  bool taken = false;
  while (!taken) {
    const auto message = receive();
    if (!message) return false;
    taken = apply(*message);
  }
  return send(ack());
}

bool FakeNode::apply(const wire::ToNode& message) {
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

wire::ToController FakeNode::ack() const {
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

bool FakeNode::done(std::uint64_t sequence, const std::string& digest) {
  sequence_ = sequence;
  digest_right_ = digest == as_text(policy::digest(state_).value());
  return true;
}

}  // namespace cordon::test
