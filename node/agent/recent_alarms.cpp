#include "node/agent/recent_alarms.h"

#include <algorithm>

namespace cordon::node {

std::vector<std::string> RecentAlarms::found(const std::vector<std::string>& lines, BootNs now) {
  std::erase_if(last_seen_, [now](const auto& alarm) { return now - alarm.second >= kAlarmStandsNs; });
  std::vector<std::string> fresh;
  for (const std::string& line : lines) {
    if (!last_seen_.contains(line)) fresh.push_back(line);
    last_seen_[line] = now;
  }
  return fresh;
}

std::vector<std::string> RecentAlarms::standing(BootNs now) const {
  std::vector<std::string> out;
  for (const auto& [line, seen] : last_seen_)
    if (now - seen < kAlarmStandsNs) out.push_back(line);
  std::ranges::sort(out);
  return out;
}

}  // namespace cordon::node
