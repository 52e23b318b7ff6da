#pragma once
// The names of the pins of places: link-PLACE, clsact-IFINDEX-PLACE. PLACE is overlay_in, guard-IFINDEX-out
// and the like; of a link at a cgroup the program's name.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/filter/tcx.h"

namespace cordon::node {

struct PlacePin {
  std::filesystem::path path;
  std::string kind;  ///< "overlay", "guard", or the program's name
  bool at_interface = false;
  bool clsact = false;
  unsigned ifindex = 0;  ///< of a guard and of clsact; 0: only the link tells
  tcx::Hook hook = tcx::Hook::ingress;

  /// Of the link there; where clsact serves instead, of the one that would be.
  std::filesystem::path link_path() const;
};

/// DIRECTORY/link-PLACE of a place at an interface.
std::filesystem::path link_pin(const std::filesystem::path& directory, const std::string& kind,
                               unsigned ifindex, tcx::Hook hook);
/// All that the directory has.
std::vector<PlacePin> place_pins(const std::filesystem::path& directory);

/// "in" or "out", as in the names of programs.
const char* hook_suffix(tcx::Hook hook);

}  // namespace cordon::node
