#include "node/filter/layout.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "ebpf/abi.h"

namespace cordon::node {
namespace {

/// Raised when the meaning of a map's content changes though its layout does not.
constexpr int kMeaning = 1;

#define CORDON_WHOLE(s)  \
  FieldLayout {          \
    #s, "", 0, sizeof(s) \
  }
#define CORDON_FIELD(s, f)               \
  FieldLayout {                          \
    #s, #f, offsetof(s, f), sizeof(s::f) \
  }

constexpr FieldLayout kLayout[] = {
    CORDON_WHOLE(cordon_address),
    CORDON_FIELD(cordon_address, word),
    CORDON_WHOLE(cordon_settings),
    CORDON_FIELD(cordon_settings, epoch),
    CORDON_FIELD(cordon_settings, flags),
    CORDON_FIELD(cordon_settings, confirmed_ns),
    CORDON_FIELD(cordon_settings, node_lease_ns),
    CORDON_WHOLE(cordon_host),
    CORDON_FIELD(cordon_host, netns_cookie),
    CORDON_FIELD(cordon_host, local_v4),
    CORDON_FIELD(cordon_host, local_v6),
    CORDON_FIELD(cordon_host, wireguard_port),
    CORDON_FIELD(cordon_host, underlay_mode),
    CORDON_FIELD(cordon_host, peers_known),
    CORDON_WHOLE(cordon_principal),
    CORDON_FIELD(cordon_principal, class_id),
    CORDON_FIELD(cordon_principal, deadline_ns),
    CORDON_FIELD(cordon_principal, flags),
    CORDON_FIELD(cordon_principal, uid),
    CORDON_WHOLE(cordon_target_key),
    CORDON_FIELD(cordon_target_key, prefix_bits),
    CORDON_FIELD(cordon_target_key, address),
    CORDON_WHOLE(cordon_target),
    CORDON_FIELD(cordon_target, id),
    CORDON_FIELD(cordon_target, flags),
    CORDON_WHOLE(cordon_grant_key),
    CORDON_FIELD(cordon_grant_key, class_id),
    CORDON_FIELD(cordon_grant_key, target),
    CORDON_FIELD(cordon_grant_key, port),
    CORDON_FIELD(cordon_grant_key, protocol),
    CORDON_FIELD(cordon_grant_key, form_direction),
    CORDON_WHOLE(cordon_grant),
    CORDON_FIELD(cordon_grant, rule),
    CORDON_FIELD(cordon_grant, lease_s),
    CORDON_FIELD(cordon_grant, slot),
    CORDON_FIELD(cordon_grant, flags),
    CORDON_WHOLE(cordon_range_key),
    CORDON_FIELD(cordon_range_key, prefix_bits),
    CORDON_FIELD(cordon_range_key, class_id),
    CORDON_FIELD(cordon_range_key, target),
    CORDON_FIELD(cordon_range_key, direction),
    CORDON_FIELD(cordon_range_key, protocol),
    CORDON_FIELD(cordon_range_key, port),
    CORDON_WHOLE(cordon_flow_key),
    CORDON_FIELD(cordon_flow_key, low),
    CORDON_FIELD(cordon_flow_key, high),
    CORDON_FIELD(cordon_flow_key, low_port),
    CORDON_FIELD(cordon_flow_key, high_port),
    CORDON_FIELD(cordon_flow_key, protocol),
    CORDON_WHOLE(cordon_flow),
    CORDON_FIELD(cordon_flow, deadline_ns),
    CORDON_FIELD(cordon_flow, last_seen_ns),
    CORDON_FIELD(cordon_flow, packets),
    CORDON_FIELD(cordon_flow, bytes),
    CORDON_FIELD(cordon_flow, epoch),
    CORDON_FIELD(cordon_flow, rule),
    CORDON_FIELD(cordon_flow, flags),
    CORDON_FIELD(cordon_flow, grant_port),
    CORDON_WHOLE(cordon_budget),
    CORDON_FIELD(cordon_budget, live),
    CORDON_FIELD(cordon_budget, streams),
    CORDON_FIELD(cordon_budget, live_before),
    CORDON_FIELD(cordon_budget, streams_before),
    CORDON_FIELD(cordon_budget, live_counted),
    CORDON_FIELD(cordon_budget, streams_counted),
    CORDON_WHOLE(cordon_counter),
    CORDON_FIELD(cordon_counter, packets),
    CORDON_FIELD(cordon_counter, bytes),
    CORDON_WHOLE(cordon_rule_slot),
    CORDON_FIELD(cordon_rule_slot, packets),
    CORDON_FIELD(cordon_rule_slot, bytes),
    CORDON_FIELD(cordon_rule_slot, rule),
    CORDON_WHOLE(cordon_guard_key),
    CORDON_FIELD(cordon_guard_key, prefix_bits),
    CORDON_FIELD(cordon_guard_key, protocol),
    CORDON_FIELD(cordon_guard_key, port),
    CORDON_WHOLE(cordon_guard),
    CORDON_FIELD(cordon_guard, flags),
    CORDON_WHOLE(cordon_allow),
    CORDON_FIELD(cordon_allow, source_port),
    CORDON_WHOLE(cordon_end),
    CORDON_FIELD(cordon_end, address),
    CORDON_FIELD(cordon_end, port),
    CORDON_FIELD(cordon_end, protocol),
    CORDON_WHOLE(cordon_fragment_key),
    CORDON_FIELD(cordon_fragment_key, source),
    CORDON_FIELD(cordon_fragment_key, destination),
    CORDON_FIELD(cordon_fragment_key, id),
    CORDON_FIELD(cordon_fragment_key, protocol),
    CORDON_FIELD(cordon_fragment_key, hook),
    CORDON_WHOLE(cordon_fragment),
    CORDON_FIELD(cordon_fragment, at_ns),
    CORDON_FIELD(cordon_fragment, source_port),
    CORDON_FIELD(cordon_fragment, destination_port),
    CORDON_FIELD(cordon_fragment, grant_port),
    CORDON_FIELD(cordon_fragment, bytes),
    CORDON_FIELD(cordon_fragment, protocol),
    CORDON_FIELD(cordon_fragment, tcp_flags),
    CORDON_WHOLE(cordon_event),
    CORDON_FIELD(cordon_event, at_ns),
    CORDON_FIELD(cordon_event, source),
    CORDON_FIELD(cordon_event, destination),
    CORDON_FIELD(cordon_event, packets),
    CORDON_FIELD(cordon_event, bytes),
    CORDON_FIELD(cordon_event, suppressed),
    CORDON_FIELD(cordon_event, rule),
    CORDON_FIELD(cordon_event, source_port),
    CORDON_FIELD(cordon_event, destination_port),
    CORDON_FIELD(cordon_event, protocol),
    CORDON_FIELD(cordon_event, direction),
    CORDON_FIELD(cordon_event, kind),
    CORDON_FIELD(cordon_event, reason),
    CORDON_WHOLE(cordon_limit_key),
    CORDON_FIELD(cordon_limit_key, source),
    CORDON_FIELD(cordon_limit_key, reason),
    CORDON_WHOLE(cordon_limit),
    CORDON_FIELD(cordon_limit, window_start_ns),
    CORDON_FIELD(cordon_limit, sent),
    CORDON_FIELD(cordon_limit, suppressed),
    CORDON_FIELD(cordon_limit, destination),
    CORDON_FIELD(cordon_limit, rule),
    CORDON_FIELD(cordon_limit, source_port),
    CORDON_FIELD(cordon_limit, destination_port),
    CORDON_FIELD(cordon_limit, protocol),
    CORDON_FIELD(cordon_limit, direction),
    CORDON_FIELD(cordon_limit, kind),
    CORDON_WHOLE(cordon_bucket),
    CORDON_FIELD(cordon_bucket, refilled_ns),
    CORDON_FIELD(cordon_bucket, left),
    CORDON_WHOLE(cordon_clock),
    CORDON_FIELD(cordon_clock, jiffies),
    CORDON_FIELD(cordon_clock, now_ns),
};

}  // namespace

std::span<const FieldLayout> abi_layout() {
  return kLayout;
}

std::string layout_hash(const MapSizes& sizes) {
  std::string text = fmt::format("{} {} {}\n", kMeaning, int{CORDON_REASON_COUNT}, CORDON_RULE_SLOTS);
  for (const FieldLayout& f : kLayout)
    text += fmt::format("{}.{} {} {}\n", f.structure, f.field, f.offset, f.size);
  text += fmt::format("{} {} {} {} {} {} {}", sizes.principals, sizes.targets, sizes.grants,
                      sizes.grant_ranges, sizes.flows, sizes.rule_counters, sizes.events_bytes);
  return to_hex(ByteView(sha256(as_bytes(text))).first(4));
}

}  // namespace cordon::node
