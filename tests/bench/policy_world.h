#pragma once
// A company for the policy engine's benchmark: a fifth of the devices are servers in segments of 20, the rest
// laptops; a fifth as many sessions as devices; a rule for every 20 devices.

#include <cstdint>
#include <string>

#include "policy/world.h"

namespace cordon::bench {

struct CompanySize {
  std::uint32_t devices = 100'000;
  std::uint32_t servers() const { return devices / 5; }
  std::uint32_t segments() const { return servers() / 20; }
  std::uint32_t sessions() const { return devices / 5; }
  std::uint32_t rules() const { return devices / 20; }
  std::uint32_t groups() const { return rules() / 10; }
  /// Whole segments whose servers are in one big segment too: 1 % of all devices.
  std::uint32_t big_segments() const { return (devices / 100 + 19) / 20; }
  bool in_big(std::uint32_t server) const { return server % segments() < big_segments(); }
};

inline constexpr std::int64_t kCompanyNowUs = 1'767'607'200'000'000;  // 2026-01-05T10:00:00Z, a Monday

DeviceId server_id(std::uint32_t number);
DeviceId laptop_id(std::uint32_t number);
SessionId session_id(std::uint32_t number);
/// Another session like the others, of user `number`, on the laptop of that number.
policy::Session session_of(const CompanySize& size, std::uint32_t number);

/// The policy's text; half of all people are staff, for whom `staff_rule` adds one rule.
std::string company_policy(const CompanySize& size, bool staff_rule);
/// Throws when the text has errors.
policy::PolicyPtr parse_company(const std::string& text);
void put_in_force(policy::World& world, policy::PolicyPtr policy);

policy::World company(const CompanySize& size);

}  // namespace cordon::bench
