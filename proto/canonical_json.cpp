#include "proto/canonical_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace cordon::wire {

namespace json = boost::json;

namespace {

void write(std::string& out, const json::value& value);

void write_object(std::string& out, const json::object& object) {
  std::vector<const json::key_value_pair*> pairs;
  pairs.reserve(object.size());
  for (const auto& pair : object) pairs.push_back(&pair);
  std::ranges::sort(pairs, [](const auto* a, const auto* b) {
    return std::string_view(a->key()) < std::string_view(b->key());
  });
  out += '{';
  for (bool first = true; const auto* pair : pairs) {
    if (!std::exchange(first, false)) out += ',';
    out += json::serialize(json::string(pair->key()));
    out += ':';
    write(out, pair->value());
  }
  out += '}';
}

void write(std::string& out, const json::value& value) {
  if (const auto* object = value.if_object()) {
    write_object(out, *object);
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (bool first = true; const auto& element : *array) {
      if (!std::exchange(first, false)) out += ',';
      write(out, element);
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string canonical(const json::value& value) {
  std::string out;
  write(out, value);
  return out;
}

Result<json::value> parse_json(std::string_view text) {
  json::error_code error;
  auto value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) return fail(ErrorCode::invalid, fmt::format("malformed JSON: {}", error.message()));
  return value;
}

bool is_id(std::string_view text, std::size_t longest) {
  return !text.empty() && text.size() <= longest && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Fields::Fields(const json::value& value, std::string where)
    : object_(value.if_object()), where_(std::move(where)) {
  if (object_ == nullptr) problem_ = fmt::format("{}: an object is expected", where_);
}

void Fields::refuse(std::string_view key, std::string_view why) {
  if (problem_.empty()) problem_ = fmt::format("{}: \"{}\" {}", where_, key, why);
}

const json::value* Fields::value(std::string_view key) {
  if (object_ == nullptr) return nullptr;
  asked_.emplace(key);
  const auto* found = object_->if_contains(json::string_view(key.data(), key.size()));
  if (found == nullptr) refuse(key, "is missing");
  return problem_.empty() ? found : nullptr;
}

bool Fields::has(std::string_view key) {
  return object_ != nullptr && object_->contains(json::string_view(key.data(), key.size()));
}

bool Fields::is_null(std::string_view key) {
  const auto* found = value(key);
  return found != nullptr && found->is_null();
}

std::string Fields::text(std::string_view key, std::size_t longest, std::size_t shortest) {
  const auto* found = value(key);
  if (found == nullptr) return {};
  const auto* string = found->if_string();
  if (string == nullptr) {
    refuse(key, "must be a string");
    return {};
  }
  if (string->size() < shortest || string->size() > longest) {
    refuse(key, fmt::format("must have {} to {} bytes, not {}", shortest, longest, string->size()));
    return {};
  }
  return std::string(string->data(), string->size());
}

std::string Fields::id(std::string_view key) {
  auto found = text(key, 64);
  if (problem_.empty() && !is_id(found)) refuse(key, "may hold letters, digits, '.', '_' and '-' only");
  return found;
}

std::int64_t Fields::integer(std::string_view key, std::int64_t lowest, std::int64_t highest) {
  const auto* found = value(key);
  if (found == nullptr) return lowest;
  const auto* number = found->if_int64();
  if (number == nullptr) {
    refuse(key, "must be an integer");
    return lowest;
  }
  if (*number < lowest || *number > highest) {
    refuse(key, fmt::format("must be from {} to {}, not {}", lowest, highest, *number));
    return lowest;
  }
  return *number;
}

bool Fields::boolean(std::string_view key) {
  const auto* found = value(key);
  if (found == nullptr) return false;
  const auto* boolean = found->if_bool();
  if (boolean == nullptr) refuse(key, "must be true or false");
  return boolean != nullptr && *boolean;
}

Bytes Fields::base64(std::string_view key, std::size_t shortest, std::size_t longest) {
  const auto coded = text(key, longest * 2 + 4, 0);
  if (!problem_.empty()) return {};
  auto bytes = from_base64(coded);
  if (!bytes || to_base64(*bytes) != coded) {
    refuse(key, "isn't base64");
    return {};
  }
  if (bytes->size() < shortest || bytes->size() > longest) {
    refuse(key, fmt::format("must be {} to {} bytes, not {}", shortest, longest, bytes->size()));
    return {};
  }
  return std::move(*bytes);
}

Sha256 Fields::hex32(std::string_view key) {
  Sha256 hash{};
  const auto coded = text(key, 64, 64);
  if (!problem_.empty()) return hash;
  const auto bytes = from_hex(coded);
  if (!bytes || bytes->size() != hash.size() || to_hex(*bytes) != coded) {
    refuse(key, "must be 64 lower-case hexadecimal digits");
    return hash;
  }
  std::ranges::copy(*bytes, hash.begin());
  return hash;
}

std::set<std::string> Fields::texts(std::string_view key, std::size_t most, std::size_t longest) {
  std::set<std::string> all;
  const auto* found = value(key);
  if (found == nullptr) return all;
  const auto* array = found->if_array();
  if (array == nullptr || array->size() > most) {
    refuse(key, fmt::format("must be a list of at most {} strings", most));
    return all;
  }
  for (const auto& element : *array) {
    const auto* string = element.if_string();
    if (string == nullptr || string->empty() || string->size() > longest) {
      refuse(key, fmt::format("must hold strings of 1 to {} bytes", longest));
      return {};
    }
    if (!all.emplace(string->data(), string->size()).second) refuse(key, "names something twice");
  }
  return all;
}

Result<> Fields::finish() {
  if (problem_.empty() && object_ != nullptr) {
    for (const auto& pair : *object_) {
      const std::string_view key(pair.key().data(), pair.key().size());
      if (!asked_.contains(key)) refuse(key, "is unknown");
    }
  }
  if (!problem_.empty()) return fail(ErrorCode::invalid, problem_);
  return {};
}

}  // namespace cordon::wire
