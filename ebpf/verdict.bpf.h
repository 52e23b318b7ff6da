#ifndef CORDON_EBPF_VERDICT_BPF_H
#define CORDON_EBPF_VERDICT_BPF_H
/* The verdict at the overlay interface (DATAPATH.md, "Order of decision"). */

#include "ebpf/budget.bpf.h"
#include "ebpf/fragment.bpf.h"
#include "ebpf/gateway.bpf.h"
#include "ebpf/headers.bpf.h"
#include "ebpf/people.bpf.h"

/* TCX_NEXT and TC_ACT_UNSPEC are one number, TCX_DROP and TC_ACT_SHOT too: both ways to attach share the
 * programs. */
#define VERDICT_ACCEPT (-1)
#define VERDICT_DROP 2

static __always_inline void count_accept(struct __sk_buff* skb, struct cordon_flow* flow, __u64 now_ns) {
  __u32 packets = segments_of(skb), bytes = skb->len;
  touch(flow, now_ns, packets, bytes);
  if (flow->flags & CORDON_FLOW_OBSERVED)
    count_reason(CORDON_REASON_observed, packets, bytes);
  else
    count_rule(flow->rule, packets, bytes);
}

__noinline int drop(struct __sk_buff* skb, struct packet* p, __u64 now_ns, __u32 reason) {
  if (!p) return VERDICT_DROP;
  count_reason(reason, segments_of(skb), skb->len);
  struct happening denied = {.now_ns = now_ns,
                             .suppressed = segments_of(skb) - 1,
                             .rule = p->rule,
                             .kind = CORDON_EVENT_DENIED,
                             .reason = reason};
  emit(&p->tuple, &denied);
  return VERDICT_DROP;
}

/* Step 3 for a flow of an older epoch or a passed deadline: 1 when it holds still and was refreshed, else
 * view->cut says why not, if it was one. */
__noinline int renew(struct __sk_buff* skb, struct packet* p, struct view* view) {
  if (!p || !view) return 0;
  int source_high;
  struct cordon_flow* flow = find_flow(&p->tuple, &source_high);
  if (!flow || !at_right_hook(flow, source_high, p->tuple.direction)) return 0;
  struct tuple original = {};
  struct answer answer = {};
  original_of(flow, &p->tuple, source_high, &original);
  decide(&original, view, &answer);
  if (!answer.reason) answer.reason = check_gateway(&original, view);
  if (!answer.reason) {
    if (answer.observed)
      __sync_fetch_and_or(&flow->flags, CORDON_FLOW_OBSERVED);
    else
      __sync_fetch_and_and(&flow->flags, ~CORDON_FLOW_OBSERVED);
    flow->rule = answer.rule;
    WRITE_ONCE(flow->stamp, stamp_of(view->epoch, answer.deadline_ns));
    count_accept(skb, flow, view->now_ns);
    return 1;
  }
  view->cut = answer.reason;
  return 0;
}

static __always_inline void count_answer(struct __sk_buff* skb, const struct answer* answer) {
  if (answer->observed)
    count_reason(CORDON_REASON_observed, segments_of(skb), skb->len);
  else
    count_rule(answer->rule, segments_of(skb), skb->len);
}

/* Step 7: 1 when the flow was remembered. */
__noinline int remember(struct __sk_buff* skb, const struct tuple* tuple, const struct view* view,
                        const struct answer* answer) {
  struct cordon_flow_key key;
  if (!tuple || !view || !answer) return 0;
  int source_high = flow_key_of(tuple, &key);
  struct cordon_flow flow = {
      .stamp = stamp_of(view->epoch, answer->deadline_ns),
      .last_seen_ns = view->now_ns,
      .packets = segments_of(skb),
      .bytes = skb->len,
      .rule = answer->rule,
      .flags = (source_high ? CORDON_FLOW_ORIGIN_HIGH : 0) | (tuple->direction ? CORDON_FLOW_EGRESS : 0) |
               (answer->observed ? CORDON_FLOW_OBSERVED : 0) |
               (tuple->protocol == IPPROTO_TCP ? CORDON_FLOW_HALF_OPEN : 0),
      .grant_port = tuple->grant_port,
  };
  if (!take_place(tuple, 1)) return 0;
  bpf_map_update_elem(&flows, &key, &flow, BPF_ANY);
  return 1;
}

/* Step 4's last part: who sends from an address with an owner must be its owner, and a person is never the
 * device. A packet without a full socket has the overflow uid, which owns nothing and is nobody's. */
static __always_inline __u32 check_owner(struct __sk_buff* skb, const struct tuple* tuple,
                                         const struct answer* answer) {
  if (tuple->direction != CORDON_EGRESS) return CORDON_REASON_none;
  __u32 uid = bpf_get_socket_uid(skb);
  if (answer->check_owner) return uid == answer->uid ? CORDON_REASON_none : CORDON_REASON_wrong_owner;
  const struct cordon_person* person = person_of(uid);
  if (!person) return CORDON_REASON_none;
  return has_session(person) ? CORDON_REASON_wrong_owner : CORDON_REASON_no_session;
}

/* Steps 4 to 7 for a new flow: the reason, or 0 when it is accepted. An answer's flow would have been begun
 * by the other end. It passes and no more: whoever answers may not use up the other's places, nor have it
 * told that the other began. The other's own next segment is remembered. What begins beside a flow of the
 * same ends passes and no more either: the entry is that one's. */
#define BEGINS 0
#define ANSWERS 1
#define BEGINS_BESIDE 2
__noinline int begin(struct __sk_buff* skb, struct packet* p, struct view* view, int how) {
  struct tuple tuple = {};
  struct answer answer = {};
  if (!p || !view) return CORDON_REASON_malformed;
  if (how == ANSWERS)
    reverse(&p->tuple, &tuple);
  else
    tuple = p->tuple;
  decide(&tuple, view, &answer);
  if (!answer.reason) answer.reason = check_gateway(&tuple, view);
  if (!answer.reason && how != ANSWERS) answer.reason = check_owner(skb, &tuple, &answer);
  if (how != ANSWERS) p->rule = answer.rule;
  if (answer.reason) return answer.reason;
  count_answer(skb, &answer);
  if (how != BEGINS) return CORDON_REASON_none;
  int remembered = remember(skb, &tuple, view, &answer);
  if (!answer.observed && !(remembered && opening_allowed(view->now_ns))) return CORDON_REASON_none;
  struct happening opened = {
      .now_ns = view->now_ns,
      .rule = answer.rule,
      .kind = answer.observed ? CORDON_EVENT_DENIED : CORDON_EVENT_OPENED,
      .reason = answer.observed ? CORDON_REASON_observed : CORDON_REASON_none,
  };
  emit(&tuple, &opened);
  return CORDON_REASON_none;
}

/* Steps 3 (second half) to 7. */
__noinline int decide_packet(struct __sk_buff* skb, struct packet* p, struct view* view, int known) {
  if (!p || !view) return VERDICT_DROP;
  if (known) {
    if (renew(skb, p, view)) return VERDICT_ACCEPT;
    if (view->cut) cut(p, view->now_ns, view->cut);
  }
  __u64 asked = view->flags;
  __u32 reason = begin(skb, p, view, BEGINS);
  if (reason && p->tuple.protocol == IPPROTO_TCP && !is_bare_syn(p) && !begin(skb, p, view, ANSWERS))
    return VERDICT_ACCEPT;
  /* The state turned between the two questions: the first was of the one before. */
  if (reason && view->flags != asked) reason = begin(skb, p, view, BEGINS);
  return reason ? drop(skb, p, view->now_ns, reason) : VERDICT_ACCEPT;
}

/* Does it begin something, whatever runs between its ends? An echo request whose identifier is its type has
 * the ends of a reply. */
static __always_inline int is_beginning(struct __sk_buff* skb, const struct packet* p) {
  __u8 chunk = 0;
  switch (p->tuple.protocol) {
    case IPPROTO_TCP:
      return is_bare_syn(p);
    case IPPROTO_ICMP:
      return p->tuple.grant_port == ICMP_ECHO_REQUEST;
    case PROTOCOL_ICMPV6:
      return p->tuple.grant_port == ICMPV6_ECHO_REQUEST;
    case PROTOCOL_SCTP:
      if (p->fragment_at || bpf_skb_load_bytes(skb, p->l4_offset + SCTP_HEADER, &chunk, 1)) return 0;
      return chunk == SCTP_INIT;
    default:
      return 0;
  }
}

/* The end that answers in a flow begins: that is no part of the flow, and decided by itself. Where both may,
 * both can at once. */
__noinline int decide_beside(struct __sk_buff* skb, struct packet* p, struct view* view) {
  if (!p || !view) return VERDICT_DROP;
  __u32 reason = begin(skb, p, view, BEGINS_BESIDE);
  return reason ? drop(skb, p, view->now_ns, reason) : VERDICT_ACCEPT;
}

/* Whose error about a flow is believed: its other end's. Where that is no address of the overlay, also those
 * of who is behind the gateway too, and the gateway's, whom nothing here tells from other peers. */
static __always_inline int may_tell(const struct packet* p, const struct tuple* quoted,
                                    const struct view* view) {
  __u32 zero = 0;
  if (is_same(&p->tuple.source, &quoted->destination)) return 1;
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self || is_overlays(self, &quoted->destination)) return 0;
  if (!is_overlays(self, &p->tuple.source)) return 1;
  read_barrier();
  const struct cordon_principal_side* teller = principal_in(&p->tuple.source, view->flags);
  return !teller || !check_principal(teller, view->now_ns);
}

/* An ICMP error passes with the flow that it is about, which its quoted packet names. A flow that no longer
 * holds is left for its own next packet to cut. */
__noinline int pass_error(struct __sk_buff* skb, struct packet* p, struct view* view) {
  struct packet quote = {};
  if (!p || !view) return VERDICT_DROP;
  if (read_quoted(skb, p, &quote) && may_tell(p, &quote.tuple, view) && renew(skb, &quote, view))
    return VERDICT_ACCEPT;
  return drop(skb, p, view->now_ns, CORDON_REASON_icmp_error);
}

/* A forwarded packet may come from behind this node (a gateway's subnets answer what was asked of them), but
 * not in the name of anybody whom this node knows: a container that masquerades is not the device. */
static __always_inline int forwarded_in_our_name(struct __sk_buff* skb, const struct packet* p,
                                                 const struct view* view) {
  if (p->tuple.direction != CORDON_EGRESS || !skb->ingress_ifindex) return 0;
  read_barrier();
  return principal_in(&p->tuple.source, view->flags) != NULL;
}

/* Step 3 for a packet that was understood, and the way to the rest. */
static __always_inline int judge(struct __sk_buff* skb, struct packet* p, struct view* view) {
  int source_high;
  struct cordon_flow* flow = find_flow(&p->tuple, &source_high);
  if (flow && !from_origin(flow, source_high) && unlikely(is_beginning(skb, p))) {
    if (!has_ended(flow->flags)) return decide_beside(skb, p, view);
    forget(p, flow, view->now_ns);
    return decide_packet(skb, p, view, 0);
  }
  if (!flow || !still_holds(flow, view) || !at_right_hook(flow, source_high, p->tuple.direction))
    return decide_packet(skb, p, view, flow != NULL);
  __u32 stage = flow->flags &
                (CORDON_FLOW_HALF_OPEN | CORDON_FLOW_CLOSED | CORDON_FLOW_FIN_ORIGIN | CORDON_FLOW_FIN_PEER);
  if (stage && has_ended(stage) && is_bare_syn(p)) {
    forget(p, flow, view->now_ns);
    return decide_packet(skb, p, view, 0);
  }
  count_accept(skb, flow, view->now_ns);
  if (stage || (p->tcp_flags & (TCP_FIN | TCP_RST))) note_stage(p, flow, view->now_ns);
  return VERDICT_ACCEPT;
}

static __always_inline int verdict(struct __sk_buff* skb, __u32 l2, __u8 direction) {
  struct packet p = {};
  struct view view = {};
  p.tuple.direction = direction;
  __u32 reason = parse_l3(skb, l2, &p);
  if (reason == PASS_BELOW_IP) return VERDICT_ACCEPT;
  look(&view, cached_boot_ns());
  if (!reason) reason = parse_behind_ip(skb, &p);
  if (!reason) reason = view.reason;
  if (!reason && forwarded_in_our_name(skb, &p, &view)) reason = CORDON_REASON_forwarded;
  if (!reason && p.fragment_at) reason = join_fragment(&p, view.now_ns, direction);
  if (reason) return drop(skb, &p, view.now_ns, reason);
  if (p.icmp_error) return pass_error(skb, &p, &view);
  int result = judge(skb, &p, &view);
  if (p.fragmented) keep_fragment(&p, view.now_ns, direction, result == VERDICT_ACCEPT);
  return result;
}

#endif
