#pragma once
// A small database in MaxMind's format (https://maxmind.github.io/MaxMind-DB/, version 2.0): a search tree of
// 24-bit records, 16 zero bytes, a data section, and metadata behind a marker.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "tests/support/log_fixture.h"

namespace cordon::test {

class CountryDatabase {
 public:
  explicit CountryDatabase(std::string type = "Test-Country", std::uint32_t epoch = 1'800'000'000,
                           unsigned ip_version = 6)
      : type_(std::move(type)), epoch_(epoch), ip_version_(ip_version) {}

  /// Prefixes must not lie within each other. `group`: "country" or "registered_country".
  CountryDatabase& add(const std::string& prefix, const std::string& code,
                       const std::string& group = "country") {
    return add_data(prefix, map(1) + text(group) + map(1) + text("iso_code") + text(code));
  }
  CountryDatabase& add_data(const std::string& prefix, const std::string& data) {
    const Prefix at = must(Prefix::parse(prefix));
    auto bytes = at.address.bytes;
    if (at.address.is_v4()) bytes[10] = bytes[11] = 0;  // IPv4 lies at ::/96
    std::size_t node = 0;
    for (unsigned bit = ip_version_ == 4 ? 96 : 0; bit < at.bits; ++bit) {
      const bool side = ((bytes[bit / 8] >> (7 - bit % 8)) & 1) != 0;
      if (bit + 1 == at.bits) {
        nodes_[node][side] = {Record::data, data_.size()};
      } else if (nodes_[node][side].kind != Record::node) {
        nodes_[node][side] = {Record::node, nodes_.size()};
        nodes_.emplace_back();
      }
      node = nodes_[node][side].value;
    }
    data_ += data;
    return *this;
  }

  std::string bytes() const {
    std::string out;
    for (const auto& node : nodes_) {
      for (const Record& record : node) {
        const std::size_t value = record.kind == Record::node    ? record.value
                                  : record.kind == Record::empty ? nodes_.size()
                                                                 : nodes_.size() + 16 + record.value;
        out += big_endian(value, 3);
      }
    }
    return out + std::string(16, '\0') + data_ + "\xab\xcd\xefMaxMind.com" + map(9) + text("node_count") +
           number(6, nodes_.size(), 4) + text("record_size") + number(5, 24, 2) + text("ip_version") +
           number(5, ip_version_, 2) + text("database_type") + text(type_) + text("languages") +
           std::string("\x00\x04", 2) + text("binary_format_major_version") + number(5, 2, 2) +
           text("binary_format_minor_version") + number(5, 0, 2) + text("build_epoch") +
           std::string("\x08\x02", 2) + big_endian(epoch_, 8) + text("description") + map(0);
  }

  static std::string text(const std::string& value) {
    return std::string(1, static_cast<char>(2 << 5 | static_cast<int>(value.size()))) + value;  // below 29
  }
  static std::string map(unsigned pairs) { return std::string(1, static_cast<char>(7 << 5 | pairs)); }

 private:
  struct Record {
    enum Kind { empty, node, data } kind = empty;
    std::size_t value = 0;
  };
  static std::string number(unsigned type, std::uint64_t value, unsigned size) {
    return std::string(1, static_cast<char>(type << 5 | size)) + big_endian(value, size);
  }
  static std::string big_endian(std::uint64_t value, unsigned size) {
    std::string out;
    for (unsigned i = size; i-- > 0;) out += static_cast<char>(value >> (8 * i));
    return out;
  }

  std::string type_;
  std::uint32_t epoch_;
  unsigned ip_version_;
  std::vector<std::array<Record, 2>> nodes_{1};
  std::string data_;
};

}  // namespace cordon::test
