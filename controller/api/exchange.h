#pragma once
// HTTP/1.1 on one connection, whatever it runs over: read, ask the router on the controller's strand, write.

#include "base/boost/stream.h"
#include "controller/api/server.h"

namespace cordon::controller::api {

/// Until the peer is done, or breaks the rules, or is too slow. The server outlives the stream's executor's
/// work.
asio::awaitable<void> serve(std::shared_ptr<Server> server, std::shared_ptr<ByteStream> stream, Peer peer);

}  // namespace cordon::controller::api
