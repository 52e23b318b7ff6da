#include "controller/api/exchange.h"

#include <fmt/format.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "base/boost/http.h"

namespace cordon::controller::api {
namespace {

namespace http = boost::beast::http;
using Parser = http::request_parser<http::string_body>;
using Code = boost::system::error_code;

/// Runs `work` on `where`; comes back on the caller's executor with what it answered.
asio::awaitable<Reply> elsewhere(asio::any_io_executor where, std::function<void(Respond)> work) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Reply)>(
      [](auto handler, const asio::any_io_executor& where, std::function<void(Respond)> work) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        const auto back = asio::get_associated_executor(*shared, where);
        // The connection's executor must not run dry while another works for it.
        auto guard = std::make_shared<asio::executor_work_guard<std::decay_t<decltype(back)>>>(back);
        asio::post(where, [shared, back, guard, work = std::move(work)] {
          work([shared, back, guard](Reply reply) {
            auto kept = std::make_shared<Reply>(std::move(reply));
            asio::post(back, [shared, guard, kept] { std::move (*shared)(std::move(*kept)); });
          });
        });
      },
      asio::use_awaitable, std::move(where), std::move(work));
}

Request head_of(const Parser& parser) {
  const auto& message = parser.get();
  const auto text = [](boost::beast::string_view view) { return std::string(view.data(), view.size()); };
  return Request{.method = text(message.method_string()),
                 .target = text(message.target()),
                 .authorization = text(message[http::field::authorization]),
                 .content_type = text(message[http::field::content_type]),
                 .body = {}};
}

/// The answer to bytes that are no request; none when the peer is just gone or slow.
std::optional<Reply> unreadable(const boost::system::error_code& error) {
  Reply reply;
  if (error == http::error::body_limit) {
    reply =
        problem(413, Error{ErrorCode::exhausted,
                           fmt::format("the body is larger than {} MiB", kMaxBodyBytes >> 20), "send less"});
  } else if (error == http::error::header_limit) {
    reply = problem(
        431, Error{ErrorCode::exhausted, "the head of the request is larger than 16 KiB", "send less"});
  } else if (error == http::error::end_of_stream ||
             error.category() != http::make_error_code(http::error::end_of_stream).category()) {
    return std::nullopt;
  } else {
    reply = problem(Error{ErrorCode::protocol, "this is not an HTTP request: " + error.message()});
  }
  reply.close = true;
  return reply;
}

/// How long an answer is: told before it, or piece by piece.
constexpr std::size_t kInPieces = static_cast<std::size_t>(-1);

std::string reply_head(const Reply& reply, std::size_t length, unsigned version, bool keep_alive) {
  const auto status = http::obsolete_reason(static_cast<http::status>(reply.status));
  std::string head = fmt::format(
      "HTTP/1.{} {} {}\r\nContent-Type: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
      version % 10, reply.status, std::string_view(status.data(), status.size()), reply.content_type);
  if (!reply.allow.empty()) head += fmt::format("Allow: {}\r\n", reply.allow);
  if (reply.retry_after_s > 0) head += fmt::format("Retry-After: {}\r\n", reply.retry_after_s);
  if (reply.status == 401) head += "WWW-Authenticate: Bearer\r\n";
  if (version >= 11 && !keep_alive) head += "Connection: close\r\n";
  if (version < 11 && keep_alive) head += "Connection: keep-alive\r\n";
  if (length == kInPieces) return head + "Transfer-Encoding: chunked\r\n\r\n";
  return head + fmt::format("Content-Length: {}\r\n\r\n", length);
}

/// False: the connection is to be closed, without the last chunk, so that the client sees that it isn't
/// whole.
asio::awaitable<bool> send_pieces(std::shared_ptr<Server> server, ByteStream& stream, Reply reply,
                                  unsigned version) {
  Code error = co_await stream.write(reply_head(reply, kInPieces, version, true));
  std::string piece = std::move(reply.body);
  while (!error) {
    stream.expires_after(kTransferTimeout);
    if (!piece.empty()) {
      error = co_await stream.write(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
      if (error) break;
    }
    Reply next = co_await elsewhere(server->services.pool, [&reply](const Respond& respond) {
      Result<std::string> text = reply.more();
      respond(text ? Reply{.body = std::move(*text)} : Reply{.status = 500});
    });
    if (next.status != 200) co_return false;
    if (next.body.empty()) break;
    piece = std::move(next.body);
  }
  if (error) co_return false;
  error = co_await stream.write("0\r\n\r\n");
  co_return !error;
}

/// Writes the answer; false when the connection is to be closed.
asio::awaitable<bool> send(std::shared_ptr<Server> server, ByteStream& stream, Reply reply, unsigned version,
                           bool keep_alive) {
  stream.expires_after(kTransferTimeout);
  if (reply.more && version >= 11) {
    const bool whole = co_await send_pieces(server, stream, std::move(reply), version);
    co_return whole&& keep_alive;
  }
  if (reply.more)
    reply = problem(Error{ErrorCode::invalid, "this answer comes in pieces", "ask with HTTP/1.1"});
  std::string message = reply_head(reply, reply.body.size(), version, keep_alive);
  message += reply.body;
  const Code error = co_await stream.write(message);
  co_return !error && keep_alive;
}

/// The head of the next request.
asio::awaitable<Code> read_head(ByteStream& stream, boost::beast::flat_buffer& buffer, Parser& parser) {
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(kMaxBodyBytes);
  stream.expires_after(kIdleTimeout);
  Code error;
  while (!error && !parser.is_header_done()) error = co_await parse_some<true>(stream, buffer, parser);
  co_return error;
}

asio::awaitable<Code> read_body(ByteStream& stream, boost::beast::flat_buffer& buffer, Parser& parser) {
  stream.expires_after(kTransferTimeout);
  Code error;
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue"))
    error = co_await stream.write("HTTP/1.1 100 Continue\r\n\r\n");
  parser.eager(true);
  while (!error && !parser.is_done()) error = co_await parse_some<true>(stream, buffer, parser);
  co_return error;
}

/// Asks the router; none when there is nobody left to answer.
asio::awaitable<std::optional<Reply>> answer_next(Server& server, ByteStream& stream,
                                                  boost::beast::flat_buffer& buffer, Parser& parser,
                                                  Peer peer) {
  Code error = co_await read_head(stream, buffer, parser);
  if (error) co_return unreadable(error);
  Request request = head_of(parser);
  Reply early = co_await elsewhere(server.services.strand, [&](const Respond& respond) {
    respond(server.router.refuse_early(request, peer).value_or(Reply{.status = 0}));
  });
  if (early.status != 0) {
    // The body, if there is one, stays unread: what follows on the connection would be it.
    early.close = early.close || !parser.is_done();
    co_return early;
  }
  error = co_await read_body(stream, buffer, parser);
  if (error) co_return unreadable(error);
  request.body = std::move(parser.get().body());
  co_return co_await elsewhere(server.services.strand,
                               [&](const Respond& respond) { server.router.handle(request, peer, respond); });
}

}  // namespace

asio::awaitable<void> serve(std::shared_ptr<Server> server, std::shared_ptr<ByteStream> stream, Peer peer) {
  boost::beast::flat_buffer buffer;
  bool open = true;
  while (open) {
    Parser parser;
    std::optional<Reply> reply = co_await answer_next(*server, *stream, buffer, parser, peer);
    if (!reply) co_return;
    const bool keep_alive = parser.is_header_done() && parser.keep_alive() && !reply->close;
    const unsigned version = parser.get().version() == 10 ? 10 : 11;
    open = co_await send(server, *stream, std::move(*reply), version, keep_alive);
  }
}

}  // namespace cordon::controller::api
