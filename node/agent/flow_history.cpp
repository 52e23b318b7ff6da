#include "node/agent/flow_history.h"

namespace cordon::node {
namespace {

/// States may change thousands of times a second: owners are read anew so often at most.
constexpr BootNs kOwnersStandNs = 100'000'000;

std::string rule_called(RuleId rule, const policy::NodeState& state) {
  const auto found = state.entries.find(policy::RuleKey{rule});
  return found == state.entries.end() ? std::string{} : std::get<policy::RuleValue>(found->second).name;
}

}  // namespace

void FlowHistory::read_owners(const policy::NodeState& state) {
  owners_.clear();
  std::string own;
  if (const auto* settings = state.settings()) {
    own = settings->device.value;
    for (const Address& address : {settings->v4, settings->v6}) owners_[address] = {.device = own};
  }
  for (const auto& [key, value] : state.entries) {
    if (const auto* peer = std::get_if<policy::PeerKey>(&key)) {
      for (const Prefix& prefix : std::get<policy::PeerValue>(value).allowed_ips)
        owners_[prefix.address] = {.device = peer->device.value};
    } else if (const auto* session = std::get_if<policy::LocalSessionValue>(&value)) {
      for (const Address& address : {session->v4, session->v6})
        owners_[address] = {.device = own, .person = session->user, .uid = session->uid};
    }
  }
  owners_.erase(Address{});
}

const FlowHistory::Owner* FlowHistory::owner_of(const Address& address, const policy::NodeState& state,
                                                std::uint64_t version, BootNs now) {
  auto found = owners_.find(address);
  // An address has a new owner only long after the one before was gone: who was found stays right.
  if (found == owners_.end() && owners_of_ != version + 1 && now >= owners_at_ + kOwnersStandNs) {
    read_owners(state);
    owners_of_ = version + 1;  // 0 is none
    owners_at_ = now;
    found = owners_.find(address);
  }
  return found == owners_.end() ? nullptr : &found->second;
}

void FlowHistory::add(const FlowEvent& event, Timestamp at, const policy::NodeState& state,
                      std::uint64_t version, BootNs now) {
  SeenFlow seen{.id = next_++, .at = at, .event = event, .rule = rule_called(event.rule, state)};
  if (const Owner* source = owner_of(event.source, state, version, now)) {
    seen.source_device = source->device;
    seen.person = source->person;
    seen.uid = source->uid;
  } else if (event.direction == policy::Direction::egress) {
    if (const auto* settings = state.settings()) seen.source_device = settings->device.value;
  }
  if (const Owner* destination = owner_of(event.destination, state, version, now))
    seen.destination_device = destination->device;
  else if (event.kind == FlowEvent::Kind::underlay && event.direction == policy::Direction::ingress)
    if (const auto* settings = state.settings()) seen.destination_device = settings->device.value;
  if (flows_.size() >= most_) flows_.pop_front();
  flows_.push_back(std::move(seen));
}

FlowHistory::Page FlowHistory::after(std::uint64_t id, std::size_t limit,
                                     std::optional<std::uint32_t> of) const {
  const std::uint64_t first = next_ - flows_.size();
  Page page{.last = std::min(id, next_ - 1)};
  if (id + 1 < first) {
    if (!of) page.missed = first - id - 1;
    page.last = first - 1;
  }
  for (std::size_t i = page.last + 1 - first; i < flows_.size() && page.flows.size() < limit; ++i) {
    page.last = flows_[i].id;
    if (!of || flows_[i].uid == of) page.flows.push_back(&flows_[i]);
  }
  return page;
}

}  // namespace cordon::node
