#pragma once
// Notices that the machine's accounts changed whose uids are people's: a look at two files costs two stat(2),
// and is right whatever way they were written (renamed over, as useradd(8) does, or in place).

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/uids.h"

namespace cordon::node {

class PeopleWatch {
 public:
  explicit PeopleWatch(std::filesystem::path login_defs = "/etc/login.defs",
                       std::filesystem::path subuid = "/etc/subuid")
      : files_{std::move(login_defs), std::move(subuid)} {}

  /// Who they are now, if others than `known`; none: nothing changed since taken() was called last. An error
  /// is that of the files, and comes again until they are mended.
  Result<std::optional<std::vector<UidRange>>> look(const std::vector<UidRange>& known);
  /// What the last look() saw is in force.
  void taken() { taken_ = seen_; }

 private:
  /// What a write changes of a file; zeros: it isn't there.
  struct Stamp {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t changed_s = 0, changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Stamps = std::array<Stamp, 2>;
  static Stamp stamp(const std::filesystem::path& file);

  std::array<std::filesystem::path, 2> files_;
  Stamps seen_;
  std::optional<Stamps> taken_;
};

}  // namespace cordon::node
