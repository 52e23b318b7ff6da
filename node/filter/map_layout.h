#pragma once
// What the keys and values of a kernel map are made of. Maps outlive the daemon: the next one may be of
// another version, and takes over what they hold, field by field, by the fields' names.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct bpf_map;
struct btf;

namespace cordon::node {

struct MapField {
  std::string name;  ///< "low.word": fields of a struct inside a struct are fields of their own
  std::uint32_t offset = 0, size = 0;
  bool operator==(const MapField&) const = default;
};

struct MapLayout {
  std::uint32_t type = 0, flags = 0;  ///< BPF_MAP_TYPE_..., BPF_F_...
  std::uint32_t key_size = 0, value_size = 0;
  std::vector<MapField> key, value;
  bool operator==(const MapLayout&) const = default;

  /// One line a field; `parse` takes it back.
  std::string text() const;
  static Result<MapLayout> parse(std::string_view text);
  /// Eight hex digits that differ when the text does.
  std::string hash() const;
};

/// Of a map of an opened object, from its own BTF. A ring has no types there: what ebpf/abi.h says of events.
Result<MapLayout> layout_of(const bpf_map* map, const btf* types);

/// How a row of one layout becomes a row of another. A field that the old one lacks, or holds in more bytes,
/// is zero.
class RowConversion {
 public:
  /// Empty when the keys have other fields: then they ask another question, and no row can be taken over.
  static std::optional<RowConversion> between(const MapLayout& from, const MapLayout& to);

  void key(const std::uint8_t* from, std::uint8_t* to) const { move(keys_, from, to); }
  void value(const std::uint8_t* from, std::uint8_t* to) const { move(values_, from, to); }

 private:
  struct Move {
    std::uint32_t from, to, size;
  };
  static std::vector<Move> moves(const std::vector<MapField>& from, const std::vector<MapField>& to);
  static void move(const std::vector<Move>& moves, const std::uint8_t* from, std::uint8_t* to);

  std::vector<Move> keys_, values_;
};

}  // namespace cordon::node
