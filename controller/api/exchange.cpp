#include "controller/api/exchange.h"

namespace cordon::controller::api {

asio::awaitable<Reply> elsewhere(asio::any_io_executor where, std::function<void(Respond)> work) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Reply)>(
      [](auto handler, asio::any_io_executor where, std::function<void(Respond)> work) {
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

std::optional<Reply> unreadable(const boost::system::error_code& error) {
  Reply reply;
  if (error == http::error::body_limit) {
    reply = problem(413, Error{ErrorCode::exhausted, "the body is larger than 8 MiB", "send less"});
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

http::response<http::string_body> message_of(Reply reply, unsigned version, bool keep_alive) {
  http::response<http::string_body> message{static_cast<http::status>(reply.status), version};
  message.set(http::field::content_type, reply.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  if (!reply.allow.empty()) message.set(http::field::allow, reply.allow);
  if (reply.retry_after_s > 0) message.set(http::field::retry_after, std::to_string(reply.retry_after_s));
  if (reply.status == 401) message.set(http::field::www_authenticate, "Bearer");
  message.keep_alive(keep_alive);
  message.body() = std::move(reply.body);
  message.prepare_payload();
  return message;
}

}  // namespace cordon::controller::api
