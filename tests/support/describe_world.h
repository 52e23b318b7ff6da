#pragma once
// A world as text, for comparing two of them and for golden digests.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "controller/world/names.h"
#include "policy/world.h"

namespace cordon::test {

inline std::string describe(const policy::World& w) {
  std::string out = fmt::format("{} {} {}\n", w.revision.value, to_us(w.at), to_hex(w.head));
  out += fmt::format("installation {} {} {} {}\n", w.installation.trust_domain,
                     w.installation.overlay_v4.to_string(), w.installation.overlay_v6.to_string(),
                     w.installation.node_lease.count());
  out += fmt::format("policy {}\n", w.policy_revision.value);
  for (const auto& file : *w.policy_files) out += fmt::format("file {} {}\n", file.name, file.text);
  for (const auto& rule : w.policy->rules) out += fmt::format("rule {}\n", rule.name);
  for (const auto& [id, d] : w.devices) {
    out += fmt::format("device {} {} {} {} {} {} {} {} {} {} {} {} {}\n", id.value, d.number,
                       controller::device_state_name(d.state), fmt::join(d.tags, ","),
                       d.ownership ? controller::ownership_name(*d.ownership) : "-", to_hex(d.public_key_der),
                       to_hex(d.wireguard_key), d.addresses.v4.to_string(), d.addresses.v6.to_string(),
                       d.isolated, d.platform, d.token.value, to_us(d.enrolled_at));
  }
  for (const auto& [id, u] : w.users)
    out += fmt::format("user {} {} {} {}\n", id.value, u.issuer, u.name, u.disabled);
  for (const auto& [id, s] : w.sessions) {
    out += fmt::format("session {} {} {} {} {} {} {} {} {} {}\n", id.value, s.user.value, s.device.value,
                       controller::assurance_name(s.assurance.value_or(policy::Assurance::aal1)),
                       fmt::join(s.claims, ","), to_us(s.authenticated_at.value_or(Timestamp{})),
                       to_us(s.ends_at), s.uid, s.addresses.v4.to_string(), s.addresses.v6.to_string());
  }
  for (const auto& [id, t] : w.join_tokens) {
    out += fmt::format("join token {} {} {} {} {}\n", id.value, fmt::join(t.tags, ","), t.uses_left,
                       to_us(t.expires_at), t.revoked);
  }
  for (const auto& [id, t] : w.api_tokens) {
    out +=
        fmt::format("api token {} {} {} {} {}\n", id.value, t.role, t.owner, to_us(t.expires_at), t.revoked);
  }
  for (const auto& [name, id] : w.rule_ids) out += fmt::format("rule id {} {}\n", name, id.value);
  out += fmt::format("next {} {} {} {}\n", w.next_rule, w.next_device, w.next_session_address,
                     w.v4.next_offset());
  std::map<Address, std::string> in_use;
  for (const auto& [id, d] : w.devices) in_use.emplace(d.addresses.v4, id.value);
  for (const auto& [id, s] : w.sessions) in_use.emplace(s.addresses.v4, id.value);
  for (const auto& [address, owner] : in_use)
    if (w.v4.is_in_use(address)) out += fmt::format("in use {} {}\n", address.to_string(), owner);
  auto at_rest = w.v4.at_rest();
  std::ranges::sort(at_rest);
  for (const auto& [address, until] : at_rest)
    out += fmt::format("rests {} {}\n", address.to_string(), to_us(until));
  return out;
}

/// What worlds have since release 0.1.
inline std::string describe_since(const policy::World& w) {
  std::string out;
  if (w.pending) {
    out += fmt::format("pending until {} on {}\n", to_us(w.pending->confirm_by),
                       w.pending->confirmed_revision.value);
    for (const auto& file : *w.pending->confirmed_files)
      out += fmt::format("file {} {}\n", file.name, file.text);
    for (const auto& rule : w.pending->confirmed->rules) out += fmt::format("rule {}\n", rule.name);
  }
  for (const auto& [id, d] : w.devices) {
    out += fmt::format("facts {} {} {} {} {}\n", id.value,
                       d.checks ? fmt::format("{}", fmt::join(*d.checks, ",")) : "-",
                       d.attestation ? policy::to_string(*d.attestation) : "-",
                       d.source ? d.source->to_string() : "-", d.country.value_or("-"));
  }
  for (const auto& [id, s] : w.sessions) {
    for (const auto& signal : s.signals)
      out += fmt::format("signal {} {} {} {}\n", id.value, signal.name, signal.cost, to_us(signal.until));
  }
  for (const auto& [segments, number] : w.target_numbers)
    out += fmt::format("target {} {}\n", fmt::join(segments, ","), number);
  return out + fmt::format("next {}\n", w.next_target);
}

/// What is behind gateways.
inline std::string describe_behind(const policy::World& w) {
  std::string out;
  for (const auto& [id, d] : w.devices) {
    std::vector<std::string> prefixes;
    for (const Prefix& prefix : d.prefixes) prefixes.push_back(prefix.to_string());
    if (d.is_behind())
      out += fmt::format("behind {} {} {} {}\n", d.gateway.value, id.value, fmt::join(prefixes, ","),
                         d.gateway_isolated);
  }
  for (const auto& [prefix, id] : w.prefixes)
    out += fmt::format("prefix {} {}\n", prefix.to_string(), id.value);
  for (const auto& [gateway, ids] : w.behind)
    for (const DeviceId& id : ids) out += fmt::format("listed {} {}\n", gateway.value, id.value);
  return out;
}

/// Keys that turn.
inline std::string describe_keys(const policy::World& w) {
  std::string out;
  for (const auto& [id, d] : w.devices)
    out += fmt::format("keys {} {} {} {} {}\n", id.value, to_hex(d.wireguard_key),
                       d.next_wireguard_key ? to_hex(*d.next_wireguard_key) : "-", d.presharing,
                       d.rotation_asked);
  return out;
}

}  // namespace cordon::test
