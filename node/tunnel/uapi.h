#pragma once
// The text of WireGuard's cross-platform userspace API (wireguard.com/xplatform). Pure; the socket is
// uapi_device.h.
//
//   request = "get=1" LF LF | "set=1" LF { line } LF
//   reply   = { line } "errno=" number LF LF
//   line    = key "=" value LF
// Keys are 64 lowercase hex digits, endpoints "a.b.c.d:port" or "[v6]:port". A line public_key= opens a peer;
// the lines up to the next one are its own.

#include <string>
#include <string_view>

#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

inline constexpr std::string_view kUapiGet = "get=1\n\n";

/// The request; it holds the secret keys that the change does: wipe it after use.
std::string uapi_set(const DeviceChange& change);

/// What a get answered. Strict: a line that breaks the grammar, a known key in the wrong place, twice or with
/// a bad value, and bytes behind the end are `protocol`, with the line's number but never its value. Keys we
/// don't know are passed over, as the specification asks. A nonzero errno is `io`.
Result<DeviceState> parse_uapi_get(std::string_view reply);
/// What a set answered.
Result<> parse_uapi_set(std::string_view reply);

}  // namespace cordon::node::wireguard
