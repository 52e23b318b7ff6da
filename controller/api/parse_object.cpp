#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <cmath>
#include <set>
#include <string>

#include "controller/api/fields.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

/// Looks for what Boost takes and we don't. A key that one object has twice: it would silently keep the last,
/// and two readers of one text must never see two different things. A number that no double holds.
struct StrictReader {
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  std::vector<std::set<std::string>> objects;
  std::string key, duplicate;
  using ec = json::error_code;

  bool on_document_begin(ec&) { return true; }
  bool on_document_end(ec&) { return true; }
  bool on_object_begin(ec&) {
    objects.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, ec&) {
    objects.pop_back();
    return true;
  }
  bool on_array_begin(ec&) { return true; }
  bool on_array_end(std::size_t, ec&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, ec&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, ec& error) {
    key.append(part.data(), part.size());
    if (!objects.back().insert(key).second) {
      duplicate = key;
      error = json::error::syntax;
      return false;
    }
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, ec&) { return true; }
  bool on_string(json::string_view, std::size_t, ec&) { return true; }
  bool on_number_part(json::string_view, ec&) { return true; }
  bool on_int64(std::int64_t, json::string_view, ec&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, ec&) { return true; }
  bool on_double(double number, json::string_view, ec& error) {
    // Boost reads 1e400 as infinity, which it would write as "Infinity": no JSON.
    if (!std::isfinite(number)) error = json::error::exponent_overflow;
    return std::isfinite(number);
  }
  bool on_bool(bool, ec&) { return true; }
  bool on_null(ec&) { return true; }
  bool on_comment_part(json::string_view, ec&) { return true; }
  bool on_comment(json::string_view, ec&) { return true; }
};

std::string place(std::string_view text, std::size_t offset) {
  std::size_t line = 1, column = 1;
  for (const char c : text.substr(0, offset)) {
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n';
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

Result<json::object> parse_object(std::string_view text) {
  json::basic_parser<StrictReader> reader(json::parse_options{});
  json::error_code error;
  const std::size_t read = reader.write_some(false, text.data(), text.size(), error);
  if (!reader.handler().duplicate.empty()) {
    return fail(ErrorCode::invalid,
                "member \"" + reader.handler().duplicate.substr(0, 64) + "\" is given twice", "give it once");
  }
  if (!error && read < text.size() && text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    error = json::error::extra_data;
  }
  if (error == json::error::exponent_overflow) {
    return fail(ErrorCode::invalid, "a number is out of range at " + place(text, read), "give a smaller one");
  }
  if (error) {
    return fail(ErrorCode::invalid, "the body is not JSON: " + error.message() + " at " + place(text, read),
                "send one JSON object");
  }
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    return fail(ErrorCode::invalid, "the body is not a JSON object", "send an object, such as {}");
  }
  return std::move(value.get_object());
}

}  // namespace cordon::controller::api
