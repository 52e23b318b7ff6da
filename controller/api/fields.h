#pragma once
// One table of fields drives three things that must not drift apart: what a body or query may hold, what its
// decoder checks, and what /openapi.json says of it.

#include <boost/json/object.hpp>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cordon::controller::api {

enum class Type {
  string,
  integer,
  boolean,
  time,     ///< RFC 3339 text
  strings,  ///< a list of strings
  object,   ///< one of the schema `ref`; without `ref` any object
  objects,  ///< a list of the schema `ref`
};

struct Field {
  std::string_view name;
  Type type = Type::string;
  std::string_view about;
  bool required = false;
  bool nullable = false;
  std::int64_t minimum = 0;
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();
  std::size_t longest = 1024;  ///< of a string in bytes, of a list in elements
  std::string_view ref{};
};
using Fields = std::vector<Field>;

/// The named schemas that fields and answers refer to (schemas.cpp). Unknown names end the process: a fault
/// of ours.
const Fields& schema(std::string_view name);
const std::vector<std::pair<std::string_view, Fields>>& schemas();

/// The JSON object in `text`: nothing after it, no key twice, no number beyond a double, at most 32
/// levels. Errors name line and column.
Result<boost::json::object> parse_object(std::string_view text);

/// Members are those of `fields`, with their types and within their limits; each error names the member, and
/// a near name if there is one.
Result<> check_object(const boost::json::object& object, const Fields& fields, std::string_view where);

/// A query parameter's text as its field's type.
Result<boost::json::value> decode_parameter(std::string_view text, const Field& field);

/// The OpenAPI (JSON Schema 2020-12) form.
boost::json::object json_schema(const Fields& fields, bool closed);
boost::json::object json_schema(const Field& field);

}  // namespace cordon::controller::api
