#include <fmt/format.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/files.h"
#include "cli/clients.h"

namespace cordon::cli {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxBody = 256u << 20;  // of an answer that isn't passed on piece by piece

struct Call {
  std::string_view method, target, body;
  Seconds timeout;
  const ApiClient::Sink* sink;
  std::string host, token;
  ApiReply reply;
  Result<> outcome;  ///< an error of ours that isn't one of the connection
};

/// Sends the request and reads the answer on a stream that is connected.
template <class Stream>
asio::awaitable<error_code> exchange(Stream& stream, Call& call) {
  error_code error;
  http::request<http::string_body> request{http::string_to_verb(call.method), call.target, 11};
  request.set(http::field::host, call.host);
  request.set(http::field::user_agent, "cordon");
  if (!call.token.empty()) request.set(http::field::authorization, "Bearer " + call.token);
  if (!call.body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = call.body;
  }
  request.prepare_payload();
  request.keep_alive(false);
  boost::beast::get_lowest_layer(stream).expires_after(call.timeout);
  co_await http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
  // A server that refuses by the head alone answers before it read all: its answer is worth reading.
  if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset) co_return error;
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return error;
  call.reply.status = parser.get().result_int();
  const bool to_sink = call.sink != nullptr && *call.sink && call.reply.status < 300;
  std::array<char, 65536> piece{};
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    boost::beast::get_lowest_layer(stream).expires_after(call.timeout);
    co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
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

using LocalStream = boost::beast::basic_stream<asio::local::stream_protocol, asio::any_io_executor>;
using TcpStream = boost::beast::basic_stream<tcp, asio::any_io_executor>;

asio::awaitable<error_code> over_socket(std::string path, Call& call) {
  error_code error;
  LocalStream stream(co_await asio::this_coro::executor);
  stream.expires_after(call.timeout);
  const asio::local::stream_protocol::endpoint endpoint(path);
  co_await stream.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return error;
  error = co_await exchange(stream, call);
  co_return error;
}

asio::awaitable<error_code> over_tls(std::string host, std::string port, asio::ssl::context& context,
                                     Call& call) {
  error_code error;
  const auto executor = co_await asio::this_coro::executor;
  tcp::resolver resolver(executor);
  const auto places =
      co_await resolver.async_resolve(host, port, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return error;
  asio::ssl::stream<TcpStream> stream(executor, context);
  stream.next_layer().expires_after(Seconds{15});
  co_await stream.next_layer().async_connect(places, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return error;
  stream.set_verify_mode(asio::ssl::verify_peer);
  stream.set_verify_callback(asio::ssl::host_name_verification(host));
  SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
  co_await stream.async_handshake(asio::ssl::stream_base::client,
                                  asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return error;
  error = co_await exchange(stream, call);
  co_return error;
}

/// Runs one exchange to its end.
template <class Start>
error_code run(Start&& start) {
  asio::io_context io(1);
  error_code outcome;
  asio::co_spawn(io, start(), [&](std::exception_ptr failure, error_code error) {
    outcome = failure ? make_error_code(boost::system::errc::io_error) : error;
  });
  io.run();
  return outcome;
}

class LocalApiClient final : public ApiClient {
 public:
  explicit LocalApiClient(std::string path) : path_(std::move(path)) {}

  Result<ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                        Seconds timeout, const Sink& sink) override {
    Call call{method, target, body, timeout, &sink, "localhost", {}, {}, {}};
    const error_code error = path_.size() > 107 ? make_error_code(boost::system::errc::filename_too_long)
                                                : run([&] { return over_socket(path_, call); });
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
    SSL_CTX_set_min_proto_version(context_.native_handle(), TLS1_3_VERSION);
    context_.add_certificate_authority(asio::buffer(pem), error);
    if (error) return fail(ErrorCode::invalid, fmt::format("\"{}\" holds no certificate", ca_file));
    return {};
  }

  Result<ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                        Seconds timeout, const Sink& sink) override {
    Call call{method, target, body, timeout, &sink, host_, token_, {}, {}};
    const error_code error = run([&] { return over_tls(host_, port_, context_, call); });
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
  asio::ssl::context context_{asio::ssl::context::tls_client};
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
