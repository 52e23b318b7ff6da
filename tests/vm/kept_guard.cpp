// Writes the guard.bin that a node on this host would have kept: kept_guard DIRECTORY isolated|guarded
// (guarded: tcp/443 is not reachable around the overlay).

#include <fmt/format.h>

#include <string_view>

#include "node/agent/guard_file.h"

int main(int argc, char** argv) {
  using namespace cordon;
  const std::string_view how = argc == 3 ? argv[2] : "";
  if (how != "isolated" && how != "guarded") {
    fmt::print(stderr, "kept_guard DIRECTORY isolated|guarded\n");
    return 2;
  }
  policy::NodeState state;
  state.entries[policy::SettingsKey{}] =
      policy::SettingsValue{.device = DeviceId("ledger"),
                            .isolated = how == "isolated",
                            .v4 = Address::parse("100.64.0.1").value(),
                            .v6 = Address::parse("fd00:c0de::1").value(),
                            .overlay_v4 = Prefix::parse("100.64.0.0/10").value(),
                            .overlay_v6 = Prefix::parse("fd00:c0de::/48").value(),
                            .underlay = policy::Underlay::guard};
  state.entries[policy::GuardKey{.protocol = policy::kTcp, .ports = {443, 443}}] = policy::GuardValue{};
  if (const auto kept = node::GuardFile(argv[1]).keep(Revision{1}, state, {}); !kept) {
    fmt::print(stderr, "{}\n", kept.error().message());
    return 1;
  }
  return 0;
}
