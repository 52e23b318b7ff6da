#pragma once
// Whom `cordon` talks to: a controller's REST interface, or the node on this device.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace cordon::cli {

struct ApiReply {
  unsigned status = 0;
  std::string body;  ///< empty when a sink took it
};

/// Errors are all of one kind: no answer came (`unavailable`, exit status 4).
class ApiClient {
 public:
  virtual ~ApiClient() = default;
  using Sink = std::function<Result<>(std::string_view piece)>;
  /// `sink`, when given, gets the body of a success piece by piece.
  virtual Result<ApiReply> call(std::string_view method, std::string_view target, std::string_view body,
                                Seconds timeout, const Sink& sink) = 0;
};

/// Where the controller is: its UNIX socket, or (server not empty) HTTPS with a token and a pinned authority.
struct ApiTarget {
  std::string socket;
  std::string server;  ///< "https://controller.acme.example:8443"
  std::string token_file, ca_file;
};
Result<std::unique_ptr<ApiClient>> make_api_client(const ApiTarget& target);

class NodeClient {
 public:
  virtual ~NodeClient() = default;
  /// One line there, one line back.
  virtual Result<std::string> ask(std::string_view line) = 0;
};
std::unique_ptr<NodeClient> make_node_client(std::string socket);

}  // namespace cordon::cli
