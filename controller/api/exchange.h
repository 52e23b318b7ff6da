#pragma once
// HTTP/1.1 on one connection, whatever it runs over: read, ask the router on the controller's strand, write.

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "controller/api/server.h"

namespace cordon::controller::api {

namespace http = boost::beast::http;

/// Runs `work` on `where`; comes back on the caller's executor with what it answered.
asio::awaitable<Reply> elsewhere(asio::any_io_executor where, std::function<void(Respond)> work);

using Parser = http::request_parser<http::string_body>;

Request head_of(const Parser& parser);
/// The answer to bytes that are no request; none when the peer is just gone or slow.
std::optional<Reply> unreadable(const boost::system::error_code& error);
http::response<http::string_body> message_of(Reply reply, unsigned version, bool keep_alive);

template <class Stream>
asio::awaitable<bool> send_pieces(std::shared_ptr<Server> server, Stream& stream, Reply reply,
                                  unsigned version) {
  boost::system::error_code error;
  const auto more = std::move(reply.more);
  std::string piece = std::move(reply.body);
  http::response<http::empty_body> head{message_of(std::move(reply), version, true).base()};
  head.erase(http::field::content_length);
  head.chunked(true);
  http::response_serializer<http::empty_body> serializer{head};
  co_await http::async_write_header(stream, serializer, asio::redirect_error(asio::use_awaitable, error));
  while (!error) {
    boost::beast::get_lowest_layer(stream).expires_after(kTransferTimeout);
    if (!piece.empty()) {
      co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece)),
                                 asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
    }
    Reply next = co_await elsewhere(server->services.pool, [&more](const Respond& respond) {
      Result<std::string> text = more();
      respond(text ? Reply{.body = std::move(*text)} : Reply{.status = 500});
    });
    if (next.status != 200)
      co_return false;  // cut without the last chunk: the client sees that it isn't whole
    if (next.body.empty()) break;
    piece = std::move(next.body);
  }
  if (error) co_return false;
  co_await asio::async_write(stream, http::make_chunk_last(),
                             asio::redirect_error(asio::use_awaitable, error));
  co_return !error;
}

/// Writes the answer; false when the connection is to be closed.
template <class Stream>
asio::awaitable<bool> send(std::shared_ptr<Server> server, Stream& stream, Reply reply, unsigned version,
                           bool keep_alive) {
  boost::beast::get_lowest_layer(stream).expires_after(kTransferTimeout);
  if (reply.more && version >= 11) {
    const bool whole = co_await send_pieces(server, stream, std::move(reply), version);
    co_return whole&& keep_alive;
  }
  if (reply.more)
    reply = problem(Error{ErrorCode::invalid, "this answer comes in pieces", "ask with HTTP/1.1"});
  boost::system::error_code error;
  auto message = message_of(std::move(reply), version, keep_alive);
  co_await http::async_write(stream, message, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && keep_alive;
}

template <class Stream>
asio::awaitable<void> serve(std::shared_ptr<Server> server, Stream& stream, Peer peer) {
  boost::beast::flat_buffer buffer;
  bool open = true;
  while (open) {
    Parser parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(kMaxBodyBytes);
    boost::system::error_code error;
    boost::beast::get_lowest_layer(stream).expires_after(kIdleTimeout);
    co_await http::async_read_header(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
    std::optional<Reply> reply;
    Request request;
    if (error) {
      reply = unreadable(error);
    } else {
      request = head_of(parser);
      Reply early = co_await elsewhere(server->services.strand, [&](const Respond& respond) {
        respond(server->router.refuse_early(request, peer).value_or(Reply{.status = 0}));
      });
      if (early.status != 0) {
        // The body, if there is one, stays unread: what follows on the connection would be it.
        early.close = early.close || !parser.is_done();
        reply = std::move(early);
      }
    }
    if (!error && !reply) {
      boost::beast::get_lowest_layer(stream).expires_after(kTransferTimeout);
      if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
        http::response<http::empty_body> go_on{http::status::continue_, parser.get().version()};
        co_await http::async_write(stream, go_on, asio::redirect_error(asio::use_awaitable, error));
      }
      if (!error)
        co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        reply = unreadable(error);
      } else {
        request.body = std::move(parser.get().body());
        Reply answer = co_await elsewhere(server->services.strand, [&](const Respond& respond) {
          server->router.handle(request, peer, respond);
        });
        reply = std::move(answer);
      }
    }
    if (!reply) co_return;
    const bool keep_alive = !error && parser.keep_alive() && !reply->close;
    open =
        co_await send(server, stream, std::move(*reply), parser.get().version() == 10 ? 10 : 11, keep_alive);
  }
}

}  // namespace cordon::controller::api
