#include "proto/checks.h"

#include <fmt/format.h>

#include <algorithm>

namespace cordon::wire {

std::unexpected<Error> refuse(std::string_view field, std::string_view why) {
  return fail(ErrorCode::protocol, fmt::format("{} {}", field, why));
}

Result<> check_most(std::string_view field, std::uint64_t value, std::uint64_t most) {
  if (value > most) return refuse(field, fmt::format("is {}, more than {}", value, most));
  return {};
}

Result<> check_bytes(std::string_view field, std::string_view value, std::size_t exactly) {
  if (value.size() != exactly)
    return refuse(field, fmt::format("has {} bytes, not {}", value.size(), exactly));
  return {};
}

Result<> check_optional_bytes(std::string_view field, std::string_view value, std::size_t exactly) {
  if (value.empty()) return {};
  return check_bytes(field, value, exactly);
}

Result<> check_length(std::string_view field, std::string_view value, std::size_t most) {
  if (value.size() > most)
    return refuse(field, fmt::format("has {} bytes, more than {}", value.size(), most));
  return {};
}

Result<> check_name(std::string_view field, std::string_view value, std::size_t most) {
  if (value.empty()) return refuse(field, "is empty");
  CORDON_TRY(check_length(field, value, most));
  const bool clean = std::ranges::none_of(value, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!clean) return refuse(field, "holds a control character");
  return {};
}

Result<> check_device(std::string_view field, std::string_view value) {
  CORDON_TRY(check_name(field, value, kLongestDeviceName));
  const bool good = std::ranges::all_of(
      value, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  if (!good) return refuse(field, "is not a device's name");
  return {};
}

Result<> check_count(std::string_view field, int count, std::size_t most) {
  if (static_cast<std::size_t>(count) > most)
    return refuse(field, fmt::format("has {} items, more than {}", count, most));
  return {};
}

}  // namespace cordon::wire
