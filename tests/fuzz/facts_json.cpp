// links: cordon_policy
// Bytes as a facts file: either it is refused with places that are in it, or every question has an answer.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "policy/decide.h"
#include "tests/support/world_builder.h"

namespace {

using namespace cordon;

/// Every condition there is, so that every fact counts.
const policy::PolicyPtr& policy_with_everything() {
  static const policy::PolicyPtr policy = test::policy_of({{"policy.toml", R"(
[groups]
traders = { users = ["trader"], claims = ["corp:trading"] }
[device_classes]
managed = { ownership = ["company"], health_min = 0.7, require = ["os_updates"], attestation = "software" }
[segments.s]
members = ["tag:s", "device:d"]
[segments.s.services]
web = ["tcp/443", "ping"]
[[allow]]
name = "people"
from = { groups = ["traders"], devices = ["managed"] }
to = ["s/web"]
when = { assurance = "aal2", auth_age_max = "12h", trust_min = 70, hours = "Mon-Fri 08:00-18:00", timezone = "Europe/Berlin", countries = ["TW"], source_networks = ["198.51.100.0/24"] }
[[allow]]
name = "machines"
from = { tags = ["t"] }
to = ["s any"]
when = { health_min = 0.3, attestation = "tpm", valid_from = "2026-01-01T00:00:00Z", valid_until = "2027-01-01T00:00:00Z" }
[[forbid]]
name = "stop"
from = { groups = ["traders"] }
to = ["s/*"]
unless = { auth_age_max = "1h", trust_min = 60, require = ["configuration"] }
)"}});
  return policy;
}

void check(bool right) {
  if (!right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const SourceFile file{"facts.json", std::string(reinterpret_cast<const char*>(data), size)};
  const auto lines = static_cast<unsigned>(1 + std::ranges::count(file.text, '\n'));
  const policy::FactsResult result = policy::read_facts(file, policy_with_everything());
  check(result.facts.has_value() == result.diagnostics.empty());
  for (const policy::Diagnostic& diagnostic : result.diagnostics) {
    check(diagnostic.place.line <= lines && !diagnostic.message.empty());
    check(!render(diagnostic).empty());
  }
  if (!result.facts) return 0;
  const Timestamp now = result.facts->at.value_or(test::kNow);
  for (const policy::FactsQuery& query : result.facts->queries) {
    const policy::Decision decision = decide(result.facts->world, query, now);
    check(decision.verdict != policy::Verdict::allow || decision.deadline > now);
    check(!answer_line(query, decision, result.facts->offset).empty());
  }
  return 0;
}
