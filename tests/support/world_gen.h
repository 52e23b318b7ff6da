#pragma once
// Random worlds. Everything is drawn through one function `pick(n)` that gives 0 .. n-1, so that the same
// code serves rapidcheck (which shrinks towards 0: fewer and plainer things) and a seeded engine.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "policy/evaluate.h"
#include "tests/support/condition_gen.h"
#include "tests/support/world_builder.h"

namespace cordon::test {

/// A pick from a seeded engine.
inline Pick seeded(std::uint64_t seed) {
  return [engine = std::mt19937_64(seed)](std::uint32_t n) mutable {
    return static_cast<std::uint32_t>(engine() % n);
  };
}

struct WorldShape {
  std::uint32_t users = 4, groups = 3, tags = 4, segments = 3, rules = 8, devices = 5, sessions = 5,
                behind = 3;
  bool conditions = false;  ///< rules with conditions and device classes, facts for them, trust settings
};

class WorldGen {
 public:
  explicit WorldGen(Pick pick, WorldShape shape = {})
      : pick_(std::move(pick)), shape_(shape), conditions_(pick_) {}

  /// Groups and segments, one stanza each. Each segment has the services "a" and "b".
  std::vector<std::string> definitions() {
    std::vector<std::string> out;
    for (std::uint32_t i = 0; i < shape_.groups; ++i)
      out.push_back(fmt::format("[groups.g{}]\nusers = {}\nclaims = [\"corp:c{}\"]\n", i,
                                list("u{}@acme.example", shape_.users), i));
    for (std::uint32_t i = 0; i < shape_.segments; ++i)
      out.push_back(
          fmt::format("[segments.s{}]\nmembers = {}\nmode = \"{}\"\nunderlay = "
                      "\"{}\"\n[segments.s{}.services]\na = {}\nb = {}\n",
                      i, list("tag:t{}", shape_.tags), pick_(4) == 3 ? "observe" : "enforce",
                      pick_(3) == 2 ? "open" : "guard", i, accesses(), accesses()));
    if (shape_.conditions) {
      out.push_back(conditions_.device_classes());
      out.push_back(conditions_.trust());
    }
    return out;
  }

  /// One stanza. `effect` is "allow" or "forbid".
  std::string rule(const std::string& name, const std::string& effect) {
    const bool allow = effect == "allow", responders = pick_(5) == 4;
    const std::string who = responders && allow ? groups() : from();
    const bool people = who.starts_with("groups") || who.starts_with("users");
    const bool classes = shape_.conditions && people && pick_(3) == 2;
    std::string out =
        fmt::format("[[{}]]\nname = \"{}\"\nfrom = {{ {}{} }}\nto = {}\n", effect, name, who,
                    classes ? ", devices = " + list("c{}", ConditionGen::kClasses) : "", destinations());
    if (shape_.conditions) out += conditions(allow, people);
    if (responders) out += "responders = true\n";
    if (allow) out += fmt::format("lease = \"{}\"\n", std::array{"15m", "5m", "1h"}[pick_(3)]);
    return out;
  }

  std::vector<std::string> rules() {
    std::vector<std::string> out;
    const std::uint32_t count = pick_(shape_.rules + 1);
    for (std::uint32_t i = 0; i < count; ++i)
      out.push_back(rule(fmt::format("r{}", i), pick_(3) == 2 ? "forbid" : "allow"));
    return out;
  }

  /// Behind a gateway: a host, a subnet, or both families of one.
  policy::Device& behind(WorldBuilder& builder, std::uint32_t number) {
    const std::string v4 =
        fmt::format("10.{}.{}.{}", number / 256, number % 256, pick_(2) == 0 ? "7/32" : "0/24");
    std::vector<std::string> prefixes{v4};
    if (pick_(2) == 1) prefixes.push_back(fmt::format("2001:db8:{:x}::/64", number));
    policy::Device& device = builder.behind(fmt::format("b{}", number),
                                            fmt::format("d{}", pick_(shape_.devices)), prefixes, tags());
    device.isolated = pick_(8) == 7;
    return device;
  }

  /// Devices d0.., what is behind some of them b0.., sessions s-0.. of users u0@acme.example.., some pending,
  /// isolated, disabled or over.
  WorldBuilder inhabitants() {
    WorldBuilder builder;
    for (std::uint32_t i = 0; i < shape_.users; ++i) {
      policy::User& user = builder.user(fmt::format("u{}@acme.example", i));
      user.disabled = pick_(8) == 7;
      if (shape_.conditions && pick_(8) == 7) user.name.clear();  // nobody knows who
    }
    for (std::uint32_t i = 0; i < shape_.devices; ++i) {
      policy::Device& device = builder.device(fmt::format("d{}", i));
      device.tags = tags();
      if (shape_.conditions) conditions_.fill(device);
      device.isolated = pick_(8) == 7;
      constexpr std::array kStates{policy::DeviceState::active, policy::DeviceState::pending,
                                   policy::DeviceState::removed};
      device.state = kStates[pick_(12) < 10 ? 0 : 1 + pick_(2)];
    }
    const std::uint32_t behind_gateways = pick_(shape_.behind + 1);
    for (std::uint32_t i = 0; i < behind_gateways; ++i) behind(builder, i);
    for (std::uint32_t i = 0; i < shape_.sessions; ++i) {
      policy::Session session =
          builder.session(fmt::format("s-{}", i), fmt::format("u{}@acme.example", pick_(shape_.users)),
                          fmt::format("d{}", pick_(shape_.devices)), end());
      if (shape_.conditions) conditions_.fill(session);
      if (pick_(3) == 2) session.claims.insert(fmt::format("corp:c{}", pick_(shape_.groups)));
      builder.world().sessions.put(std::move(session));
    }
    return builder;
  }

  WorldBuilder world() {
    std::string text;
    for (const std::string& stanza : definitions()) text += stanza;
    for (const std::string& stanza : rules()) text += stanza;
    WorldBuilder builder = inhabitants();
    builder.policy(text);
    return builder;
  }

  std::uint8_t protocol() {
    constexpr std::array<std::uint8_t, 6> kAll{policy::kTcp,    policy::kUdp,  policy::kIcmp,
                                               policy::kIcmpv6, policy::kSctp, 47};
    return kAll[pick_(kAll.size())];
  }
  std::uint16_t port() {
    constexpr std::array<std::uint16_t, 14> kEdges{443, 0,  8,   9,   53,   79,   80,
                                                   90,  91, 128, 442, 8443, 8444, 65535};
    return pick_(4) == 3 ? static_cast<std::uint16_t>(pick_(65536)) : kEdges[pick_(kEdges.size())];
  }
  std::uint32_t number(std::uint32_t below) { return pick_(below); }

 private:
  std::set<std::string> tags() {
    std::set<std::string> out;
    for (std::uint32_t t = 0; t < shape_.tags; ++t)
      if (pick_(2) == 1) out.insert(fmt::format("t{}", t));
    return out;
  }
  Timestamp end() {
    using std::chrono::minutes;
    const std::array ends{kNever, kNow + minutes(120), kNow + minutes(30), kNow + minutes(10),
                          kNow,   kNow - minutes(1)};
    return ends[pick_(ends.size())];
  }

  /// Some of pattern(0) .. pattern(count - 1), at least one.
  std::string list(const char* pattern, std::uint32_t count) {
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < count; ++i)
      if (pick_(3) == 2) names.push_back(fmt::format(fmt::runtime(pattern), i));
    if (names.empty()) names.push_back(fmt::format(fmt::runtime(pattern), pick_(count)));
    return fmt::format("[\"{}\"]", fmt::join(names, "\", \""));
  }

  std::string access() {
    constexpr std::array kAll{"tcp/443", "tcp/80-90", "udp/53",    "tcp",    "any",          "ping",
                              "icmp/8",  "sctp/9",    "udp/1-442", "icmpv6", "tcp/443-8443", "tcp/9"};
    return kAll[pick_(kAll.size())];
  }
  std::string accesses() { return fmt::format("[\"{}\", \"{}\"]", access(), access()); }

  std::string conditions(bool allow, bool people) {
    using Kind = ConditionGen::Kind;
    const Kind any = people ? Kind::person : Kind::device;
    std::string out;
    if (pick_(4) != 0) out += fmt::format("when = {}\n", conditions_.conditions(allow ? any : Kind::forbid));
    if (!allow && pick_(2) == 1) out += fmt::format("unless = {}\n", conditions_.conditions(any));
    return out;
  }

  std::string groups() { return "groups = " + list("g{}", shape_.groups); }
  std::string from() {
    switch (pick_(4)) {
      case 0:
        return groups();
      case 1:
        return "users = " + list("u{}@acme.example", shape_.users);
      case 2:
        return "segments = " + list("s{}", shape_.segments);
      default:
        return "tags = " + list("t{}", shape_.tags);
    }
  }

  std::string destination() {
    const std::uint32_t segment = pick_(shape_.segments);
    switch (pick_(4)) {
      case 0:
        return fmt::format("s{}/a", segment);
      case 1:
        return fmt::format("s{}/b", segment);
      case 2:
        return fmt::format("s{}/*", segment);
      default:
        return fmt::format("s{} {}", segment, access());
    }
  }
  std::string destinations() {
    return pick_(2) == 0 ? fmt::format("[\"{}\"]", destination())
                         : fmt::format("[\"{}\", \"{}\"]", destination(), destination());
  }

  Pick pick_;
  WorldShape shape_;
  ConditionGen conditions_;
};

/// Every principal there is: all devices, all sessions, and one of each that nobody knows.
inline std::vector<policy::PrincipalRef> all_principals(const policy::World& world) {
  std::vector<policy::PrincipalRef> out{DeviceId{"nobody"}, SessionId{"s-none"}};
  for (const auto& [id, device] : world.devices) out.emplace_back(id);
  for (const auto& [id, session] : world.sessions) out.emplace_back(id);
  return out;
}

/// The device a principal is on ("" for an unknown one) and its addresses.
inline DeviceId device_of(const policy::World& world, const policy::PrincipalRef& principal) {
  if (const auto* id = std::get_if<DeviceId>(&principal)) return *id;
  const auto session = world.sessions.find(std::get<SessionId>(principal));
  return session == world.sessions.end() ? DeviceId{} : session->second.device;
}
inline policy::OverlayAddresses addresses_of(const policy::World& world,
                                             const policy::PrincipalRef& principal) {
  if (const auto* id = std::get_if<DeviceId>(&principal)) {
    const auto device = world.devices.find(*id);
    return device == world.devices.end() ? policy::OverlayAddresses{} : device->second.addresses;
  }
  const auto session = world.sessions.find(std::get<SessionId>(principal));
  return session == world.sessions.end() ? policy::OverlayAddresses{} : session->second.addresses;
}

}  // namespace cordon::test
