#ifndef CORDON_EBPF_ABI_REASONS_H
#define CORDON_EBPF_ABI_REASONS_H
/* Why a packet was dropped. Part of abi.h. */

/* Why a packet was dropped (or would have been). Names are stable: metrics, flow reports and people see them.
 */
#define CORDON_REASONS(X)                     \
  X(none, "")                                 \
  X(no_state, "no state")                     \
  X(not_ip, "not ip")                         \
  X(malformed, "malformed packet")            \
  X(fragment, "fragment")                     \
  X(extension_header, "extension header")     \
  X(icmp_error, "icmp error")                 \
  X(forwarded, "forwarded")                   \
  X(node_lease_over, "node lease over")       \
  X(unknown_principal, "unknown principal")   \
  X(principal_expired, "principal expired")   \
  X(principal_isolated, "principal isolated") \
  X(wrong_owner, "wrong owner")               \
  X(no_session, "no session")                 \
  X(unknown_target, "unknown target")         \
  X(no_grant, "no grant")                     \
  X(forbidden, "forbidden")                   \
  X(grant_expired, "grant expired")           \
  X(host_isolated, "host isolated")           \
  X(observed, "observed")                     \
  X(underlay, "underlay")                     \
  X(underlay_observed, "underlay observed")   \
  X(outside_overlay, "outside overlay")

enum cordon_reason {
#define CORDON_REASON_ENUM(name, text) CORDON_REASON_##name,
  CORDON_REASONS(CORDON_REASON_ENUM)
#undef CORDON_REASON_ENUM
      CORDON_REASON_COUNT
};

#endif
