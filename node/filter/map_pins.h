#pragma once
// Pins of maps: map-NAME-LAYOUT-ENTRIES, so that a map of another layout or size is never taken for ours, and
// beside them the pin `layouts`: what each LAYOUT says, for the next daemon.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/filter/descriptor.h"
#include "node/filter/map_layout.h"

namespace cordon::node {

struct MapPin {
  std::string map, layout;
  std::uint32_t entries = 0;
  bool operator==(const MapPin&) const = default;

  std::string file_name() const;
  /// Empty when the name is none of a map's pin of ours.
  static std::optional<MapPin> parse(std::string_view file_name);
};

/// Every pin of a map in the directory, also those whose names tell nothing.
std::vector<std::filesystem::path> map_pins(const std::filesystem::path& directory);

/// What a map is, as the kernel tells it.
struct MapFacts {
  std::uint32_t id = 0, type = 0, key_size = 0, value_size = 0, entries = 0;
};
Result<MapFacts> map_facts(int fd);

/// The map behind the pin `layouts`: hash -> text.
class LayoutBook {
 public:
  static Result<LayoutBook> open(const std::filesystem::path& directory);

  std::optional<MapLayout> find(const std::string& hash) const;
  Result<> write(const MapLayout& layout) const;
  void keep_only(const std::vector<std::string>& hashes) const;

 private:
  explicit LayoutBook(Descriptor map) : map_(std::move(map)) {}
  Descriptor map_;
};

}  // namespace cordon::node
