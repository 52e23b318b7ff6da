#include "node/tunnel/uapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <set>

namespace cordon::node::wireguard {
namespace {

std::string hex(const WireguardKey& key) {
  return to_hex(key);
}

template <class T>
Result<T> uapi_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return fail(ErrorCode::protocol, "bad number");
  return value;
}

Result<WireguardKey> key(std::string_view text) {
  CORDON_ASSIGN(auto bytes, from_hex(text));
  WireguardKey out;
  if (bytes.size() != out.size()) return fail(ErrorCode::protocol, "key of a wrong length");
  std::ranges::copy(bytes, out.begin());
  return out;
}

/// wireguard-go prints a zone for link-local endpoints ("[fe80::1%eth0]:51820"); which interface it is, is
/// not ours.
Result<Endpoint> endpoint(std::string_view text) {
  std::string plain(text);
  if (const auto zone = plain.find('%'); zone != std::string::npos) {
    const auto bracket = plain.find(']', zone);
    if (bracket == std::string::npos) return fail(ErrorCode::protocol, "bad endpoint");
    plain.erase(zone, bracket - zone);
  }
  return Endpoint::parse(plain);
}

/// Reads a get's lines one by one into the state.
class GetParser {
 public:
  Result<> line(std::string_view name, std::string_view value) {
    if (name == "public_key") return open_peer(value);
    if (name != "allowed_ip" && !seen_.insert(std::string(name)).second) {
      return fail(ErrorCode::protocol, "key given twice");
    }
    return peer_ == nullptr ? device_line(name, value) : peer_line(name, value);
  }
  DeviceState take() { return std::move(state_); }

 private:
  Result<> open_peer(std::string_view value) {
    CORDON_ASSIGN(auto public_key, key(value));
    if (!peers_.insert(public_key).second) return fail(ErrorCode::protocol, "peer given twice");
    peer_ = &state_.peers.emplace_back();
    peer_->public_key = public_key;
    seen_.clear();
    return {};
  }

  Result<> device_line(std::string_view name, std::string_view value) {
    if (name == "private_key") {
      // Checked in form, not kept.
      const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
      if (value.size() != 64 || !std::ranges::all_of(value, digit))
        return fail(ErrorCode::protocol, "bad key");
      return {};
    }
    if (name == "listen_port") return set(state_.listen_port, uapi_number<std::uint16_t>(value));
    if (name == "fwmark") return set(state_.firewall_mark, uapi_number<std::uint32_t>(value));
    return only_known_elsewhere(name, {"endpoint", "allowed_ip", "persistent_keepalive_interval", "rx_bytes",
                                       "tx_bytes", "last_handshake_time_sec", "last_handshake_time_nsec"});
  }

  Result<> peer_line(std::string_view name, std::string_view value) {
    if (name == "endpoint") {
      CORDON_ASSIGN(peer_->endpoint, endpoint(value));
      return {};
    }
    if (name == "allowed_ip") {
      CORDON_ASSIGN(auto prefix, Prefix::parse(value));
      peer_->allowed_ips.push_back(prefix);
      return {};
    }
    if (name == "preshared_key") return set(peer_->preshared_key, key(value));
    if (name == "persistent_keepalive_interval")
      return set(peer_->keepalive_s, uapi_number<std::uint16_t>(value));
    if (name == "rx_bytes") return set(peer_->received_bytes, uapi_number<std::uint64_t>(value));
    if (name == "tx_bytes") return set(peer_->sent_bytes, uapi_number<std::uint64_t>(value));
    if (name == "last_handshake_time_sec")
      return set(peer_->last_handshake.seconds, uapi_number<std::int64_t>(value));
    if (name == "last_handshake_time_nsec") {
      return set(peer_->last_handshake.nanoseconds, uapi_number<std::int64_t>(value));
    }
    return only_known_elsewhere(name, {"private_key", "listen_port", "fwmark"});
  }

  template <class T>
  static Result<> set(T& field, Result<T> value) {
    CORDON_ASSIGN(field, std::move(value));
    return {};
  }

  static Result<> only_known_elsewhere(std::string_view name,
                                       std::initializer_list<std::string_view> elsewhere) {
    if (std::ranges::find(elsewhere, name) != elsewhere.end())
      return fail(ErrorCode::protocol, "key out of place");
    return {};
  }

  DeviceState state_;
  PeerState* peer_ = nullptr;
  std::set<std::string, std::less<>> seen_;  // of the device, or of this peer
  std::set<WireguardKey> peers_;
};

/// Calls `each` for every line before errno, and checks the end of the reply.
template <class Each>
Result<> walk(std::string_view reply, Each each) {
  for (std::size_t count = 1;; ++count) {
    const auto end = reply.find('\n');
    if (end == std::string_view::npos) return fail(ErrorCode::protocol, "UAPI reply is cut off");
    const std::string_view line = reply.substr(0, end);
    reply.remove_prefix(end + 1);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return fail(ErrorCode::protocol, fmt::format("UAPI reply, line {}: not key=value", count));
    }
    const std::string_view name = line.substr(0, equals), value = line.substr(equals + 1);
    if (name != "errno") {
      if (auto taken = each(name, value); !taken) {
        // What the value was is left out: it may be a key.
        return fail(ErrorCode::protocol, fmt::format("UAPI reply, line {}: {}", count, taken.error().what));
      }
      continue;
    }
    const auto code = uapi_number<std::int32_t>(value);
    if (!code) return fail(ErrorCode::protocol, fmt::format("UAPI reply, line {}: bad errno", count));
    if (reply != "\n") return fail(ErrorCode::protocol, "UAPI reply doesn't end behind errno");
    // wireguard-go gives negative numbers, the specification positive ones.
    if (*code != 0) {
      const std::int64_t wide = *code;
      return fail_errno("wireguard-go refused",
                        static_cast<int>(std::min<std::int64_t>(wide < 0 ? -wide : wide, 4095)));
    }
    return {};
  }
}

}  // namespace

std::string uapi_set(const DeviceChange& change) {
  std::string out = "set=1\n";
  auto to = std::back_inserter(out);
  // Reserved in full: no shorter copy of a secret key stays behind in freed memory.
  out.reserve(256 + change.peers.size() * 384);
  if (change.private_key) {
    std::string secret = hex(*change.private_key);
    out.append("private_key=").append(secret).append("\n");
    explicit_bzero(secret.data(), secret.size());
  }
  if (change.listen_port) fmt::format_to(to, "listen_port={}\n", *change.listen_port);
  if (change.firewall_mark) fmt::format_to(to, "fwmark={}\n", *change.firewall_mark);
  for (const PeerChange& peer : change.peers) {
    fmt::format_to(to, "public_key={}\n", hex(peer.public_key));
    if (peer.remove) {
      out += "remove=true\n";
      continue;
    }
    if (peer.update_only) out += "update_only=true\n";
    if (peer.preshared_key) {
      std::string secret = hex(*peer.preshared_key);
      out.append("preshared_key=").append(secret).append("\n");
      explicit_bzero(secret.data(), secret.size());
    }
    if (peer.endpoint) fmt::format_to(to, "endpoint={}\n", peer.endpoint->to_string());
    if (peer.keepalive_s) fmt::format_to(to, "persistent_keepalive_interval={}\n", *peer.keepalive_s);
    for (const Prefix& prefix : peer.add_allowed_ips) {
      fmt::format_to(to, "allowed_ip={}/{}\n", prefix.address.to_string(), prefix.length());
    }
  }
  out += "\n";
  return out;
}

Result<DeviceState> parse_uapi_get(std::string_view reply) {
  GetParser parser;
  CORDON_TRY(
      walk(reply, [&](std::string_view name, std::string_view value) { return parser.line(name, value); }));
  return parser.take();
}

Result<> parse_uapi_set(std::string_view reply) {
  return walk(reply, [](std::string_view, std::string_view) -> Result<> {
    return fail(ErrorCode::protocol, "a set answers with errno alone");
  });
}

}  // namespace cordon::node::wireguard
