#ifndef CORDON_EBPF_DATAGRAM_BPF_H
#define CORDON_EBPF_DATAGRAM_BPF_H
/* connect() of a UDP socket. Nothing is sent yet, and programs use it to ask which source they would have, or
 * which of a name's addresses there is a way to; for what they then do over another protocol. */

#include "ebpf/ask.bpf.h"

/* Ports that stand for none: what a resolver puts in that wants to know of a way alone. */
#define PORT_ASKED_BY_GLIBC 0    /* getaddrinfo without a service; with one, it asks by its port */
#define PORT_ASKED_BY_GO 9       /* package net */
#define PORT_ASKED_BY_MUSL 65535 /* getaddrinfo */
#define PORT_ASKED_BY_PING 1025  /* iputils, for its source: with an echo request in mind */

static __always_inline int asks_for_a_way(__u16 port) {
  return port == PORT_ASKED_BY_GLIBC || port == PORT_ASKED_BY_GO || port == PORT_ASKED_BY_MUSL;
}

/* Is it the port alone that speaks against it? */
static __always_inline int another_port_may_do(__u32 reason) {
  return reason == CORDON_REASON_no_grant || reason == CORDON_REASON_forbidden ||
         reason == CORDON_REASON_grant_expired || reason == CORDON_REASON_host_isolated;
}

/* The tuple's source is filled. */
static __always_inline int may_by(const struct tuple* asked, __u32 uid, __u8 protocol, __u16 port) {
  struct tuple other = *asked;
  struct answer answer = {};
  other.protocol = protocol;
  other.grant_port = port;
  return !look_ahead(&other, uid, &answer);
}

static __always_inline int may_otherwise(const struct tuple* asked, __u32 uid) {
  __u16 port = asked->grant_port;
  if (may_by(asked, uid, IPPROTO_TCP, port) || may_by(asked, uid, PROTOCOL_SCTP, port)) return 1;
  if (port != PORT_ASKED_BY_PING) return 0;
  return is_mapped(&asked->destination) ? may_by(asked, uid, IPPROTO_ICMP, ICMP_ECHO_REQUEST)
                                        : may_by(asked, uid, PROTOCOL_ICMPV6, ICMPV6_ECHO_REQUEST);
}

/* Why connect() is refused, or none. A denial as TCP's is, counted and told, where the caller may use the
 * port over no protocol; a question about a way fails only where no port would help, and is no denial. */
__noinline int ask_datagrams(struct tuple* tuple, __u32 uid) {
  struct answer answer = {};
  if (!tuple || !look_ahead(tuple, uid, &answer)) return 0;
  int of_port = another_port_may_do(answer.reason);
  if (asks_for_a_way(tuple->grant_port)) return of_port ? CORDON_REASON_none : answer.reason;
  if (of_port && may_otherwise(tuple, uid)) return 0;
  tell_refusal(tuple, &answer);
  return answer.reason;
}

#endif
