#pragma once
// What a handler answers, and errors as RFC 9457 problem documents.

#include <boost/json/object.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace cordon::controller::api {

struct Reply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow{};         ///< header Allow, with 405
  unsigned retry_after_s = 0;  ///< header Retry-After, when not 0
  bool close = false;          ///< the connection ends after it
  /// For answers of any length: called on the pool for each piece after `body` until it gives an empty one.
  std::function<Result<std::string>()> more{};
};
using Respond = std::function<void(Reply)>;

Reply json_reply(const boost::json::object& object, unsigned status = 200);

/// 400, 401, 403, 404, 409, 429, 500 or 503 by the error's code.
unsigned status_of(ErrorCode code);
/// {"type","title","status","detail","code"} and, when there are any, "hint" and the members of `extra`.
Reply problem(const Error& error, boost::json::object extra = {});
Reply problem(unsigned status, const Error& error, boost::json::object extra = {});

}  // namespace cordon::controller::api
