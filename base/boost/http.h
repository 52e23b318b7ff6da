#pragma once
// HTTP/1.1 over a ByteStream with Beast's parsers, without Beast's own operations (which are templates of the
// stream as well).

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include "base/boost/stream.h"

namespace cordon {

/// One step of `parser`: over what `buffer` holds and, when that is too little, over what comes next. To be
/// called until parser.is_header_done() or is_done(). `end_of_stream` when the peer ended before it began.
template <bool IsRequest>
boost::asio::awaitable<boost::system::error_code> parse_some(
    ByteStream& stream, boost::beast::flat_buffer& buffer,
    boost::beast::http::basic_parser<IsRequest>& parser);

extern template boost::asio::awaitable<boost::system::error_code> parse_some<true>(
    ByteStream&, boost::beast::flat_buffer&, boost::beast::http::basic_parser<true>&);
extern template boost::asio::awaitable<boost::system::error_code> parse_some<false>(
    ByteStream&, boost::beast::flat_buffer&, boost::beast::http::basic_parser<false>&);

}  // namespace cordon
