#include <fmt/format.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/boost/http.h"
#include "base/files.h"
#include "cli/clients.h"

namespace cordon::cli {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxBody = 256u << 20;  // of an answer that isn't passed on piece by piece
constexpr Seconds kTimeToConnect{15};         // over TLS, with its handshake

struct Call {
  std::string_view method, target, body;
  Seconds timeout;
  const ApiClient::Sink* sink;
  std::string host, token;
  ApiReply reply;
  Result<> outcome;  ///< an error of ours that isn't one of the connection
};

std::string head_of(const Call& call) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: cordon\r\nConnection: close\r\n",
                                 call.method, call.target, call.host);
  if (!call.token.empty()) head += fmt::format("Authorization: Bearer {}\r\n", call.token);
  if (!call.body.empty()) head += "Content-Type: application/json\r\n";
  if (!call.body.empty() || call.method != "GET")
    head += fmt::format("Content-Length: {}\r\n", call.body.size());
  return head + "\r\n";
}

/// Sends the request and reads the answer on a stream that is connected.
asio::awaitable<error_code> exchange(ByteStream& stream, Call& call) {
  stream.expires_after(call.timeout);
  error_code error = co_await stream.write(head_of(call) + std::string(call.body));
  // A server that refuses by the head alone answers before it read all: its answer is worth reading.
  if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset) co_return error;
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  error = {};
  while (!error && !parser.is_header_done()) error = co_await parse_some<false>(stream, buffer, parser);
  if (error) co_return error;
  parser.eager(true);
  call.reply.status = parser.get().result_int();
  const bool to_sink = call.sink != nullptr && *call.sink && call.reply.status < 300;
  std::array<char, 65536> piece{};
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    stream.expires_after(call.timeout);
    error = co_await parse_some<false>(stream, buffer, parser);
    if (error == http::error::need_buffer) error = {};
    if (error) co_return error;
    const std::string_view got(piece.data(), piece.size() - parser.get().body().size);
    if (to_sink) {
      call.outcome = (*call.sink)(got);
      if (!call.outcome) co_return error;
    } else if (call.reply.body.size() + got.size() > kMaxBody) {
      call.outcome = fail(ErrorCode::unavailable, "the controller's answer is too long");
      co_return error;
    } else {
      call.reply.body += got;
    }
  }
  co_return error;
}

using Place = asio::generic::stream_protocol::endpoint;

/// At the first of `places` that answers.
asio::awaitable<error_code> converse(std::shared_ptr<ByteStream> stream, std::vector<Place> places,
                                     Seconds to_connect, Call& call) {
  error_code error = asio::error::host_not_found;
  stream->expires_after(to_connect);
  for (const Place& place : places) {
    stream->close();
    error = co_await stream->connect(place);
    if (!error) break;
  }
  if (!error) error = co_await stream->handshake();
  if (error) co_return error;
  error = co_await exchange(*stream, call);
  co_return error;
}

/// Runs one exchange to its end.
error_code run(asio::io_context& io, asio::awaitable<error_code> work) {
  error_code outcome;
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr failure, error_code error) {
    outcome = failure ? make_error_code(boost::system::errc::io_error) : error;
  });
  io.run();
  return outcome;
}

error_code over_socket(const std::string& path, Call& call) {
  if (path.size() > 107) return make_error_code(boost::system::errc::filename_too_long);
  asio::io_context io(1);
  return run(io, converse(plain_stream(StreamSocket(io)), {asio::local::stream_protocol::endpoint(path)},
                          call.timeout, call));
}

error_code over_tls(const std::string& host, const std::string& port,
                    const std::shared_ptr<asio::ssl::context>& context, Call& call) {
  asio::io_context io(1);
  error_code error;
  std::vector<Place> places;
  for (const auto& found : tcp::resolver(io).resolve(host, port, error)) places.push_back(found.endpoint());
  if (error) return error;
  return run(io, converse(tls_client_stream(StreamSocket(io), context, host), std::move(places),
                          kTimeToConnect, call));
}

class LocalApiClient final : public ApiClient {
 public:
  explicit LocalApiClient(std::string path) : path_(std::move(path)) {}

  Result<ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                        Seconds timeout, const Sink& sink) override {
    Call call{method, target, body, timeout, &sink, "localhost", {}, {}, {}};
    const error_code error = over_socket(path_, call);
    if (error) {
      std::string_view hint =
          "is cordon-controller running here? --socket names its socket; from elsewhere use --server";
      if (error == boost::system::errc::permission_denied) hint = "only root may use it: try with sudo";
      return fail(ErrorCode::unavailable,
                  fmt::format("can't reach the controller at {}: {}", path_, error.message()),
                  std::string(hint));
    }
    CORDON_TRY(std::move(call.outcome));
    return std::move(call.reply);
  }

 private:
  std::string path_;
};

class HttpsApiClient final : public ApiClient {
 public:
  HttpsApiClient(std::string host, std::string port, std::string token)
      : host_(std::move(host)), port_(std::move(port)), token_(std::move(token)) {}

  Result<> trust(const std::string& ca_file) {
    CORDON_ASSIGN(const std::string pem, read_file(ca_file, 1u << 20));
    error_code error;
    SSL_CTX_set_min_proto_version(context_->native_handle(), TLS1_3_VERSION);
    context_->add_certificate_authority(asio::buffer(pem), error);
    if (error) return fail(ErrorCode::invalid, fmt::format("\"{}\" holds no certificate", ca_file));
    return {};
  }

  Result<ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                        Seconds timeout, const Sink& sink) override {
    Call call{method, target, body, timeout, &sink, host_, token_, {}, {}};
    const error_code error = over_tls(host_, port_, context_, call);
    if (error) {
      const bool tls = error.category() == asio::error::get_ssl_category();
      return fail(
          ErrorCode::unavailable,
          fmt::format("can't reach the controller at {}:{}: {}", host_, port_, error.message()),
          tls ? "--ca must be the authority of this controller, and its certificate must name this host"
              : "");
    }
    CORDON_TRY(std::move(call.outcome));
    return std::move(call.reply);
  }

 private:
  std::string host_, port_, token_;
  std::shared_ptr<asio::ssl::context> context_ =
      std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
};

struct HostPort {
  std::string host, port = "8443";
};

Result<HostPort> parse_server(std::string_view url) {
  const auto bad = fail(ErrorCode::invalid, fmt::format("\"{}\" is not a controller's address", url),
                        "write it like https://controller.acme.example:8443");
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return bad;
  url.remove_prefix(kScheme.size());
  if (url.ends_with('/')) url.remove_suffix(1);
  HostPort out;
  const std::size_t after_host =
      url.starts_with('[') ? url.find(']') + 1 : std::min(url.find(':'), url.size());
  if (after_host == 0 || after_host > url.size()) return bad;
  std::string_view host = url.substr(0, after_host);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of("/?#@ ") != std::string_view::npos) return bad;
  out.host = host;
  if (after_host == url.size()) return out;
  const std::string_view port = url.substr(after_host + 1);
  if (url[after_host] != ':' || port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string_view::npos) {
    return bad;
  }
  out.port = port;
  return out;
}

}  // namespace

Result<std::unique_ptr<ApiClient>> make_api_client(const ApiTarget& target) {
  if (target.server.empty()) return std::make_unique<LocalApiClient>(target.socket);
  CORDON_ASSIGN(HostPort at, parse_server(target.server));
  if (target.token_file.empty()) {
    return fail(ErrorCode::invalid, "--server needs --token-file, the file with your API token",
                "an admin makes one on the controller with `cordon api-token create --role operator`");
  }
  if (target.ca_file.empty()) {
    return fail(ErrorCode::invalid, "--server needs --ca, the controller's authority",
                "it is what `cordon ca` prints on the controller");
  }
  CORDON_ASSIGN(std::string token, read_file(target.token_file, 4096));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' '))
    token.pop_back();
  auto client = std::make_unique<HttpsApiClient>(std::move(at.host), std::move(at.port), std::move(token));
  CORDON_TRY(client->trust(target.ca_file));
  return client;
}

}  // namespace cordon::cli
