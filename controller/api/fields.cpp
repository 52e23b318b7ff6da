#include "controller/api/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <charconv>

#include "base/time.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += c >= ' ' && c <= '~' && c != '"' ? c : '?';
  return out;
}

/// Levenshtein distance; names are short.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string known_members(std::string_view typed, const Fields& fields) {
  if (fields.empty()) return "leave it out: nothing is expected here";
  for (const Field& field : fields) {
    if (typed.size() < 64 && distance(typed, field.name) <= 2)
      return fmt::format("did you mean \"{}\"?", field.name);
  }
  std::string names;
  for (const Field& field : fields) names += (names.empty() ? "" : ", ") + std::string(field.name);
  return "known are: " + names;
}

std::string path(std::string_view where, std::string_view name) {
  return where.empty() ? std::string(name) : fmt::format("{}.{}", where, name);
}

std::unexpected<Error> wrong_type(const std::string& at, std::string_view expected) {
  return fail(ErrorCode::invalid, fmt::format("\"{}\" must be {}", at, expected));
}

Result<> check_string(std::string_view text, const Field& field, const std::string& at) {
  if (text.size() > field.longest) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is longer than {} bytes", at, field.longest));
  }
  if (field.type != Type::time) return {};
  if (const auto time = parse_rfc3339(text); !time) return std::unexpected(in_context(time.error(), at));
  return {};
}

Result<> check_integer(std::int64_t number, const Field& field, const std::string& at) {
  if (number < field.minimum || number > field.maximum) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is {}, which is out of range", at, number),
                field.maximum == std::numeric_limits<std::int64_t>::max()
                    ? fmt::format("give at least {}", field.minimum)
                    : fmt::format("give {} to {}", field.minimum, field.maximum));
  }
  return {};
}

Result<> check_list(const json::array& list, const Field& field, const std::string& at) {
  if (list.size() > field.longest) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" has more than {} elements", at, field.longest));
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string element = fmt::format("{}[{}]", at, i);
    if (field.type == Type::strings) {
      if (!list[i].is_string()) return wrong_type(element, "a string");
      if (list[i].get_string().size() > 1024) {
        return fail(ErrorCode::invalid, fmt::format("\"{}\" is longer than 1024 bytes", element));
      }
    } else {
      if (!list[i].is_object()) return wrong_type(element, "an object");
      CORDON_TRY(check_object(list[i].get_object(), schema(field.ref), element));
    }
  }
  return {};
}

Result<> check_value(const json::value& value, const Field& field, const std::string& at) {
  if (value.is_null() && field.nullable) return {};
  switch (field.type) {
    case Type::string:
    case Type::time:
      if (!value.is_string())
        return wrong_type(at, field.type == Type::time ? "an RFC 3339 time" : "a string");
      return check_string(value.get_string(), field, at);
    case Type::integer:
      if (!value.is_int64()) return wrong_type(at, "a whole number");
      return check_integer(value.get_int64(), field, at);
    case Type::boolean:
      if (!value.is_bool()) return wrong_type(at, "true or false");
      return {};
    case Type::strings:
    case Type::objects:
      if (!value.is_array()) return wrong_type(at, "a list");
      return check_list(value.get_array(), field, at);
    case Type::object:
      if (!value.is_object()) return wrong_type(at, "an object");
      return field.ref.empty() ? Result<>{} : check_object(value.get_object(), schema(field.ref), at);
  }
  return fail(ErrorCode::internal, "a field without a type");
}

}  // namespace

Result<> check_object(const json::object& object, const Fields& fields, std::string_view where) {
  for (const auto& member : object) {
    const std::string_view name = member.key();
    const auto field = std::ranges::find(fields, name, &Field::name);
    if (field == fields.end()) {
      return fail(ErrorCode::invalid, fmt::format("unknown member \"{}\"", path(where, shown(name))),
                  known_members(name, fields));
    }
    CORDON_TRY(check_value(member.value(), *field, path(where, name)));
  }
  for (const Field& field : fields) {
    if (field.required && !object.contains(field.name)) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is missing", path(where, field.name)),
                  fmt::format("add it: {}", field.about));
    }
  }
  return {};
}

Result<json::value> decode_parameter(std::string_view text, const Field& field) {
  json::value value;
  if (field.type == Type::integer) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
      return wrong_type(std::string(field.name), "a whole number");
    }
    value = number;
  } else if (field.type == Type::boolean) {
    if (text != "true" && text != "false") return wrong_type(std::string(field.name), "true or false");
    value = text == "true";
  } else {
    value = json::string(text);
  }
  CORDON_TRY(check_value(value, field, std::string(field.name)));
  return value;
}

json::object json_schema(const Field& field) {
  const auto typed = [&](const char* name) -> json::value {
    if (field.nullable) return json::array{name, "null"};
    return json::string(name);
  };
  json::object out;
  switch (field.type) {
    case Type::string:
      out["type"] = typed("string");
      break;
    case Type::time:
      out["type"] = typed("string");
      out["format"] = "date-time";
      break;
    case Type::integer:
      out["type"] = typed("integer");
      out["minimum"] = field.minimum;
      if (field.maximum != std::numeric_limits<std::int64_t>::max()) out["maximum"] = field.maximum;
      break;
    case Type::boolean:
      out["type"] = typed("boolean");
      break;
    case Type::strings:
      out["type"] = typed("array");
      out["items"] = json::object{{"type", "string"}};
      break;
    case Type::objects:
      out["type"] = typed("array");
      out["items"] = json::object{{"$ref", "#/components/schemas/" + std::string(field.ref)}};
      break;
    case Type::object:
      if (!field.ref.empty() && !field.nullable) {
        out["$ref"] = "#/components/schemas/" + std::string(field.ref);
      } else {
        out["type"] = typed("object");
      }
      break;
  }
  out["description"] = field.about;
  return out;
}

json::object json_schema(const Fields& fields, bool closed) {
  json::object properties;
  json::array required;
  for (const Field& field : fields) {
    properties[field.name] = json_schema(field);
    if (field.required) required.emplace_back(field.name);
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  if (closed) out["additionalProperties"] = false;
  return out;
}

}  // namespace cordon::controller::api
