#include "node/agent/guard_file.h"

#include "base/log.h"

namespace cordon::node {
namespace {

policy::NodeState guards_of(const policy::NodeState& state) {
  policy::NodeState out;
  if (const auto it = state.entries.find(policy::SettingsKey{}); it != state.entries.end())
    out.entries.insert(*it);
  for (auto it = state.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}});
       it != state.entries.end() && std::holds_alternative<policy::GuardKey>(it->first); ++it)
    out.entries.insert(*it);
  return out;
}

}  // namespace

Result<> GuardFile::keep(Revision revision, const policy::NodeState& state,
                         const std::vector<Endpoint>& peers) {
  SavedState wanted{.revision = revision, .state = guards_of(state), .ends = peers};
  if (kept_ && kept_->state == wanted.state && kept_->ends == wanted.ends) return {};
  CORDON_TRY(save_state(file_, wanted));
  kept_ = std::move(wanted);
  return {};
}

void GuardFile::forget() {
  std::error_code ignored;
  std::filesystem::remove(file_, ignored);
  kept_.reset();
}

Result<bool> GuardFile::restore(Filter& filter, Network& network, std::string_view interface) const {
  auto saved = load_state(file_);
  if (saved && !*saved) return false;
  policy::NodeState state;
  if (saved) {
    state = std::move((*saved)->state);
    CORDON_TRY(filter.set_peers((*saved)->ends));
  } else {
    log::error("node.guard", "isolated until a controller says otherwise: {}", saved.error().message());
    state.entries[policy::SettingsKey{}] = policy::SettingsValue{.device = {}, .isolated = true};
  }
  CORDON_TRY(filter.replace(state, TimeBase{}));
  std::vector<Prefix> overlay;
  for (const Prefix& prefix : {state.settings()->overlay_v4, state.settings()->overlay_v6})
    if (!prefix.address.is_unspecified()) overlay.push_back(prefix);
  if (overlay.empty()) return true;
  // A kernel without IPv6 has none of its routes, and is to be guarded all the same.
  if (const auto set = network.set_last_routes(interface, overlay); !set)
    log::warning("node.guard", "{}", set.error().message());
  return true;
}

}  // namespace cordon::node
