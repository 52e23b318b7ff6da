#pragma once
// From a request to a call that passed every check, and to its handler. Knows no sockets.

#include <expected>
#include <optional>

#include "controller/api/route.h"

namespace cordon::controller::api {

struct Request {
  std::string method;
  std::string target;         ///< path and query as sent
  std::string authorization;  ///< header Authorization
  std::string content_type;
  std::string body;
};

/// How a request came in. `local`: the UNIX socket, by root or the daemon's own user.
struct Peer {
  bool local = false;
};

/// On the controller's strand.
class Router {
 public:
  explicit Router(Services& services) : services_(services) {}

  /// What is wrong with a request by its head alone, so that a stranger's body is never read; none: go on.
  std::optional<Reply> refuse_early(const Request& head, const Peer& peer) const;
  void handle(const Request& request, const Peer& peer, Respond respond) const;

 private:
  std::expected<Call, Reply> admit(const Request& head, const Peer& peer) const;
  Result<Caller> caller_of(const Request& head, const Peer& peer) const;
  Reply counted(Reply reply) const;

  Services& services_;
};

/// "%40" and the like; a malformed escape is `invalid`.
Result<std::string> percent_decode(std::string_view text, bool plus_is_blank);

}  // namespace cordon::controller::api
