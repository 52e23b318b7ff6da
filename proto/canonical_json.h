#pragma once
// Canonical JSON: keys sorted by bytes, no spaces, integers only; and a strict reader of its objects.

#include <boost/json/value.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::wire {

/// The one text of a value. Doubles aren't allowed in it.
std::string canonical(const boost::json::value& value);

/// The value, or `invalid` with why; depth and invalid UTF-8 are refused.
Result<boost::json::value> parse_json(std::string_view text);

/// Reads an object key by key. The first thing wrong is kept and told by finish(), so that a caller reads all
/// fields in a row; what a getter returns after an error is a default value that must not be used.
class Fields {
 public:
  /// `where` names the object in errors ("session opened").
  Fields(const boost::json::value& value, std::string where);

  std::string text(std::string_view key, std::size_t longest = 255, std::size_t shortest = 1);
  /// Letters, digits, '.', '_', '-': 1 to 64 of them.
  std::string id(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t lowest, std::int64_t highest);
  bool boolean(std::string_view key);
  Bytes base64(std::string_view key, std::size_t shortest, std::size_t longest);
  Sha256 hex32(std::string_view key);
  std::set<std::string> texts(std::string_view key, std::size_t most = 256, std::size_t longest = 255);
  /// Null when the key is missing or an error was met before.
  const boost::json::value* value(std::string_view key);
  bool is_null(std::string_view key);
  bool has(std::string_view key);  ///< of keys that may be left out

  /// Records an error of the caller's own about `key`.
  void refuse(std::string_view key, std::string_view why);
  /// The first error, or a key that nobody asked for.
  Result<> finish();

 private:
  const boost::json::object* object_ = nullptr;
  std::string where_;
  std::set<std::string, std::less<>> asked_;
  std::string problem_;
};

/// True when every character may stand in an id (see Fields::id) and there are 1 to `longest`.
bool is_id(std::string_view text, std::size_t longest = 64);

}  // namespace cordon::wire
