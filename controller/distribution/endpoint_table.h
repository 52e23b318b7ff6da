#pragma once
// Where each device's tunnel is reached: as it advertises, else from where it was seen last.

#include <map>
#include <optional>

#include "base/address.h"
#include "base/ids.h"

namespace cordon::controller {

class EndpointTable {
 public:
  /// As the device's own node.toml says: nothing that is seen overrides it. True: it is another now.
  bool advertised(const DeviceId& device, const Endpoint& endpoint);
  /// From where its control connection comes, until a peer sees better. True: it is another now.
  bool connected(const DeviceId& device, const Endpoint& endpoint);
  /// From where a peer sees its handshakes arrive. True: it is another now.
  bool observed(const DeviceId& device, const Endpoint& endpoint);
  std::optional<Endpoint> find(const DeviceId& device) const;
  void forget(const DeviceId& device) { known_.erase(device); }

 private:
  enum class Source { connection, observation, advertisement };
  struct Known {
    Endpoint endpoint;
    Source source = Source::connection;
    Address connection;  ///< of the last control connection
  };
  std::map<DeviceId, Known> known_;
};

}  // namespace cordon::controller
