#pragma once
// Random conditions, device classes and trust settings as text, and random facts for them to meet or miss.
// Times lie around kNow (a Monday, 10:00 UTC), many of them exactly on an edge.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "policy/facts.h"
#include "tests/support/world_builder.h"

namespace cordon::test {

/// Gives 0 .. n-1.
using Pick = std::function<std::uint32_t(std::uint32_t)>;

class ConditionGen {
 public:
  explicit ConditionGen(Pick pick) : pick_(std::move(pick)) {}

  /// What a rule's `when` or `unless` may hold.
  enum class Kind {
    person,  ///< of an allow or in `unless`, for people
    device,  ///< the same for devices acting for themselves
    forbid,  ///< a forbid's `when`
  };

  /// "{ trust_min = 70, countries = [\"TW\"] }", of at most `most` conditions; at least one.
  std::string conditions(Kind kind, std::uint32_t most = 3) {
    std::vector<std::string> parts;
    for (std::uint32_t i = 0, count = 1 + pick_(most); i < count; ++i) {
      std::string part = condition(kind);
      if (!std::ranges::any_of(parts, [&](const auto& other) { return same_key(part, other); }))
        parts.push_back(std::move(part));
    }
    return fmt::format("{{ {} }}", fmt::join(parts, ", "));
  }

  static constexpr std::uint32_t kClasses = 3;
  /// Device classes c0, c1, c2.
  std::string device_classes() {
    std::string out;
    for (std::uint32_t i = 0; i < kClasses; ++i) {
      out += fmt::format("[device_classes.c{}]\n", i);
      if (pick_(2) == 1) out += fmt::format("ownership = [\"{}\"]\n", pick_(2) ? "company" : "personal");
      if (pick_(3) == 2) out += health_min() + "\n";
      if (pick_(3) == 2) out += require() + "\n";
      if (pick_(4) == 3) out += attestation() + "\n";
      out += fmt::format("tags = [\"t{}\", \"t{}\"]\n", pick_(4), pick_(4));
    }
    return out;
  }

  std::string trust() {
    std::string out =
        fmt::format("[trust]\nmethod = \"{}\"\n", std::array{"hybrid", "rules", "score"}[pick_(3)]);
    if (pick_(3) == 2) out += "attestation = { tpm = 10 }\nunattested_health_max = 0.7\n";
    if (pick_(3) == 2) out += "weights = { identity = 0.7, device = 0.2, behaviour = 0.1 }\n";
    return out;
  }

  void fill(policy::Device& device) {
    using policy::Ownership;
    if (pick_(4) != 3) device.ownership = pick_(2) ? Ownership::company : Ownership::personal;
    if (pick_(4) != 3) {
      device.checks.emplace();
      for (const char* check : kChecks)
        if (pick_(4) != 3) device.checks->insert(check);
    }
    if (pick_(3) != 2)
      device.attestation = pick_(2) ? policy::Attestation::tpm : policy::Attestation::software;
    if (pick_(4) != 3)
      device.source =
          Address::parse(std::array{"198.51.100.20", "203.0.113.7", "2001:db8::5"}[pick_(3)]).value();
    if (pick_(4) != 3) device.country = std::array{"TW", "US"}[pick_(2)];
  }

  void fill(policy::Session& session) {
    constexpr std::array kAssurances{policy::Assurance::aal1, policy::Assurance::aal2,
                                     policy::Assurance::aal3};
    session.assurance.reset();
    session.authenticated_at.reset();
    if (pick_(6) != 5) session.assurance = kAssurances[pick_(3)];
    // Of 10 minutes the half is 5; one second past the whole is an edge as well.
    constexpr std::array kAges{0, 299, 300, 301, 599, 600, 601, 3600, 11 * 3600, -120};
    if (pick_(6) != 5)
      session.authenticated_at =
          kNow - Seconds(kAges[pick_(kAges.size())]) - std::chrono::microseconds(pick_(2));
    for (std::uint32_t i = pick_(3); i > 0; --i)
      session.signals.push_back(policy::Signal{.name = fmt::format("odd-{}", i),
                                               .cost = static_cast<int>(10 * pick_(11)),
                                               .until = pick_(4) == 3 ? kNever : near()});
  }

  /// A moment within some minutes of kNow, before, at or after it.
  Timestamp near() {
    constexpr std::array kSeconds{60, 0, -60, 1, 240, 300, 899, 900, 901, 3600, -3600};
    return kNow + Seconds(kSeconds[pick_(kSeconds.size())]);
  }

 private:
  static constexpr std::array kChecks{"os_updates", "antivirus_updates", "application_updates",
                                      "configuration"};

  /// Of valid_from and valid_until one is enough.
  static bool same_key(const std::string& a, const std::string& b) {
    constexpr std::array kKeys{"valid_",    "auth_age_max", "trust_min",   "health_min", "source_networks",
                               "countries", "require",      "attestation", "hours",      "assurance"};
    return std::ranges::any_of(kKeys, [&](const char* key) { return a.contains(key) && b.contains(key); });
  }

  std::string condition(Kind kind) {
    const std::uint32_t of_time_and_place = 5, of_device = 3, of_person = 4;
    std::uint32_t choices = of_time_and_place;
    if (kind != Kind::forbid) choices += of_device;
    if (kind == Kind::person) choices += of_person;
    switch (pick_(choices)) {
      case 0:
        return hours();
      case 1:
        return fmt::format("valid_from = \"{}\"", format_rfc3339(near()));
      case 2:
        return fmt::format("valid_until = \"{}\"", format_rfc3339(near()));
      case 3:
        return fmt::format("source_networks = [\"{}\"]",
                           std::array{"198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"}[pick_(3)]);
      case 4:
        return fmt::format("countries = [\"{}\"]", pick_(2) ? "TW" : "US");
      case 5:
        return health_min();
      case 6:
        return require();
      case 7:
        return attestation();
      case 8:
        return fmt::format("assurance = \"aal{}\"", 1 + pick_(3));
      case 9:
        return fmt::format("auth_age_max = \"{}\"", age());
      case 10:
        return fmt::format("trust_min = {}", trust_min());
      default:  // what makes trust fall with time
        return fmt::format("trust_min = {}, auth_age_max = \"{}\"", trust_min(), age());
    }
  }

  std::string hours() {
    constexpr std::array kHours{
        R"(hours = "Mon-Fri 08:00-18:00", timezone = "UTC")",
        R"(hours = "* 10:00-10:10", timezone = "UTC")",
        R"(hours = "Mon 09:00-10:00", timezone = "UTC")",
        R"(hours = ["Mon 09:00-10:04", "Mon 10:04-10:30"], timezone = "UTC")",
        R"(hours = "Mon 10:05-11:00", timezone = "UTC")",
        R"(hours = "* 00:00-00:00", timezone = "Europe/Berlin")",
        R"(hours = "Sun 22:00-18:02", timezone = "Asia/Taipei")",
        R"(hours = "Fri-Mon 18:01-02:00", timezone = "Asia/Taipei")",
        R"(hours = "Sat,Sun 08:00-18:00", timezone = "America/New_York")",
        // One and the same but for some weeks in spring and autumn.
        R"(hours = "* 14:00-15:00", timezone = "Europe/London")",
        R"(hours = "* 09:00-10:00", timezone = "America/New_York")",
    };
    return kHours[pick_(kHours.size())];
  }

  std::string health_min() {
    return fmt::format("health_min = {}", std::array{"0.0", "0.3", "0.7", "0.9", "1.0"}[pick_(5)]);
  }
  std::string require() { return fmt::format("require = [\"{}\"]", kChecks[pick_(kChecks.size())]); }
  std::string attestation() { return fmt::format("attestation = \"{}\"", pick_(2) ? "tpm" : "software"); }
  std::string age() { return std::array{"10m", "1h", "12h"}[pick_(3)]; }
  int trust_min() { return std::array{60, 0, 50, 70, 75, 80, 90, 96, 100}[pick_(9)]; }

  Pick pick_;
};

}  // namespace cordon::test
