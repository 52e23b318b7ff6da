#ifndef CORDON_EBPF_PARSE_BPF_H
#define CORDON_EBPF_PARSE_BPF_H
/* One cursor in, one reason out: IPv4 and IPv6 headers and the layer-4 header to a tuple. */

#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "ebpf/report.bpf.h"

#define L2_NONE 0u /* tun, WireGuard: bare IP */
#define L2_ETHERNET ETH_HLEN
#define PASS_BELOW_IP 255u /* not IP at all, and of the link's own business (ARP) */

#define PROTOCOL_SCTP 132
#define SCTP_HEADER 12 /* behind it the first chunk, with its type */
#define SCTP_INIT 1
#define PROTOCOL_ICMPV6 58
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#define TCP_FIN 1u
#define TCP_SYN 2u
#define TCP_RST 4u
#define TCP_ACK 16u

#define LONGEST_HEADERS 80u /* IPv4 with all options, TCP without */

/* 64 bytes: with what it calls, the verdict stays within 512 of stack. */
struct packet {
  struct tuple tuple;
  __u32 l4_offset;
  __u32 fragment_id;
  __u32 rule;           /* that forbade it, when one did */
  __u16 l4_bytes;       /* by the IP header's own account; of a jumbo 65,535 */
  __u16 fragment_at;    /* bytes of the datagram before this fragment: then it holds no layer-4 header */
  __u16 fragment_bytes; /* in this fragment */
  __u8 is_v6;
  __u8 fragmented; /* any fragment */
  __u8 has_l4;     /* ports, or an ICMP type (in grant_port), were read */
  __u8 tcp_flags;
  __u8 icmp_code;
  __u8 icmp_error; /* carries a quoted packet */
};

#define V4_MAPPED_WORD bpf_cpu_to_be64(0x0000ffff00000000ULL)

static __always_inline void map_v4(struct cordon_address* to, __be32 from) {
  to->word[0] = 0;
  to->word[1] = V4_MAPPED_WORD | bpf_cpu_to_be64((__u64)bpf_ntohl(from));
}

/* True for ::ffff:0:0/96, which must not come in an IPv6 header: it would be taken for somebody's IPv4. */
static __always_inline int is_mapped(const struct cordon_address* address) {
  return address->word[0] == 0 &&
         (address->word[1] & bpf_cpu_to_be64(0xffffffff00000000ULL)) == V4_MAPPED_WORD;
}

/* Fragments end at multiples of 8 but for the last, and a datagram has at most 65,535 bytes. */
static __always_inline __u32 note_fragment_field(struct packet* p, __u32 at, __u32 more) {
  p->fragmented = 1;
  p->fragment_at = at;
  p->fragment_bytes = p->l4_bytes;
  return at + p->l4_bytes > 0xffff || (more && (p->l4_bytes & 7)) ? CORDON_REASON_malformed
                                                                  : CORDON_REASON_none;
}

/* What the kernel put together past 64 KiB (GRO, BIG TCP) says 0 for its length, and is as long as it is. */
static __always_inline __u32 length_said(struct __sk_buff* skb, __u32 said, __u32 length) {
  return said || !skb->gso_size ? said : length;
}

static __always_inline __u16 at_most_64k(__u32 bytes) {
  return bytes > 0xffff ? 0xffff : bytes;
}

static __always_inline __u32 take_v4(struct __sk_buff* skb, const struct iphdr* ip, __u32 l2,
                                     struct packet* p) {
  __u32 length = skb->len - l2;
  __u32 header = ip->ihl * 4;
  __u32 total = length_said(skb, bpf_ntohs(ip->tot_len), length);
  if (header < sizeof(*ip) || total < header || total > length) return CORDON_REASON_malformed;
  map_v4(&p->tuple.source, ip->saddr);
  map_v4(&p->tuple.destination, ip->daddr);
  p->tuple.protocol = ip->protocol;
  p->l4_offset = l2 + header;
  p->l4_bytes = at_most_64k(total - header);
  __u16 fragment = bpf_ntohs(ip->frag_off);
  if (!(fragment & 0x3fff)) return CORDON_REASON_none;
  p->fragment_id = ip->id;
  return note_fragment_field(p, (fragment & 0x1fff) * 8, fragment & 0x2000);
}

static __always_inline __u32 take_v6(struct __sk_buff* skb, const struct ipv6hdr* ip, __u32 l2,
                                     struct packet* p) {
  __u32 length = skb->len - l2;
  __u32 payload = length_said(skb, bpf_ntohs(ip->payload_len), length - sizeof(*ip));
  if (payload + sizeof(*ip) > length) return CORDON_REASON_malformed;
  __builtin_memcpy(&p->tuple.source, &ip->saddr, 16);
  __builtin_memcpy(&p->tuple.destination, &ip->daddr, 16);
  if (is_mapped(&p->tuple.source) || is_mapped(&p->tuple.destination)) return CORDON_REASON_malformed;
  p->tuple.protocol = ip->nexthdr;
  p->l4_offset = l2 + sizeof(*ip);
  p->l4_bytes = at_most_64k(payload);
  p->is_v6 = 1;
  return CORDON_REASON_none;
}

static __always_inline __u32 parse_v4(struct __sk_buff* skb, __u32 l2, struct packet* p) {
  struct iphdr* ip = (void*)(long)skb->data + l2;
  return (void*)(ip + 1) > (void*)(long)skb->data_end ? CORDON_REASON_malformed : take_v4(skb, ip, l2, p);
}

static __always_inline __u32 parse_v6(struct __sk_buff* skb, __u32 l2, struct packet* p) {
  struct ipv6hdr* ip = (void*)(long)skb->data + l2;
  return (void*)(ip + 1) > (void*)(long)skb->data_end ? CORDON_REASON_malformed : take_v6(skb, ip, l2, p);
}

/* Makes the headers readable in place, then reads the IP header. */
static __always_inline __u32 parse_l3(struct __sk_buff* skb, __u32 l2, struct packet* p) {
  __u32 want = skb->len < l2 + LONGEST_HEADERS ? skb->len : l2 + LONGEST_HEADERS;
  if ((__u64)skb->data_end - (__u64)skb->data < want) bpf_skb_pull_data(skb, want);
  void *data = (void*)(long)skb->data, *data_end = (void*)(long)skb->data_end;
  if (data + l2 + 1 > data_end) return CORDON_REASON_malformed;
  __u8 version = *(__u8*)(data + l2) >> 4;
  if (l2 == L2_ETHERNET) {
    __be16 type = ((struct ethhdr*)data)->h_proto;
    if (type == bpf_htons(ETH_P_ARP)) return PASS_BELOW_IP;
    if (type != (version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6))) return CORDON_REASON_not_ip;
  }
  if (version == 4) return parse_v4(skb, l2, p);
  if (version == 6) return parse_v6(skb, l2, p);
  return CORDON_REASON_not_ip;
}

/* Headers of IPv6 that stand between it and layer 4 (RFC 8200; AH and the rest of IANA's registry). */
static __always_inline int is_extension(__u8 header) {
  return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_FRAGMENT ||
         header == IPPROTO_DSTOPTS || header == IPPROTO_AH || header == 135 || header == 139 || header == 140;
}

static __always_inline int is_icmp_error(int is_v6, __u8 type) {
  if (is_v6) return type < 128 || type == 137;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Echo has no ports but an identifier, which stands in for the asker's port; the request's type is the other
 * one's. So a reply is the same flow, seen from the other end. */
static __always_inline void parse_icmp(const __u8* l4, struct packet* p) {
  __u8 type = l4[0];
  __u16 identifier = (__u16)l4[4] << 8 | l4[5];
  __u8 request = p->is_v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO_REQUEST;
  __u8 reply = p->is_v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
  p->icmp_code = l4[1];
  p->icmp_error = is_icmp_error(p->is_v6, type);
  p->tuple.grant_port = type;
  p->tuple.source_port = type == reply ? request : type == request ? identifier : 0;
  p->tuple.destination_port = type == reply ? identifier : type;
}

static __always_inline void parse_ports(const __u8* l4, struct packet* p) {
  p->tuple.source_port = (__u16)l4[0] << 8 | l4[1];
  p->tuple.destination_port = (__u16)l4[2] << 8 | l4[3];
  p->tuple.grant_port = p->tuple.destination_port;
}

/* How much of layer 4 must be there; protocols without ports keep port 0. */
static __always_inline __u32 l4_needs(__u8 protocol) {
  if (protocol == IPPROTO_TCP) return 20;
  if (protocol == PROTOCOL_SCTP) return 12;
  return protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP || protocol == PROTOCOL_ICMPV6 ? 8 : 0;
}

/* The other family's ICMP, and 0, which is IPv6's hop-by-hop options alone and "any" in a grant. */
static __always_inline int is_no_protocol(const struct packet* p) {
  __u8 protocol = p->tuple.protocol;
  return protocol == (p->is_v6 ? IPPROTO_ICMP : PROTOCOL_ICMPV6) || !protocol;
}

/* From so many bytes as l4_needs(), 8 at least. */
static __always_inline __u32 take_l4(const __u8* l4, struct packet* p) {
  __u8 protocol = p->tuple.protocol;
  p->has_l4 = 1;
  if (protocol == IPPROTO_ICMP || protocol == PROTOCOL_ICMPV6) {
    parse_icmp(l4, p);
    return CORDON_REASON_none;
  }
  parse_ports(l4, p);
  if (protocol != IPPROTO_TCP) return CORDON_REASON_none;
  __u32 header = (__u32)(l4[12] >> 4) * 4;
  p->tcp_flags = l4[13];
  return header < 20 || header > p->l4_bytes ? CORDON_REASON_malformed : CORDON_REASON_none;
}

/* Reads the layer-4 header where it lies. */
static __always_inline __u32 parse_l4(struct __sk_buff* skb, struct packet* p) {
  void* data_end = (void*)(long)skb->data_end;
  if (is_no_protocol(p)) return CORDON_REASON_malformed;
  __u32 need = l4_needs(p->tuple.protocol);
  if (!need) return CORDON_REASON_none;
  __u32 offset = p->l4_offset & 127; /* at most 74; the mask tells the verifier */
  const __u8* l4 = (const __u8*)(long)skb->data + offset;
  if (p->l4_bytes < need || (void*)(l4 + 8) > data_end) return CORDON_REASON_malformed;
  if (p->tuple.protocol == IPPROTO_TCP && (void*)(l4 + 20) > data_end) return CORDON_REASON_malformed;
  return take_l4(l4, p);
}

static __always_inline int is_bare_syn(const struct packet* p) {
  return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

#endif
