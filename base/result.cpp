#include "base/result.h"

#include <cstring>

namespace cordon {

std::string Error::message() const {
  std::string out;
  for (auto it = context.rbegin(); it != context.rend(); ++it) out += *it + ": ";
  out += what;
  if (!hint.empty()) out += "; " + hint;
  return out;
}

std::unexpected<Error> fail_errno(std::string what, int error_number, std::string hint) {
  return fail(ErrorCode::io, std::move(what) + ": " + std::strerror(error_number), std::move(hint));
}

Error in_context(Error error, std::string context) {
  error.context.push_back(std::move(context));
  return error;
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid:
      return "invalid";
    case ErrorCode::not_found:
      return "not found";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::unauthorized:
      return "unauthorized";
    case ErrorCode::forbidden:
      return "forbidden";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::io:
      return "io";
    case ErrorCode::protocol:
      return "protocol";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

}  // namespace cordon
