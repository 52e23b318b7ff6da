#include "base/boost/http.h"

#include <boost/asio/error.hpp>
#include <boost/beast/http/error.hpp>

namespace cordon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
constexpr std::size_t kPieceBytes = 64u << 10;

}  // namespace

template <bool IsRequest>
asio::awaitable<boost::system::error_code> parse_some(ByteStream& stream, boost::beast::flat_buffer& buffer,
                                                      http::basic_parser<IsRequest>& parser) {
  boost::system::error_code error;
  while (true) {
    if (buffer.size() > 0) {
      buffer.consume(parser.put(buffer.data(), error));
      if (error != http::error::need_more) co_return error;
      error = {};
    }
    const auto room = buffer.prepare(kPieceBytes);
    const auto taken = co_await stream.read_some(std::span(static_cast<char*>(room.data()), room.size()));
    buffer.commit(taken.bytes);
    if (taken.error == asio::error::eof) {
      if (!parser.got_some()) co_return http::error::end_of_stream;
      parser.put_eof(error);
      co_return error;
    }
    if (taken.error) co_return taken.error;
  }
}

template asio::awaitable<boost::system::error_code> parse_some<true>(ByteStream&, boost::beast::flat_buffer&,
                                                                     http::basic_parser<true>&);
template asio::awaitable<boost::system::error_code> parse_some<false>(ByteStream&, boost::beast::flat_buffer&,
                                                                      http::basic_parser<false>&);

}  // namespace cordon
