#ifndef CORDON_EBPF_ABI_H
#define CORDON_EBPF_ABI_H
/* The one header that the kernel's programs (C) and node/filter (C++) share: what the maps hold.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, so both families are one code path; they
 * are pairs of 64-bit words here because that is how the programs compare them. Ports in hash keys are in
 * host order, in LPM keys in network order (a trie compares bits from the left). Times are CLOCK_BOOTTIME in
 * ns. Padding is explicit and always zero: hash maps compare keys as bytes.
 *
 * Maps outlive the daemon. An upgrade takes over what they hold by the names of the fields: a new one starts
 * as zero and must then mean what its absence meant, or less access; one that changes its meaning changes its
 * name. */

#include <linux/types.h>

#ifdef __cplusplus
#define CORDON_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define CORDON_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#include "ebpf/abi_reasons.h"

enum cordon_direction { CORDON_INGRESS = 0, CORDON_EGRESS = 1 };

#define CORDON_DEADLINE_SLOTS 8
#define CORDON_NEVER (~0ULL)

struct cordon_address {
  __u64 word[2];
};
struct cordon_prefix {
  struct cordon_address network, mask; /* all zero: no prefix */
};

/* settings[0], memory mapped by the daemon: each field is stored in one piece. */
#define CORDON_SETTINGS_READY 1u     /* the maps hold a state */
#define CORDON_SETTINGS_ISOLATED 2u  /* only grants with CORDON_GRANT_RESPONDER hold */
#define CORDON_SETTINGS_EPOCH_DUE 4u /* the daemon's: it turned, and the epoch is still to be raised */
#define CORDON_SETTINGS_FLAG_BITS 8
struct cordon_settings {
  __u32 epoch;
  __u32 pad;
  __u64 flags;        /* above CORDON_SETTINGS_FLAG_BITS the generation: both change in one store */
  __u64 confirmed_ns; /* 0: never confirmed */
  __u64 node_lease_ns;
};

/* host[0]: what the cgroup hooks and the underlay guard know of this machine. */
enum cordon_underlay_mode {
  CORDON_UNDERLAY_OFF = 0,
  CORDON_UNDERLAY_GUARD = 1,
  CORDON_UNDERLAY_CLOSED = 2,
  CORDON_UNDERLAY_CONTAINED = 3, /* this host is isolated */
  CORDON_UNDERLAY_COUNT = 4,     /* nothing is dropped, only counted and told */
};
#define CORDON_HOST_MEETS 1u /* its own networks, or a controller, have addresses of the overlay's prefix */
struct cordon_host {
  __u64 netns_cookie;
  struct cordon_address local_v4; /* the device's; zero: none */
  struct cordon_address local_v6;
  struct cordon_prefix overlay_v4, overlay_v6;
  __u16 wireguard_port;
  __u8 underlay_mode;
  __u8 flags;            /* CORDON_HOST_... */
  __u32 overlay_ifindex; /* 0: none yet */
};

/* A row of principals or targets has two sides: from generation `changed_in` on `now` holds, until then
 * `before`. So a state is written beside the one that holds, and the settings' generation turns all of it at
 * once. An absent side is as if the row were not there. The migration names the fields of `now` without it:
 * they are what a row without sides had. */

/* principals: source address -> who it is. */
#define CORDON_PRINCIPAL_ISOLATED 1u
#define CORDON_PRINCIPAL_CHECK_OWNER 2u
#define CORDON_PRINCIPAL_ABSENT 4u
struct cordon_principal_side {
  __u64 class_id;
  __u64 deadline_ns[CORDON_DEADLINE_SLOTS];
  __u32 flags;
  __u32 uid;
};
struct cordon_principal {
  __u64 changed_in; /* first: it and what most packets ask of `now` are one cache line */
  struct cordon_principal_side now, before;
};

/* targets: destination prefix -> target. The overlay's own prefixes are there with id 0: "ours, but
 * nobody's". */
struct cordon_target_key {
  __u32 prefix_bits; /* over the 16 bytes */
  __u8 address[16];
};
#define CORDON_TARGET_OBSERVE 1u
#define CORDON_TARGET_ABSENT 2u
struct cordon_target_side {
  __u32 id;
  __u32 flags;
};
struct cordon_target {
  __u64 changed_in;
  struct cordon_target_side now, before;
  __u32 prefix_bits; /* the key's, when a side is absent: what holds then is looked for above it */
  __u32 pad;
};

/* subnets: prefix outside the overlay -> what this host has to do with it (docs/DATAPATH.md, "Gateways"). */
#define CORDON_SUBNET_BEHIND 1u /* of this host, a declared gateway: it forwards there */
#define CORDON_SUBNET_OWN 2u    /* this host's own place in one of those: policy gave nobody a way to it */
#define CORDON_SUBNET_ROUTED 3u /* behind another host: the way there is the overlay */

/* grants: tried as exact port, then grant_ranges by longest prefix, then any port, then any protocol. */
enum cordon_grant_form {
  CORDON_FORM_EXACT = 0,        /* protocol and port count */
  CORDON_FORM_ANY_PORT = 2,     /* port is 0 and means any */
  CORDON_FORM_ANY_PROTOCOL = 4, /* protocol and port are 0 and mean any */
};
struct cordon_grant_key {
  __u64 class_id;
  __u32 target;
  __u16 port;
  __u8 protocol;
  __u8 form_direction; /* cordon_grant_form | cordon_direction */
};
#define CORDON_GRANT_DENY 1u
#define CORDON_GRANT_RESPONDER 2u
struct cordon_grant {
  __u32 rule;
  __u32 lease_s;
  __u8 slot;
  __u8 flags;
  __u8 pad[2];
};
#define CORDON_RANGE_FIXED_BITS 112 /* of the key before the port */
struct cordon_range_key {
  __u32 prefix_bits; /* CORDON_RANGE_FIXED_BITS + port bits */
  __u8 class_id[8];  /* as stored by this machine: bytes are only compared */
  __u8 target[4];
  __u8 direction;
  __u8 protocol;
  __u8 port[2]; /* network order */
};

/* underlay_guards: protocol and port prefix -> how. underlay_allow: source prefix -> it passes. */
struct cordon_guard_key {
  __u32 prefix_bits; /* 16 + port bits */
  __u8 protocol;     /* 0: any */
  __u8 pad;
  __u8 port[2]; /* network order */
};
#define CORDON_GUARD_COUNT_ONLY 1u
struct cordon_guard {
  __u32 flags;
};
struct cordon_allow {
  __u16 source_port; /* 0; else a former version's row of a controller, which passes nothing */
  __u16 pad;
};

/* underlay_ends: the other ends that an isolated host may talk to: controllers (TCP), WireGuard's peers
 * (UDP).
 */
struct cordon_end {
  struct cordon_address address;
  __u16 port;
  __u8 protocol;
  __u8 pad[5];
};

CORDON_STATIC_ASSERT(sizeof(struct cordon_settings) == 32, "settings layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_host) == 112, "host layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_principal) == 168, "principal layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_target_key) == 20, "target key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_target) == 32, "target layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_grant_key) == 16, "grant key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_grant) == 12, "grant layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_range_key) == 20, "range key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_guard_key) == 8, "guard key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_end) == 24, "end layout");

#include "ebpf/abi_people.h"
#include "ebpf/abi_state.h"

#endif
