#include "controller/distribution/controllers_told.h"

#include <algorithm>

#include "controller/core/config.h"
#include "controller/pki/authority.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/receipt.h"

namespace cordon::controller {

std::vector<Endpoint> node_endpoints(const ControllerConfig& config) {
  if (!config.advertise_nodes.empty()) return config.advertise_nodes;
  const Endpoint& listens = config.listen_nodes;
  if (listens.port == 0) return {};
  std::vector<Endpoint> out;
  for (const Address& address : config.advertise_addresses)
    out.push_back({.address = address, .port = listens.port});
  if (!listens.address.is_unspecified() && std::ranges::find(out, listens) == out.end())
    out.push_back(listens);
  return out;
}

bool sign_controllers(const ControllerConfig& config, const Authority& authority, Timestamp now,
                      wire::ToNode& out) {
  const std::vector<Endpoint> endpoints = node_endpoints(config);
  if (endpoints.empty()) return false;
  wire::Controllers& message = *out.mutable_controllers();
  for (const Endpoint& endpoint : endpoints) wire::encode_endpoint(endpoint, message.add_endpoints());
  // As the wire has it, in microseconds.
  message.set_at_us(to_us(now));
  const Bytes signature =
      authority.server_key().sign(wire::controllers_text(from_us(message.at_us()), endpoints));
  message.set_signature(std::string(as_text(signature)));
  message.set_signer_pem(authority.server_chain_pem());
  return true;
}

}  // namespace cordon::controller
