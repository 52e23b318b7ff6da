#pragma once
// What a tz file says of the years after its table: a line such as "CET-1CEST,M3.5.0,M10.5.0/3" (RFC 9636,
// section 3.3; POSIX.1-2024, 8.3 TZ).

#include <string_view>
#include <vector>

#include "base/time_zone.h"

namespace cordon {

/// The changes of offset in the years `first` to `last`, in order. Empty when there is no daylight saving,
/// and when the line can't be read.
std::vector<TimeZone::Span> spans_of_rule(std::string_view rule, int first, int last);

}  // namespace cordon
