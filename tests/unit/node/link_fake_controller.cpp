#include "tests/unit/node/link_fake_controller.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "proto/codec.h"

namespace cordon::node::test {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

int choose_alpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                unsigned length, void*) {
  static const std::string kOurs =
      std::string(1, static_cast<char>(wire::kAlpn.size())) + std::string(wire::kAlpn);
  const int chosen = SSL_select_next_proto(const_cast<unsigned char**>(out), size,
                                           reinterpret_cast<const unsigned char*>(kOurs.data()),
                                           static_cast<unsigned>(kOurs.size()), offered, length);
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

std::optional<wire::ToController> FakeLink::read() {
  std::array<char, 4096> buffer;
  for (;;) {
    const auto message = frames_.next();
    if (!message) return std::nullopt;
    if (message->has_value()) {
      auto decoded = wire::decode_to_controller(**message);
      return decoded ? std::optional(std::move(*decoded)) : std::nullopt;
    }
    boost::system::error_code ec;
    const auto size = stream_.read_some(asio::buffer(buffer), ec);
    if (ec) return std::nullopt;
    frames_.feed(std::string_view(buffer.data(), size));
  }
}

bool FakeLink::send(const wire::ToNode& message) {
  return send_raw(wire::frame(message.SerializeAsString()).value());
}

bool FakeLink::send_raw(std::string_view bytes) {
  boost::system::error_code ec;
  asio::write(stream_, asio::buffer(bytes.data(), bytes.size()), ec);
  return !ec;
}

std::string FakeLink::device_pem() {
  X509* certificate = SSL_get1_peer_certificate(stream_.native_handle());
  if (certificate == nullptr) return {};
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  X509_free(certificate);
  return out;
}

FakeController::FakeController(const std::string& chain_pem, const std::string& key_pem,
                               const std::string& roots_pem, Script script)
    : context_(asio::ssl::context::tls_server),
      acceptor_(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      script_(std::move(script)) {
  context_.use_certificate_chain(asio::buffer(chain_pem));
  context_.use_private_key(asio::buffer(key_pem), asio::ssl::context::pem);
  context_.add_certificate_authority(asio::buffer(roots_pem));
  context_.set_verify_mode(asio::ssl::verify_peer);
  // As the controller does: an expired leaf is let in, it may renew.
  context_.set_verify_callback([](bool good, asio::ssl::verify_context& verification) {
    return good || X509_STORE_CTX_get_error(verification.native_handle()) == X509_V_ERR_CERT_HAS_EXPIRED;
  });
  SSL_CTX_set_min_proto_version(context_.native_handle(), TLS1_3_VERSION);
  SSL_CTX_set_alpn_select_cb(context_.native_handle(), &choose_alpn, nullptr);
  thread_ = std::thread([this] { serve(); });
}

FakeController::~FakeController() {
  ending_ = true;
  {
    const std::lock_guard lock(mutex_);
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    if (current_ >= 0) ::shutdown(current_, SHUT_RDWR);
  }
  thread_.join();
}

cordon::Endpoint FakeController::endpoint() const {
  return {.address = Address::from_v4(0x7f000001), .port = acceptor_.local_endpoint().port()};
}

void FakeController::serve() {
  while (!ending_) {
    boost::system::error_code ec;
    FakeLink::Stream stream(io_, context_);
    acceptor_.accept(stream.next_layer(), ec);
    if (ec || ending_) return;
    {
      const std::lock_guard lock(mutex_);
      current_ = stream.next_layer().native_handle();
    }
    ++connections_;
    stream.handshake(asio::ssl::stream_base::server, ec);
    if (!ec) {
      FakeLink link(stream);
      script_(link);
      // What the script left unread is counted, so that a test sees what a node gave away.
      while (link.read()) ++messages_;
    }
    const std::lock_guard lock(mutex_);
    current_ = -1;
  }
}

}  // namespace cordon::node::test
