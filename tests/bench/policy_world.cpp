#include "tests/bench/policy_world.h"

#include <fmt/format.h>

#include <stdexcept>

#include "policy/parse.h"

namespace cordon::bench {
namespace {

constexpr std::uint32_t kOverlay = 0x64400000u;  // 100.64.0.0/10

policy::OverlayAddresses addresses(std::uint32_t number) {
  Address v6 = Address::parse("fd12:3456:789a::").value();
  for (std::size_t i = 0; i < 4; ++i) v6.bytes[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  return {.v4 = Address::from_v4(kOverlay + number), .v6 = v6};
}

std::string user_name(std::uint32_t number) {
  return fmt::format("person-{}@acme.example", number);
}

policy::Device device(const DeviceId& id, std::uint32_t number) {
  policy::Device out;
  out.id = id;
  out.number = number;
  out.state = policy::DeviceState::active;
  out.ownership = policy::Ownership::company;
  out.checks = {"os_updates", "antivirus_updates", "application_updates"};
  out.attestation = policy::Attestation::software;
  out.source = Address::from_v4(0xc6336400u + number % 256);
  out.country = "TW";
  for (std::size_t i = 0; i < 4; ++i) out.wireguard_key[i] = static_cast<std::uint8_t>(number >> (8 * i));
  out.addresses = addresses(number);
  return out;
}

/// Of every ten rules five are for people, one of them with conditions, one for people on managed devices,
/// two for machines, and two forbid.
std::string rule(const CompanySize& size, std::uint32_t i) {
  const std::uint32_t group = i % size.groups();
  const std::uint32_t segment = (i * 7 + i / size.groups()) % size.segments();
  switch (i / size.groups() % 10) {
    case 0:
      return fmt::format(
          "[[allow]]\nname = \"r{}\"\nfrom = {{ groups = [\"g{}\"] }}\nto = [\"s{}/web\"]\nwhen = {{ "
          "assurance "
          "= \"aal2\", auth_age_max = \"12h\", trust_min = 60, hours = \"Mon-Fri 08:00-20:00\", timezone = "
          "\"UTC\" }}\n",
          i, group, segment);
    case 1:
      return fmt::format(
          "[[allow]]\nname = \"r{}\"\nfrom = {{ groups = [\"g{}\"], devices = [\"managed\"] }}\nto = "
          "[\"s{}/admin\"]\nlease = \"5m\"\n",
          i, group, segment);
    case 2:
    case 3:
      return fmt::format(
          "[[allow]]\nname = \"r{}\"\nfrom = {{ segments = [\"s{}\"] }}\nto = [\"s{}/db\", \"s{} tcp/{}\"]\n",
          i, (segment * 3 + 1) % size.segments(), segment, segment, 6000 + i % 50);
    case 4:
      return fmt::format(
          "[[forbid]]\nname = \"r{}\"\nfrom = {{ groups = [\"g{}\"] }}\nto = [\"s{}/*\"]\nunless = {{ "
          "health_min "
          "= 0.5 }}\n",
          i, group, segment);
    case 5:
      return fmt::format(
          "[[forbid]]\nname = \"r{}\"\nfrom = {{ groups = [\"g{}\"] }}\nto = [\"s{} tcp/22\"]\nwhen = {{ "
          "countries = [\"KP\"] }}\n",
          i, group, segment);
    default:
      return fmt::format("[[allow]]\nname = \"r{}\"\nfrom = {{ groups = [\"g{}\"] }}\nto = [\"s{}/{}\"]\n", i,
                         group, segment, i % 2 == 0 ? "web" : "db");
  }
}

}  // namespace

DeviceId server_id(std::uint32_t number) {
  return DeviceId{fmt::format("server-{:05}", number)};
}
DeviceId laptop_id(std::uint32_t number) {
  return DeviceId{fmt::format("laptop-{:05}", number)};
}
SessionId session_id(std::uint32_t number) {
  return SessionId{fmt::format("s-{:016x}", number)};
}

std::string company_policy(const CompanySize& size, bool staff_rule) {
  std::string out = "[groups]\nstaff = { claims = [\"corp:staff\"] }\n";
  for (std::uint32_t group = 0; group < size.groups(); ++group) {
    out += fmt::format("g{} = {{ users = [", group);
    // Each person is in two groups.
    for (std::uint32_t user = group; user < size.sessions(); user += size.groups())
      out += fmt::format("\"{}\", \"{}\", ", user_name(user), user_name((user * 13 + 5) % size.sessions()));
    out += "] }\n";
  }
  out +=
      "[device_classes]\nmanaged = { ownership = [\"company\"], health_min = 0.7, require = [\"os_updates\"] "
      "}\n";
  for (std::uint32_t segment = 0; segment < size.segments(); ++segment)
    out += fmt::format(
        "[segments.s{0}]\nmembers = [\"tag:t{0}\"]\n[segments.s{0}.services]\nweb = [\"tcp/443\", "
        "\"tcp/8000-8099\"]\ndb = [\"tcp/5432\"]\nadmin = [\"tcp/22\"]\n",
        segment);
  out += "[segments.big]\nmembers = [\"tag:big\"]\n[segments.big.services]\nlogs = [\"tcp/6514\"]\n";
  out +=
      "[[allow]]\nname = \"big-logs\"\nfrom = { segments = [\"s0\", \"s1\"], tags = [\"big\"] }\nto = "
      "[\"big/logs\"]\n";
  for (std::uint32_t i = 0; i + 1 < size.rules(); ++i) out += rule(size, i);
  if (staff_rule)
    out += "[[allow]]\nname = \"staff-site\"\nfrom = { groups = [\"staff\"] }\nto = [\"s2/web\"]\n";
  else  // a group is used, or it is warned of
    out +=
        "[[allow]]\nname = \"staff-wiki\"\nfrom = { groups = [\"staff\"] }\nto = [\"s2 udp/9\"]\nwhen = { "
        "countries = [\"AQ\"] }\n";
  return out;
}

policy::PolicyPtr parse_company(const std::string& text) {
  auto parsed = policy::parse({SourceFile{"company.toml", text}}, system_time_zones());
  if (parsed.ok()) return parsed.policy;
  std::string all;
  for (const auto& diagnostic : parsed.diagnostics) all += render(diagnostic) + "\n";
  throw std::runtime_error(all);
}

void put_in_force(policy::World& world, policy::PolicyPtr policy) {
  world.policy = std::move(policy);
  for (const policy::Rule& rule : world.policy->rules)
    if (world.rule_ids.emplace(rule.name, RuleId{world.next_rule}).second) ++world.next_rule;
  policy::number_targets(world);
}

policy::Session session_of(const CompanySize& size, std::uint32_t number) {
  const Timestamp now = from_us(kCompanyNowUs);
  policy::Session out;
  out.id = session_id(number);
  const std::uint32_t person = number % size.sessions();
  out.user = SubjectId{fmt::format("u-{:016x}", person)};
  out.device = laptop_id(person);
  out.assurance = policy::Assurance::aal2;
  if (person % 2 == 0) out.claims = {"corp:staff"};
  out.authenticated_at = now - Seconds(60 + person % 3000);
  out.ends_at = now + Seconds(8 * 3600 - person % 3000);
  out.uid = 1000;
  out.addresses = addresses(1'000'000 + number);
  return out;
}

policy::World company(const CompanySize& size) {
  policy::World world;
  world.installation.trust_domain = "acme.example";
  world.installation.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  world.installation.overlay_v6 = Prefix::parse("fd12:3456:789a::/48").value();
  world.revision = Revision{1};
  world.at = from_us(kCompanyNowUs);
  for (std::uint32_t i = 0; i < size.servers(); ++i) {
    policy::Device server = device(server_id(i), i + 1);
    server.tags = {fmt::format("t{}", i % size.segments())};
    if (size.in_big(i)) server.tags.insert("big");
    world.devices.emplace(server.id, std::move(server));
  }
  for (std::uint32_t i = 0; i < size.devices - size.servers(); ++i) {
    policy::Device laptop = device(laptop_id(i), size.servers() + i + 1);
    laptop.tags = {"laptop"};
    world.devices.emplace(laptop.id, std::move(laptop));
  }
  for (std::uint32_t i = 0; i < size.sessions(); ++i) {
    policy::User user;
    policy::Session session = session_of(size, i);
    user.id = session.user;
    user.issuer = "local";
    user.name = user_name(i);
    world.users.emplace(user.id, user);
    world.sessions.put(std::move(session));
  }
  put_in_force(world, parse_company(company_policy(size, false)));
  return world;
}

}  // namespace cordon::bench
