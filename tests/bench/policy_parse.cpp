// What it costs to parse and validate 5,000 rules in 200 files, and what the TOML parser alone costs of that.
// Times are of the CPU: it is one thread that waits for nothing, so they are what an idle core takes.

#include <fmt/format.h>
#include <time.h>
#include <toml++/toml.h>

#include <string_view>
#include <vector>

#include "policy/parse.h"
#include "tests/bench/report.h"

namespace cordon::bench {
namespace {

constexpr int kFiles = 200, kRulesPerFile = 25, kRuns = 15;
constexpr double kGoalMs = 150;

/// One file: two groups, a device class, two segments, and 25 rules as people write them.
std::string file(int number) {
  std::string out = fmt::format(
      "# Team {0}\n[groups]\nteam-{0} = {{ users = [\"ann.{0}@acme.example\", \"bob.{0}@acme.example\"], "
      "claims = "
      "[\"corp:team-{0}\"] }}\nguests-{0} = {{ users = [\"guest.{0}@vendor.example\"] }}\n\n"
      "[device_classes]\nmanaged-{0} = {{ ownership = [\"company\"], health_min = 0.7, require = "
      "[\"os_updates\"] "
      "}}\n\n"
      "[segments.app-{0}]\nmembers = [\"tag:app-{0}\"]\nsensitivity = \"high\"\nowner = \"team-{0}\"\n"
      "[segments.app-{0}.services]\nweb = [\"tcp/443\", \"tcp/8000-8099\"]\nadmin = [\"tcp/22\"]\n\n"
      "[segments.db-{0}]\nmembers = [\"tag:db-{0}\"]\n[segments.db-{0}.services]\nsql = [\"tcp/5432\"]\n\n",
      number);
  for (int i = 0; i < kRulesPerFile; ++i) {
    const int other = (number * 7 + i) % kFiles;
    switch (i % 5) {
      case 0:
      case 1:
        out += fmt::format(
            "[[allow]]\nname = \"team-{0}-{1}\"\ndescription = \"people of the team at work\"\nfrom = {{ "
            "groups = "
            "[\"team-{0}\"], devices = [\"managed-{0}\"] }}\nto = [\"app-{0}/web\", \"db-{2}/sql\"]\nwhen = "
            "{{ "
            "assurance = \"aal2\", auth_age_max = \"12h\", trust_min = 70, hours = \"Mon-Fri 08:00-18:00\", "
            "timezone "
            "= \"Asia/Taipei\", countries = [\"TW\", \"JP\"] }}\nlease = \"15m\"\n\n",
            number, i, other);
        break;
      case 2:
        out += fmt::format(
            "[[allow]]\nname = \"machines-{0}-{1}\"\nfrom = {{ segments = [\"app-{2}\"] }}\nto = "
            "[\"db-{0}/sql\", "
            "\"db-{0} tcp/{3}\"]\n\n",
            number, i, other, 6000 + i);
        break;
      case 3:
        out += fmt::format(
            "[[allow]]\nname = \"guests-{0}-{1}\"\nfrom = {{ groups = [\"guests-{0}\"] }}\nto = "
            "[\"app-{2}/web\"]\nwhen = {{ health_min = 0.5, valid_from = \"2026-01-01T00:00:00+08:00\", "
            "valid_until "
            "= \"2026-07-01T00:00:00+08:00\", source_networks = [\"198.51.100.0/24\", \"2001:db8::/32\"] "
            "}}\n\n",
            number, i, other);
        break;
      default:
        out += fmt::format(
            "[[forbid]]\nname = \"strong-{0}-{1}\"\nfrom = {{ groups = [\"guests-{0}\"] }}\nto = "
            "[\"app-{2}/admin\"]\nunless = {{ assurance = \"aal3\", health_min = 0.7 }}\n\n",
            number, i, other);
    }
  }
  return out;
}

double microseconds_on_cpu(const auto& work) {
  timespec start{}, end{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
  work();
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  return 1e6 * static_cast<double>(end.tv_sec - start.tv_sec) +
         1e-3 * static_cast<double>(end.tv_nsec - start.tv_nsec);
}

int run(bool json) {
  std::vector<SourceFile> files;
  std::size_t bytes = 0;
  for (int i = 0; i < kFiles; ++i) {
    files.push_back({.name = fmt::format("teams/team-{:03}.toml", i), .text = file(i)});
    bytes += files.back().text.size();
  }
  const auto check = policy::parse(files, system_time_zones());  // reads the zones too
  if (!check.ok() || check.policy->rules.size() != kFiles * kRulesPerFile) {
    fmt::print(stderr, "the policy of the benchmark is not accepted: {}\n",
               check.diagnostics.empty() ? "" : render(check.diagnostics.front()));
    return 1;
  }
  std::vector<double> all, parser;
  std::size_t sum = 0;
  for (int i = 0; i < kRuns; ++i) {
    all.push_back(
        microseconds_on_cpu([&] { sum += policy::parse(files, system_time_zones()).diagnostics.size(); }));
    parser.push_back(microseconds_on_cpu([&] {
      for (const SourceFile& one : files) sum += toml::parse(std::string_view(one.text)).size();
    }));
  }
  if (sum == 0) return 1;
  Report report("policy", json);
  const Sample parse = sample_of(all);
  report.add({.name = fmt::format("parse, 5000 rules, 200 files, {} KiB", bytes / 1024),
              .metric = "parse_us",
              .unit = "us",
              .sample = parse,
              .baseline = {},
              .goal = fmt::format("<= {:.0f} ms", kGoalMs),
              .met = parse.median <= 1000 * kGoalMs});
  report.add({.name = "of these, what toml++ alone takes",
              .metric = "toml_us",
              .unit = "us",
              .sample = sample_of(parser),
              .baseline = {},
              .goal = "",
              .met = {}});
  return 0;
}

}  // namespace
}  // namespace cordon::bench

int main(int count, char** arguments) {
  return cordon::bench::run(count > 1 && std::string_view(arguments[1]) == "--json");
}
