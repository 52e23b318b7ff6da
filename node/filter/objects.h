#pragma once
// The loaded programs and their maps. Maps are pinned by name and layout; a second load adopts them.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/filter/filter.h"

struct bpf_object;

namespace cordon::node {

class Objects {
 public:
  /// Loads the programs on the maps pinned in the directory, made where they are missing. The directory must
  /// be there.
  static Result<std::unique_ptr<Objects>> load(const std::filesystem::path& pin_directory,
                                               const MapSizes& sizes);
  ~Objects();
  Objects(const Objects&) = delete;

  int map(const char* name) const;      ///< its descriptor; the name must be one of ebpf/maps.bpf.h
  int program(const char* name) const;  ///< likewise of ebpf/cordon.bpf.c

  /// Pins maps again whose pins are gone; one line each.
  std::vector<std::string> repin_maps() const;

 private:
  struct Skeleton;
  explicit Objects(std::unique_ptr<Skeleton> skeleton);
  std::unique_ptr<Skeleton> skeleton_;
};

/// Pins in the directory that belong to maps of another layout.
std::vector<std::filesystem::path> foreign_map_pins(const std::filesystem::path& pin_directory,
                                                    const MapSizes& sizes);

/// The capabilities that the filter needs and this process lacks, by name.
std::vector<std::string> missing_filter_capabilities();

}  // namespace cordon::node
