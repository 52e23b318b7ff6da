#ifndef CORDON_EBPF_FRAGMENT_BPF_H
#define CORDON_EBPF_FRAGMENT_BPF_H
/* Fragments: the first holds the whole layer-4 header and is judged like any packet; what it was is kept for
 * the later ones, which must start behind it and are judged as it would be now. */

#include "ebpf/parse.bpf.h"

#define FRAGMENT_LIFE_NS (60 * CORDON_SECOND_NS) /* no receiver waits longer for the rest (RFC 8200, 4.5) */

/* Hooks beside cordon_direction: datagrams of one place don't mix with another's. */
#define HOOK_GUARD_IN 2
#define HOOK_GUARD_OUT 3

/* As receivers put them together: IPv6 goes by addresses and identification alone. */
static __always_inline void fragment_key_of(const struct packet* p, __u8 hook,
                                            struct cordon_fragment_key* key) {
  key->source = p->tuple.source;
  key->destination = p->tuple.destination;
  key->id = p->fragment_id;
  key->protocol = p->is_v6 ? 0 : p->tuple.protocol;
  key->hook = hook;
  key->pad[0] = key->pad[1] = 0;
}

/* Gives a later fragment the first one's ports: its reason when there is none, or it starts inside it. */
__noinline int join_fragment(struct packet* p, __u64 now_ns, __u8 hook) {
  struct cordon_fragment_key key;
  if (!p) return CORDON_REASON_fragment;
  fragment_key_of(p, hook, &key);
  struct cordon_fragment* first = bpf_map_lookup_elem(&fragments, &key);
  if (!first || now_ns - first->at_ns >= FRAGMENT_LIFE_NS || p->fragment_at < first->bytes)
    return CORDON_REASON_fragment;
  p->tuple.source_port = first->source_port;
  p->tuple.destination_port = first->destination_port;
  p->tuple.grant_port = first->grant_port;
  p->tuple.protocol = first->protocol;
  p->tcp_flags = first->tcp_flags;
  return CORDON_REASON_none;
}

/* Keeps a first fragment that was accepted; one that was dropped takes an older one's place away. */
__noinline int keep_fragment(const struct packet* p, __u64 now_ns, __u8 hook, int accepted) {
  struct cordon_fragment_key key;
  if (!p || p->fragment_at) return 0;
  fragment_key_of(p, hook, &key);
  if (!accepted) {
    bpf_map_delete_elem(&fragments, &key);
    return 0;
  }
  __u8 bare_syn = (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
  struct cordon_fragment first = {
      .at_ns = now_ns,
      .source_port = p->tuple.source_port,
      .destination_port = p->tuple.destination_port,
      .grant_port = p->tuple.grant_port,
      .bytes = p->fragment_bytes,
      .protocol = p->tuple.protocol,
      /* A connection begins and ends with the first fragment. */
      .tcp_flags = bare_syn       ? TCP_SYN
                   : p->tcp_flags ? TCP_ACK
                                  : 0,
  };
  bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
  return 0;
}

#endif
