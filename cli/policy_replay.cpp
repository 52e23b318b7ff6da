// `cordon policy replay`: recorded traffic through the compiled maps and the real programs.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"
#include "cli/policy_facts.h"
#include "node/filter/replay.h"

namespace cordon::cli {
namespace {

struct ReplayOptions {
  std::string directory, facts, capture;
};

json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

std::string_view place_of(const node::ReplayedPacket& packet) {
  return packet.where == policy::Direction::egress ? "egress" : "ingress";
}

void print_packet(Context& context, const node::ReplayedPacket& packet) {
  const std::string_view verdict = packet.accept ? "accept" : "drop";
  if (context.as_json) {
    context.print_json({{"packet", packet.packet},
                        {"verdict", verdict},
                        {"rule", text_or_null(packet.rule)},
                        {"reason", text_or_null(packet.reason)},
                        {"where", place_of(packet)}});
    return;
  }
  std::string line = fmt::format("{:<7} {:<7} {:<8}", packet.packet, verdict, place_of(packet));
  if (!packet.rule.empty()) line += fmt::format(" \"{}\"", packet.rule);
  if (!packet.reason.empty()) line += fmt::format(" {}", packet.reason);
  context.env.out << printable(line) << '\n';
}

json::object counts_json(const std::map<std::string, std::size_t>& counts) {
  json::object out;
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

void print_totals(Context& context, const node::ReplayTotals& totals) {
  if (context.as_json) {
    context.print_json({{"totals", json::object{{"packets", totals.packets},
                                                {"accept", totals.accepted},
                                                {"drop", totals.dropped},
                                                {"rules", counts_json(totals.rules)},
                                                {"reasons", counts_json(totals.reasons)}}}});
    return;
  }
  context.env.out << fmt::format("\n{}: {} accepted, {} dropped\n", counted(totals.packets, "packet"),
                                 totals.accepted, totals.dropped);
  for (const auto& [name, count] : totals.rules)
    context.env.out << printable(fmt::format("{:>9}  by \"{}\"", count, name)) << '\n';
  for (const auto& [name, count] : totals.reasons)
    context.env.out << printable(fmt::format("{:>9}  {}", count, name)) << '\n';
}

bool has_addresses(const policy::World& world) {
  const auto known = [](const policy::OverlayAddresses& addresses) {
    return !addresses.v4.is_unspecified() || !addresses.v6.is_unspecified();
  };
  return std::ranges::any_of(world.devices,
                             [&](const auto& entry) { return known(entry.second.addresses); }) ||
         std::ranges::any_of(world.sessions,
                             [&](const auto& entry) { return known(entry.second.addresses); });
}

Result<int> replay_capture(Context& context, const ReplayOptions& asked) {
  CORDON_ASSIGN(const policy::PolicyPtr policy, load_policy(context, asked.directory));
  CORDON_ASSIGN(const policy::Facts facts, load_facts(context, asked.facts, policy));
  if (!has_addresses(facts.world))
    context.note("the facts give nobody \"addresses\", so every packet comes from a stranger");
  node::Replay replay(facts.world, facts.at.value_or(context.env.now()));
  CORDON_ASSIGN(node::Capture counting, node::Capture::open(asked.capture));
  CORDON_TRY(replay.prepare(std::move(counting)));
  CORDON_ASSIGN(node::Capture capture, node::Capture::open(asked.capture));
  const Result<> done = replay.run(std::move(capture), [&](const node::ReplayedPacket& packet) -> Result<> {
    print_packet(context, packet);
    if (!context.env.out) return fail(ErrorCode::io, "can't write to standard output");
    return {};
  });
  print_totals(context, replay.totals());
  if (!done) return std::unexpected(done.error());
  return kOk;
}

}  // namespace

void add_policy_replay(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<ReplayOptions>();
  CLI::App* made = command(
      policy, "replay",
      "runs each packet of a capture through a policy's compiled maps and the real kernel program, as root; "
      "works without a controller",
      "cordon policy replay /etc/cordon/policy --facts facts.json --pcap monday.pcap\n"
      "cordon policy replay /etc/cordon/policy --facts facts.json --pcap monday.pcapng --json | tail -1");
  add_directory(made, asked->directory);
  add_facts(made, asked->facts);
  made->add_option("--pcap", asked->capture, "recorded packets: pcap or pcapng, raw IP or Ethernet")
      ->required();
  does(made, context, [&context, asked] { return replay_capture(context, *asked); });
}

}  // namespace cordon::cli
