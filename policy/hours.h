#pragma once
// Windows of wall time in a time zone (P11).

#include <string>

#include "policy/conditions.h"

namespace cordon::policy {

/// Is `now` in one of the windows, and until when that stays so; windows that adjoin or overlap are one.
/// A wall time that a change of offset skips is the moment of the change; of one that comes twice the first
/// counts for a start and the last for an end.
Outlook outlook_of(const Hours& hours, Timestamp now);

/// Just whether it is.
bool in_hours(const Hours& hours, Timestamp now);

/// "Mon-Fri 08:00-18:00 or Sat 09:00-12:00, Asia/Taipei"
std::string to_string(const Hours& hours);

/// "Mon 10:00, Asia/Taipei"
std::string wall_time(const TimeZone& zone, Timestamp now);

}  // namespace cordon::policy
