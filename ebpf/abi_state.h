#ifndef CORDON_EBPF_ABI_STATE_H
#define CORDON_EBPF_ABI_STATE_H
/* What the programs keep and tell: flows, budgets, limits, counters, events. Part of abi.h. */

#include "ebpf/abi.h"

/* flows: the two ends in a canonical order, so that both directions find one entry. */
struct cordon_flow_key {
  struct cordon_address low, high;
  __u16 low_port, high_port;
  __u8 protocol;
  __u8 pad[3];
};
#define CORDON_FLOW_ORIGIN_HIGH 1u /* the end that began is `high` */
#define CORDON_FLOW_EGRESS 2u      /* the beginner's packets leave this host */
#define CORDON_FLOW_OBSERVED 4u    /* accepted only because the target observes */
#define CORDON_FLOW_FIN_ORIGIN 8u
#define CORDON_FLOW_FIN_PEER 16u
#define CORDON_FLOW_CLOSED 32u    /* its end was told; packets and bytes are what came since */
#define CORDON_FLOW_HALF_OPEN 64u /* TCP: the beginner has not yet answered an answer */
#define CORDON_FLOW_ANSWERED 128u /* TCP, while half open: the other end spoke */
/* `stamp`: the epoch that the flow was decided in, and in the lower half its deadline in ticks, rounded down:
 * until then no packet needs a decision of its own. */
#define CORDON_TICK_BITS 28 /* of 0.27 s, so that 32 bits are 36 years */
struct cordon_flow {
  __u64 stamp;
  __u64 last_seen_ns;
  __u64 packets;
  __u64 bytes;
  __u32 rule;
  __u32 flags;
  __u16 grant_port; /* what grants were asked for: the port, or the ICMP type */
  __u8 pad[6];
};

/* underlay_flows: who began it, and the second since boot at which its last packet was seen, from this bit
 * on. Second 0: written by a version that kept no time; its next packet gives it one. */
#define CORDON_BEGUN_HERE 1u     /* else from outside */
#define CORDON_BEGUN_ANSWERED 2u /* something came back */
#define CORDON_BEGUN_SECOND 4u
#define CORDON_BEGUN_LIFE_S 300u       /* as long as a UDP flow lives in `flows` */
#define CORDON_BEGUN_TCP_LIFE_S 86400u /* answered TCP */

/* fragments: first fragments that were accepted. */
struct cordon_fragment_key {
  struct cordon_address source, destination;
  __u32 id;
  __u8 protocol; /* IPv4's; 0 in IPv6 */
  __u8 hook;
  __u8 pad[2];
};
struct cordon_fragment {
  __u64 at_ns;
  __u16 source_port, destination_port;
  __u16 grant_port;
  __u16 bytes; /* later ones start behind them */
  __u8 protocol;
  __u8 tcp_flags;
  __u8 pad[6];
};

/* flow_budgets: principal -> how many entries of `flows` it owns. `live` are those that cost a beginner
 * nothing to make: all but established TCP, which are `streams`. The rest is the sweep's, while it counts. */
#define CORDON_FLOWS_PER_PRINCIPAL 4096
#define CORDON_STREAMS_PER_PRINCIPAL 32768
struct cordon_budget {
  __s32 live, streams;
  __s32 live_before, streams_before;
  __s32 live_counted, streams_counted;
};

struct cordon_counter {
  __u64 packets;
  __u64 bytes;
};

/* rule_cache[rule % CORDON_RULE_SLOTS], per CPU: what rule_counters doesn't hold yet. Looking a rule up in a
 * hash costs a known flow a third of its time; a rule that meets another's slot moves that one's count to
 * rule_counters. */
#define CORDON_RULE_SLOTS 256
struct cordon_rule_slot {
  __u64 packets;
  __u64 bytes;
  __u32 rule; /* 0: nobody's */
  __u32 pad;
};

enum cordon_event_kind {
  CORDON_EVENT_OPENED = 0,
  CORDON_EVENT_DENIED = 1,
  CORDON_EVENT_CLOSED = 2,
  CORDON_EVENT_UNDERLAY = 3,
};
struct cordon_event {
  __u64 at_ns;
  struct cordon_address source, destination;
  __u64 packets, bytes; /* of a closed flow */
  __u64 suppressed; /* denials of this cordon_limit_key that were not sent since the last that was; without
                       a source: of those of this reason that had no room for theirs */
  __u32 rule;
  __u16 source_port, destination_port;
  __u8 protocol;
  __u8 direction;
  __u8 kind;
  __u8 reason;
  __u8 pad[4];
};

/* overlay_limits, observed_limits, underlay_limits: denials per source and reason. What was not sent is
 * counted here, with the last of them, until the next event or the sweep tells it. A row is of one round: the
 * sweep ends the round, waits until no program can hold one of its rows any more, tells them and takes them
 * out. So nothing is counted in a row that is about to go. */
struct cordon_limit_key {
  struct cordon_address source;
  struct cordon_address destination; /* it and what follows: of reason `observed` alone */
  __u32 reason;
  __u16 port;
  __u8 protocol;
  __u8 round; /* 0 or 1 */
};
struct cordon_limit {
  __u64 window_start_ns;
  __u64 suppressed;
  __u32 sent; /* in this window */
  __u32 rule;
  struct cordon_address destination;
  __u16 source_port, destination_port;
  __u8 protocol;
  __u8 direction;
  __u8 kind;
  __u8 pad;
};
/* Each of the three has room of its own: forged sources on the underlay, or one who tries all ports of a
 * target that observes, leave the others theirs. */
enum cordon_limits {
  CORDON_LIMITS_OVERLAY = 0,
  CORDON_LIMITS_OBSERVED = 1,
  CORDON_LIMITS_UNDERLAY = 2,
};
#define CORDON_LIMIT_ROWS 16384
/* limit_round[0] */
struct cordon_round {
  __u32 round; /* of rows that are made now */
  __u32 full;  /* a bit for each of cordon_limits: it had no room since the sweep told last */
};
/* other_denials: how many found no room there, by whether it was on the underlay, direction and reason. */
#define CORDON_OTHER_DENIALS (4 * CORDON_REASON_COUNT)

/* event_buckets, per CPU: what all sources together may still send before the next refill. Openings can't use
 * up what denials need, nor what comes around the overlay what those in it need. */
enum { CORDON_BUCKET_OPENED = 0, CORDON_BUCKET_DENIED = 1, CORDON_BUCKET_UNDERLAY = 2, CORDON_BUCKETS = 3 };
struct cordon_bucket {
  __u64 refilled_ns;
  __u64 left;
};

/* event_totals: openings and ends that are lost for want of room in the ring; not sent for being too many;
 * packets whose rule rule_counters had no room for. */
enum {
  CORDON_EVENTS_LOST = 0,
  CORDON_EVENTS_SUPPRESSED = 1,
  CORDON_COUNTS_LOST = 2,
  CORDON_EVENTS_TOTALS = 3
};

struct cordon_clock {
  __u64 jiffies;
  __u64 now_ns;
};

/* Context of the program `sweep`, which the daemon runs: how long a flow may be idle, and what was done. */
struct cordon_sweep {
  __u64 now_ns;       /* in; 0: by the clock */
  __u64 idle_ns;      /* in: flows of few packets, half-open TCP */
  __u64 stream_ns;    /* in: flows of more packets, other than TCP */
  __u64 tcp_ns;       /* in: established TCP */
  __u64 closed_ns;    /* in: TCP that was closed */
  __u32 flows_left;   /* out */
  __u32 flows_ended;  /* out */
  __u32 denials_told; /* out: events that tell what was suppressed */
  __u32 events_lost;  /* out */
  __u32 telling;      /* in: only tells what the round that is over has counted */
  __u32 untold;       /* out: rows of that round: all, or when telling those that the ring had no room for */
  __u32 round, left;  /* its own */
};

CORDON_STATIC_ASSERT(sizeof(struct cordon_flow_key) == 40, "flow key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_flow) == 48, "flow layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_fragment_key) == 40, "fragment key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_fragment) == 24, "fragment layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_budget) == 24, "budget layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_rule_slot) == 24, "rule slot layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_event) == 80, "event layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_limit_key) == 40, "limit key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_limit) == 48, "limit layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_bucket) == 16, "bucket layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_sweep) == 72, "sweep layout");

#endif
