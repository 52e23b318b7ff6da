#pragma once
// Hours repeat from week to week, but around the moments at which a zone changes its offset. So what nothing
// changed for a week changes at none of the weeks that are like it, and needn't be looked for there.

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "base/time.h"
#include "base/time_zone.h"

namespace cordon::policy {

class WeekWatch {
 public:
  /// Of conditions in these zones (null: none); everything from `begin` on is looked at.
  WeekWatch(std::array<const TimeZone*, 2> zones, Timestamp begin) : zones_(zones), quiet_(begin) {}

  /// Nothing changed before `at`. Where to look next: nothing can change before that either; kNever: nothing
  /// changes any more. `others`: the first moment from the last one looked at on at which anything but hours
  /// may change.
  Timestamp next(Timestamp at, Timestamp others);

 private:
  /// Changes of offset so close to each other that there is no ordinary week between them.
  struct Cluster {
    Timestamp first, last;
    /// Where in the week it begins, and each change's distance and offsets: clusters of one shape are alike.
    std::vector<std::int64_t> shape;
  };
  Timestamp offset_change_after(Timestamp moment) const;
  Cluster cluster_at(Timestamp first) const;
  Timestamp over_the_known(Timestamp at, Timestamp others);
  void add_offsets(Timestamp moment, std::vector<std::int64_t>& shape) const;

  std::array<const TimeZone*, 2> zones_;
  Timestamp quiet_;  ///< all was looked at from here on; no offset changes near it
  std::set<std::vector<std::int64_t>> looked_at_;  ///< shapes of clusters in which nothing changed
};

}  // namespace cordon::policy
