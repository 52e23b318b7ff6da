#include "base/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>

#include "base/files.h"
#include "base/posix_time_zone.h"

namespace cordon {
namespace {

constexpr std::size_t kMostSpans = 4096;

constexpr int kLastYear = 2199;
constexpr std::size_t kMaxZoneFileBytes = 1u << 20;

/// The rule for the years after the table: the last line of the zone's file. Empty: it can't be read.
std::string rule_of(const std::string& name) {
  const auto file = read_file("/usr/share/zoneinfo/" + name, kMaxZoneFileBytes);
  if (!file || !file->starts_with("TZif") || !file->ends_with('\n')) return {};
  const auto start = file->rfind('\n', file->size() - 2);
  return start == std::string::npos ? std::string() : file->substr(start + 1, file->size() - start - 2);
}

/// The library reads the table that zic wrote into the file, to 2037 where daylight saving goes on for ever.
void add_years_after_table(const std::string& rule, std::vector<TimeZone::Span>& spans) {
  const auto from = std::max(spans.back().begin, std::chrono::sys_seconds());
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(from));
  for (const TimeZone::Span& span : spans_of_rule(rule, static_cast<int>(day.year()), kLastYear))
    if (span.begin > spans.back().begin && span.offset != spans.back().offset) spans.push_back(span);
}

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
  add_years_after_table(rule_of(name), spans);
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
