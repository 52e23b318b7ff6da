#include "node/agent/interfaces.h"

#include <algorithm>

#include "base/log.h"

namespace cordon::node {

Result<> Interfaces::set_up() {
  auto attached = filter_.attach_overlay(tunnel_.ifindex());
  if (!attached)
    return std::unexpected(in_context(attached.error(), "attaching the filter to " + config_.interface));
  return refresh();
}

Result<> Interfaces::refresh() {
  guard();
  return follow_mtu();
}

void Interfaces::guard() {
  const auto attached = attach_underlay();
  std::string alarm = attached ? "" : "underlay guard: " + attached.error().message();
  if (!alarm.empty() && alarm != alarm_) log::error("node.agent", "{}", alarm);
  alarm_ = std::move(alarm);
}

void Interfaces::tell_networks() {
  const auto networks = network_.own_networks(tunnel_.ifindex());
  const auto told = networks ? filter_.set_networks(*networks) : Result<>(std::unexpected(networks.error()));
  std::string alarm;
  if (!told)
    alarm = "this host's own networks aren't known: " + told.error().message();
  else if (filter_.meets_overlay())
    alarm =
        "this host's own network or a controller has addresses of the overlay's prefix: there only packets "
        "with addresses that somebody in the overlay has are kept from going around it";
  if (!alarm.empty() && alarm != networks_alarm_) log::warning("node.agent", "{}", alarm);
  networks_alarm_ = std::move(alarm);
}

Result<> Interfaces::follow_mtu() {
  tell_networks();
  auto up = network_.set_up(tunnel_.ifindex(), mtu_.look(network_, reached()));
  if (!up) return std::unexpected(in_context(up.error(), "setting up " + config_.interface));
  return {};
}

std::set<Address> Interfaces::reached() const {
  std::set<Address> reached;
  for (const Endpoint& controller : config_.controllers) reached.insert(controller.address);
  if (const auto peers = tunnel_.peers())
    for (const PeerStatus& peer : *peers)
      if (peer.endpoint) reached.insert(peer.endpoint->address);
  return reached;
}

std::vector<unsigned> underlay_of(const NodeConfig& config, const std::vector<Link>& links, bool contained) {
  std::vector<unsigned> out;
  const auto& named = config.underlay_interfaces;
  for (const Link& link : links) {
    if (link.loopback || link.name == config.interface) continue;
    if (contained || named.empty() || std::ranges::find(named, link.name) != named.end())
      out.push_back(link.index);
  }
  return out;
}

Result<> Interfaces::attach_underlay() {
  CORDON_ASSIGN(const auto links, network_.links());
  links_.clear();
  for (const Link& link : links) links_.insert(link.index);
  return filter_.attach_underlay(underlay_of(config_, links, filter_.contained()));
}

}  // namespace cordon::node
