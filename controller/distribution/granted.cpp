#include "controller/distribution/granted.h"

#include <algorithm>

namespace cordon::controller {

namespace {

constexpr policy::PortRange kAllPorts{0, 65535};

bool grants(const policy::GrantValue* value) {
  return value != nullptr && !value->deny;
}

}  // namespace

void Granted::add(const policy::GrantKey& key, const policy::GrantValue& value) {
  if (!value.deny) rules_.insert(value.rule);
  if (key.protocol == 0) {
    any_ = &value;
    return;
  }
  const auto [ports, is_new] = protocols_.try_emplace(key.protocol);
  if (is_new) ports->second.paint(kAllPorts, any_);
  const auto others = static_cast<std::uint16_t>(0xffffu >> key.port_bits);
  ports->second.paint({key.port, static_cast<std::uint16_t>(key.port | others)}, &value);
}

std::vector<Granted::Stretch> Granted::allowed(const policy::Access& access) const {
  std::vector<Stretch> all;
  if (!access.protocol) {
    if (grants(any_)) all.push_back({access, any_});
    return all;
  }
  const auto ports = protocols_.find(*access.protocol);
  if (ports == protocols_.end()) {
    if (grants(any_)) all.push_back({access, any_});
    return all;
  }
  for (const auto& [range, value] : ports->second.runs()) {
    const policy::PortRange part{std::max(range.first, access.ports.first),
                                 std::min(range.last, access.ports.last)};
    if (part.first > part.last || !grants(value)) continue;
    if (!all.empty() && *all.back().grant == *value && all.back().access.ports.last + 1 == part.first)
      all.back().access.ports.last = part.last;
    else
      all.push_back({{.protocol = access.protocol, .ports = part}, value});
  }
  return all;
}

std::vector<policy::Access> Granted::but() const {
  std::vector<policy::Access> all;
  for (const auto& [protocol, ports] : protocols_)
    for (const auto& [range, value] : ports.runs()) {
      if (grants(value)) continue;
      if (!all.empty() && all.back().protocol == protocol && all.back().ports.last + 1 == range.first)
        all.back().ports.last = range.last;
      else
        all.push_back({.protocol = protocol, .ports = range});
    }
  return all;
}

}  // namespace cordon::controller
