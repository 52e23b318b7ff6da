#pragma once
// The node's local socket: newline-delimited JSON, one answer for each line, callers known by their uid.

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "node/local/request.h"

namespace boost::asio {
class io_context;
}

namespace cordon::node::local {

struct ServerLimits {
  std::size_t connections = 64;
  std::size_t per_user = 16;                 ///< so that one person's programs can't keep the others out
  std::chrono::milliseconds idle{60'000};    ///< between lines
  std::chrono::milliseconds answer{30'000};  ///< the handler's time
};

/// Called once for each request, on the io_context's thread; the reply may come later, at most once.
using Handler = std::function<void(Request, Caller, std::function<void(std::string)>)>;

class Server {
 public:
  Server(boost::asio::io_context& io, ServerLimits limits, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens at `path`, open to every user of this machine; a dead socket that lies there is replaced.
  Result<> listen(const std::filesystem::path& path);
  void stop();
  std::size_t connections() const;

 private:
  class Acceptor;
  std::shared_ptr<Acceptor> acceptor_;
};

}  // namespace cordon::node::local
