#pragma once
// What every command has at hand: options, output, the two daemons.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "cli/clients.h"

namespace cordon::cli {

namespace json = boost::json;

/// Exit statuses, documented in --help.
enum Exit : int { kOk = 0, kFailed = 1, kUsage = 2, kNotAllAcked = 3, kUnreachable = 4 };

/// The outside, so that tests bring their own.
struct Environment {
  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  /// Asks on the terminal, without echo when `secret`; an error when there is no terminal.
  std::function<Result<std::string>(std::string_view prompt, bool secret)> prompt;
  std::function<Result<std::unique_ptr<ApiClient>>(const ApiTarget&)> connect;
  std::function<std::unique_ptr<NodeClient>(std::string socket)> node;
  std::function<Timestamp()> now;
  /// Waits; false: nothing more is to be waited for.
  std::function<bool(std::chrono::milliseconds)> pause;
};

class Context {
 public:
  explicit Context(Environment& environment) : env(environment) {}

  Environment& env;
  bool as_json = false;
  ApiTarget target;
  std::string node_socket;
  std::function<Result<int>()> action;  ///< of the command that was given
  bool unreachable = false;             ///< a daemon didn't answer: exit status 4

  /// A success's JSON object; a problem document becomes the Error.
  Result<json::object> api(std::string_view method, std::string_view target_path,
                           const json::object* body = nullptr, Seconds timeout = Seconds{30});
  Result<> api_stream(std::string_view target_path, const ApiClient::Sink& sink);
  /// All items of a paged list; `most` ends it early.
  Result<std::vector<json::object>> list(std::string target_path, std::size_t most = SIZE_MAX);
  /// The node's answer with "ok": true; its refusal becomes the Error.
  Result<json::object> ask_node(const json::object& request);

  void print_json(const json::object& object);
  /// To standard error, for people only.
  void note(std::string_view text);
};

/// --wait of a mutation: what the query or body gets, and how long the answer may take.
struct Wait {
  std::string text;
  Result<Seconds> seconds() const;  ///< 0 to 60; empty is 0
};

/// "5432" is tcp/5432, "ping" IPv4's echo request; one protocol and one port or ICMP type.
Result<std::string> access_of(const std::string& typed);

/// "name%40acme": for one part of a path.
std::string path_part(std::string_view text);

/// A secret from a file, or its first line from standard input ("-").
Result<std::string> read_secret(Context& context, const std::string& file);

// Members of answers; a missing one or another type is empty, 0, false.
std::string text(const json::object& object, std::string_view member);
std::int64_t number(const json::object& object, std::string_view member);
bool flag(const json::object& object, std::string_view member);
const json::array& items(const json::object& object, std::string_view member);
const json::object& part(const json::object& object, std::string_view member);
/// A list of strings as one text.
std::string joined(const json::object& object, std::string_view member, std::string_view by = ", ");
/// An RFC 3339 member in local time, "2026-01-05 10:00:00"; "-" when it is null.
std::string local_time(const json::object& object, std::string_view member);
std::string local_time(Timestamp at);
/// The same for each RFC 3339 time among the words of a sentence.
std::string with_local_times(std::string_view sentence);

}  // namespace cordon::cli
