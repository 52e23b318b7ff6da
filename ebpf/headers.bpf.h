#ifndef CORDON_EBPF_HEADERS_BPF_H
#define CORDON_EBPF_HEADERS_BPF_H
/* Headers off the fast path, read with bpf_skb_load_bytes: IPv6 extension headers and what stands behind
 * them, and the packet that an ICMP error quotes. */

#include "ebpf/parse.bpf.h"

#define LONGEST_CHAIN 8 /* extension headers; more is nobody's honest packet */

/* Bytes of an extension header, by its first four; 0: one that doesn't pass. A routing header with segments
 * left names the true destination, which would be decided on the wrong one. */
static __always_inline __u32 extension_bytes(__u8 protocol, const __u8* header, int first) {
  switch (protocol) {
    case IPPROTO_HOPOPTS:
      return first ? (header[1] + 1) * 8 : 0;
    case IPPROTO_ROUTING:
      return header[3] ? 0 : (header[1] + 1) * 8;
    case IPPROTO_DSTOPTS:
      return (header[1] + 1) * 8;
    case IPPROTO_AH:
      return (header[1] + 2) * 4;
    case IPPROTO_FRAGMENT:
      return 8;
    default:
      return 0; /* mobility, HIP, shim6 */
  }
}

/* Steps over extension headers to layer 4, or to the end of the headers of a later fragment. */
__noinline int walk_extensions(struct __sk_buff* skb, struct packet* p) {
  __u8 header[8];
  if (!p) return CORDON_REASON_malformed;
  for (int i = 0; i < LONGEST_CHAIN; i++) {
    __u8 protocol = p->tuple.protocol;
    if (!is_extension(protocol)) return CORDON_REASON_none;
    /* The shortest has eight bytes. */
    if (p->l4_bytes < 8 || bpf_skb_load_bytes(skb, p->l4_offset, header, sizeof(header)))
      return CORDON_REASON_malformed;
    __u32 size = extension_bytes(protocol, header, i == 0);
    if (!size) return CORDON_REASON_extension_header;
    if (size > p->l4_bytes) return CORDON_REASON_malformed;
    p->tuple.protocol = header[0];
    p->l4_offset += size;
    p->l4_bytes -= size;
    if (protocol != IPPROTO_FRAGMENT) continue;
    __u32 field = (__u32)header[2] << 8 | header[3];
    if (!(field & 0xfff9)) continue; /* a fragment that is the whole (RFC 6946) */
    if (p->fragmented) return CORDON_REASON_malformed;
    p->fragment_id = (__u32)header[4] << 24 | (__u32)header[5] << 16 | (__u32)header[6] << 8 | header[7];
    __u32 reason = note_fragment_field(p, field & 0xfff8, field & 1);
    if (reason || p->fragment_at) return reason;
  }
  return is_extension(p->tuple.protocol) ? CORDON_REASON_extension_header : CORDON_REASON_none;
}

/* As parse_l4, wherever it lies. */
__noinline int read_l4(struct __sk_buff* skb, struct packet* p) {
  __u8 l4[20] = {};
  if (!p || is_no_protocol(p)) return CORDON_REASON_malformed;
  __u32 need = l4_needs(p->tuple.protocol);
  if (!need) return CORDON_REASON_none;
  if (p->l4_bytes < need) return CORDON_REASON_malformed;
  long error = need == 20 ? bpf_skb_load_bytes(skb, p->l4_offset, l4, 20)
                          : bpf_skb_load_bytes(skb, p->l4_offset, l4, 8);
  return error ? CORDON_REASON_malformed : (int)take_l4(l4, p);
}

/* What stands behind the IP header. */
static __always_inline __u32 parse_behind_ip(struct __sk_buff* skb, struct packet* p) {
  if (!p->is_v6 || !is_extension(p->tuple.protocol))
    return p->fragment_at ? CORDON_REASON_none : parse_l4(skb, p);
  __u32 reason = walk_extensions(skb, p);
  return reason || p->fragment_at ? reason : read_l4(skb, p);
}

static __always_inline int read_quoted_v4(struct __sk_buff* skb, struct packet* q) {
  struct iphdr ip;
  if (q->l4_bytes < sizeof(ip) || bpf_skb_load_bytes(skb, q->l4_offset, &ip, sizeof(ip))) return 0;
  __u32 header = ip.ihl * 4;
  if (ip.version != 4 || header < sizeof(ip) || header > q->l4_bytes) return 0;
  if (ip.frag_off & bpf_htons(0x1fff)) return 0;
  map_v4(&q->tuple.source, ip.saddr);
  map_v4(&q->tuple.destination, ip.daddr);
  q->tuple.protocol = ip.protocol;
  q->l4_offset += header;
  q->l4_bytes -= header;
  return 1;
}

static __always_inline int read_quoted_v6(struct __sk_buff* skb, struct packet* q) {
  struct ipv6hdr ip;
  if (q->l4_bytes < sizeof(ip) || bpf_skb_load_bytes(skb, q->l4_offset, &ip, sizeof(ip))) return 0;
  __builtin_memcpy(&q->tuple.source, &ip.saddr, 16);
  __builtin_memcpy(&q->tuple.destination, &ip.daddr, 16);
  if (ip.version != 6 || is_mapped(&q->tuple.source) || is_mapped(&q->tuple.destination)) return 0;
  q->tuple.protocol = ip.nexthdr;
  q->l4_offset += sizeof(ip);
  q->l4_bytes -= sizeof(ip);
  return !is_extension(ip.nexthdr) || (!walk_extensions(skb, q) && !q->fragment_at);
}

/* Errors that a flow may meet: unreachable, too big, time exceeded, parameter problem. Never redirects. */
static __always_inline int is_flow_error(const struct packet* p) {
  __u16 type = p->tuple.grant_port;
  return p->is_v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

/* Reads an error's quoted packet: 1 when it was sent by the error's destination. Then `quote` stands for it,
 * as seen at the other hook. Eight bytes of its layer 4 are all that an error must quote (RFC 792). */
__noinline int read_quoted(struct __sk_buff* skb, const struct packet* p, struct packet* quote) {
  __u8 l4[8];
  if (!p || !quote || !is_flow_error(p) || p->fragmented) return 0;
  __builtin_memset(quote, 0, sizeof(*quote));
  quote->is_v6 = p->is_v6;
  quote->l4_offset = p->l4_offset + 8;
  quote->l4_bytes = p->l4_bytes - 8;
  if (!(p->is_v6 ? read_quoted_v6(skb, quote) : read_quoted_v4(skb, quote))) return 0;
  if (quote->tuple.source.word[0] != p->tuple.destination.word[0] ||
      quote->tuple.source.word[1] != p->tuple.destination.word[1] || is_no_protocol(quote))
    return 0;
  if (l4_needs(quote->tuple.protocol)) {
    if (quote->l4_bytes < 8 || bpf_skb_load_bytes(skb, quote->l4_offset, l4, 8)) return 0;
    if (quote->tuple.protocol == IPPROTO_ICMP || quote->tuple.protocol == PROTOCOL_ICMPV6)
      parse_icmp(l4, quote);
    else
      parse_ports(l4, quote);
    if (quote->icmp_error) return 0;
  }
  quote->tuple.direction = !p->tuple.direction;
  return 1;
}

#endif
