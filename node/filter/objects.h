#pragma once
// The loaded programs and their maps. Maps are pinned by name, layout and size: a later load adopts them.
// What a map of another layout or size holds is taken over first (DATAPATH.md, "Writing the maps").

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/filter/carry.h"
#include "node/filter/filter.h"
#include "node/filter/map_pins.h"

struct bpf_map;
struct bpf_object;

namespace cordon::node {

/// The programs that this build carries: an ELF object.
std::span<const std::byte> built_in_programs();

struct LoadOptions {
  std::span<const std::byte> programs = built_in_programs();
  /// Told after each step that a crash could follow: for tests.
  std::function<void(std::string_view)> after_step = [](std::string_view) {};
  bool tcx = true;  ///< false: attached as on a kernel without tcx
  /// The programs that are loaded, by name; empty: all. Nearly all of a load's time is the verifier's.
  std::vector<std::string_view> only = {};
};

class Objects {
 public:
  /// Loads the programs on the maps pinned in the directory, made where they are missing and filled from
  /// those of another layout. What is attached isn't touched, and until `finish` those other maps stay
  /// pinned. The directory must be there.
  static Result<std::unique_ptr<Objects>> load(const std::filesystem::path& pin_directory,
                                               const MapSizes& sizes, const LoadOptions& options = {});
  /// The same programs on the same maps once more.
  Result<std::unique_ptr<Objects>> again() const;
  ~Objects();
  Objects(const Objects&) = delete;

  /// Once our programs are attached everywhere: takes over the flows that others began meanwhile, then unpins
  /// the maps of other layouts. Until it has succeeded nothing may be written to the maps: a later start
  /// would take them over from the others again.
  Result<> finish(const LoadOptions& options = {});

  int map(const char* name) const;      ///< its descriptor; the name must be one of ebpf/maps.bpf.h
  int program(const char* name) const;  ///< likewise of ebpf/cordon.bpf.c

  /// Pins maps again whose pins are gone or are another map's; one line each.
  std::vector<std::string> repin_maps() const;
  /// Where a size that was asked for is not what is used; one line each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct FreeObject {
    void operator()(bpf_object* object) const;
  };
  using Object = std::unique_ptr<bpf_object, FreeObject>;
  /// One map and where it is pinned.
  struct Place {
    bpf_map* map = nullptr;
    MapLayout layout;
    MapPin pin;
    bool adopted = false;
    std::vector<MapPin> others;  ///< of the same map in another layout or size
  };

  Objects(std::filesystem::path pins, std::span<const std::byte> programs, Object object)
      : pins_(std::move(pins)), programs_(programs), object_(std::move(object)) {}
  static Result<Object> open(std::span<const std::byte> programs);
  Result<> choose(bpf_map* map, std::uint32_t entries);
  Result<> load_programs() const;
  Result<> fill(const LoadOptions& options);
  Result<> carry_over(const Place& place, const LayoutBook& book);

  std::filesystem::path pins_;
  std::span<const std::byte> programs_;
  Object object_;
  std::vector<Place> places_;
  std::vector<Carry> carries_;
  std::vector<std::string> notes_;
};

/// The capabilities that the filter needs and this process lacks, by name.
std::vector<std::string> missing_filter_capabilities();

}  // namespace cordon::node
