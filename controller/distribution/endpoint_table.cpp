#include "controller/distribution/endpoint_table.h"

namespace cordon::controller {

bool EndpointTable::advertised(const DeviceId& device, const Endpoint& endpoint) {
  Known& known = known_[device];
  const bool changed = known.endpoint != endpoint;
  known.endpoint = endpoint;
  known.source = Source::advertisement;
  return changed;
}

bool EndpointTable::connected(const DeviceId& device, const Endpoint& endpoint) {
  Known& known = known_[device];
  // A reconnect from the same place says nothing new; from another one, what peers saw is out of date.
  const bool moved = known.connection != endpoint.address;
  known.connection = endpoint.address;
  if (known.source == Source::observation && !moved) return false;
  const bool changed = known.endpoint != endpoint;
  known.endpoint = endpoint;
  known.source = Source::connection;
  return changed;
}

bool EndpointTable::observed(const DeviceId& device, const Endpoint& endpoint) {
  const auto found = known_.find(device);
  if (found == known_.end() || found->second.source == Source::advertisement) return false;
  found->second.source = Source::observation;
  if (found->second.endpoint == endpoint) return false;
  found->second.endpoint = endpoint;
  return true;
}

std::optional<Endpoint> EndpointTable::find(const DeviceId& device) const {
  const auto found = known_.find(device);
  if (found == known_.end() || found->second.endpoint.port == 0) return std::nullopt;
  return found->second.endpoint;
}

}  // namespace cordon::controller
