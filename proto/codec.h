#pragma once
// Wire messages to and from our own types. Decoding checks every length, range and enum: what it returns is
// safe to use.

#include <vector>

#include "policy/node_state.h"
#include "proto/cordon.pb.h"

namespace cordon::wire {

/// Message bytes to a message with a body; anything else is `protocol`.
Result<ToController> decode_to_controller(std::string_view bytes);
Result<ToNode> decode_to_node(std::string_view bytes);

/// An entry with its value, or (value null) its key alone.
Entry encode_entry(const policy::Key& key, const policy::Value* value);
/// The key; and the value unless `key_only`.
Result<policy::Change> decode_entry(const Entry& entry, bool key_only);

/// Parts of at most kPartEntries entries each and well under a frame.
inline constexpr std::size_t kPartEntries = 4096;

std::string encode_address(const Address& address);
Result<Address> decode_address(std::string_view bytes);
void encode_endpoint(const cordon::Endpoint& endpoint, Endpoint* out);
Result<cordon::Endpoint> decode_endpoint(const Endpoint& endpoint);
void encode_prefix(const cordon::Prefix& prefix, Prefix* out);
Result<cordon::Prefix> decode_prefix(const Prefix& prefix);

}  // namespace cordon::wire
