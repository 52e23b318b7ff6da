#pragma once
// How every fallible function of Cordon answers: a value or an Error that says what failed, where, and the
// mend.

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cordon {

/// What kind of failure it is; the API maps it to an HTTP status, the CLI to an exit code.
enum class ErrorCode {
  invalid,       ///< the input is malformed or out of range
  not_found,     ///< what was named does not exist
  conflict,      ///< it contradicts what exists already
  unauthorized,  ///< the caller didn't prove who they are
  forbidden,     ///< the caller is known and may not
  unavailable,   ///< something needed is away now; trying later may help
  exhausted,     ///< a limit is reached (capacity, rate)
  io,            ///< the operating system refused
  protocol,      ///< a peer's bytes break the protocol
  internal,      ///< a fault of our own
};

/// A failure. `what` is lowercase and quotes the user's text; `hint` says what mends it (may be empty).
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string what;
  std::string hint{};
  std::vector<std::string> context{};  ///< innermost first: what was being done, added on the way up

  /// "reading /etc/x: can't open: Permission denied; run as root": context outermost first, then what, then
  /// hint.
  std::string message() const;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string what, std::string hint = {}) {
  return std::unexpected(Error{.code = code, .what = std::move(what), .hint = std::move(hint)});
}

/// An io failure that ends in strerror(error_number).
std::unexpected<Error> fail_errno(std::string what, int error_number, std::string hint = {});

/// The same error with one more line of context.
Error in_context(Error error, std::string context);

/// "invalid", "not found", ...; stable, used in JSON.
std::string_view to_string(ErrorCode code);

}  // namespace cordon

#define CORDON_CONCAT_(a, b) a##b
#define CORDON_CONCAT(a, b) CORDON_CONCAT_(a, b)

/// Returns the error of a Result<void> expression to the caller.
#define CORDON_TRY(expression)                                                      \
  do {                                                                              \
    auto cordon_result_ = (expression);                                             \
    if (!cordon_result_) return std::unexpected(std::move(cordon_result_).error()); \
  } while (false)

/// `CORDON_ASSIGN(auto x, f());` declares x from the value or returns the error.
#define CORDON_ASSIGN(declaration, expression) \
  CORDON_ASSIGN_(CORDON_CONCAT(cordon_result_, __LINE__), declaration, expression)
#define CORDON_ASSIGN_(result, declaration, expression)           \
  auto result = (expression);                                     \
  if (!result) return std::unexpected(std::move(result).error()); \
  declaration = std::move(*result)
