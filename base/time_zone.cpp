#include "base/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>

namespace cordon {
namespace {

constexpr std::size_t kMostSpans = 4096;

/// The library reads what zic wrote into the files: to 2037 where daylight saving goes on for ever. From then
/// on the last offset stays.
TimeZonePtr load(const date::time_zone& zone, std::string name) {
  std::vector<TimeZone::Span> spans;
  auto moment = date::sys_seconds(std::chrono::seconds(0));
  while (spans.size() < kMostSpans) {
    const date::sys_info info = zone.get_info(moment);
    const bool first = spans.empty();
    if (first || spans.back().offset != info.offset)
      spans.push_back({first ? std::chrono::sys_seconds::min() : info.begin, info.offset});
    if (info.end >= date::sys_days(date::year{2200} / 1 / 1)) break;
    moment = info.end;
  }
  return std::make_shared<const TimeZone>(std::move(name), std::move(spans));
}

class SystemTimeZones final : public TimeZones {
 public:
  TimeZonePtr find(std::string_view name) const override {
    const std::lock_guard lock(mutex_);
    if (const auto known = zones_.find(name); known != zones_.end()) return known->second;
    TimeZonePtr zone;
    try {
      zone = load(*date::locate_zone(std::string(name)), std::string(name));
    } catch (const std::exception&) {
      return nullptr;  // not cached: names come from people, without bound
    }
    return zones_.emplace(std::string(name), std::move(zone)).first->second;
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    try {
      for (const date::time_zone& zone : date::get_tzdb().zones) all.push_back(zone.name());
    } catch (const std::exception&) {
      all.clear();  // a machine without tzdata: no zone is found either
    }
    return all;
  }

  std::string version() const override {
    std::string hash, word, version = "unknown";
    std::ifstream file("/usr/share/zoneinfo/tzdata.zi");  // begins "# version 2025b"
    if (file >> hash >> word && hash == "#" && word == "version") file >> version;
    return version;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::string, TimeZonePtr, std::less<>> zones_;
};

}  // namespace

TimeZone::TimeZone(std::string name, std::vector<Span> spans)
    : name_(std::move(name)), spans_(std::move(spans)) {}

Seconds TimeZone::offset_at(std::chrono::sys_seconds moment) const {
  const auto after = std::ranges::upper_bound(spans_, moment, {}, &Span::begin);
  return after == spans_.begin() ? after->offset : std::prev(after)->offset;
}

std::chrono::sys_seconds TimeZone::next_change(std::chrono::sys_seconds moment) const {
  const auto after = std::ranges::upper_bound(spans_, moment, {}, &Span::begin);
  return after == spans_.end() ? std::chrono::sys_seconds::max() : after->begin;
}

const TimeZones& system_time_zones() {
  static const SystemTimeZones zones;
  return zones;
}

}  // namespace cordon
