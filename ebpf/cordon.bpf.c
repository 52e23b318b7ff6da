/* The programs, in one object so that they share one set of maps. Each tc program exists for bare IP (tun,
 * WireGuard) and for Ethernet, so that no packet pays for the question. */

#include "ebpf/bind.bpf.h"
#include "ebpf/connect.bpf.h"
#include "ebpf/send.bpf.h"
#include "ebpf/sockets.bpf.h"
#include "ebpf/sweep.bpf.h"
#include "ebpf/underlay.bpf.h"
#include "ebpf/verdict.bpf.h"

SEC("tc") int overlay_in(struct __sk_buff* skb) {
  return verdict(skb, L2_NONE, CORDON_INGRESS);
}
SEC("tc") int overlay_out(struct __sk_buff* skb) {
  return verdict(skb, L2_NONE, CORDON_EGRESS);
}
SEC("tc") int overlay_in_eth(struct __sk_buff* skb) {
  return verdict(skb, L2_ETHERNET, CORDON_INGRESS);
}
SEC("tc") int overlay_out_eth(struct __sk_buff* skb) {
  return verdict(skb, L2_ETHERNET, CORDON_EGRESS);
}

SEC("tc") int guard_in(struct __sk_buff* skb) {
  return underlay_in(skb, L2_NONE);
}
SEC("tc") int guard_out(struct __sk_buff* skb) {
  return underlay_out(skb, L2_NONE);
}
SEC("tc") int guard_in_eth(struct __sk_buff* skb) {
  return underlay_in(skb, L2_ETHERNET);
}
SEC("tc") int guard_out_eth(struct __sk_buff* skb) {
  return underlay_out(skb, L2_ETHERNET);
}

SEC("cgroup_skb/ingress") int socket_in(struct __sk_buff* skb) {
  return guard_socket(skb, 0);
}
SEC("cgroup_skb/egress") int socket_out(struct __sk_buff* skb) {
  return guard_socket(skb, 1);
}

SEC("cgroup/connect4") int connect_v4(struct bpf_sock_addr* ctx) {
  return connecting_v4(ctx);
}
SEC("cgroup/connect6") int connect_v6(struct bpf_sock_addr* ctx) {
  return connecting_v6(ctx);
}

SEC("cgroup/sendmsg4") int sendmsg_v4(struct bpf_sock_addr* ctx) {
  return sending_v4(ctx);
}
SEC("cgroup/sendmsg6") int sendmsg_v6(struct bpf_sock_addr* ctx) {
  return sending_v6(ctx);
}
SEC("cgroup/bind4") int bind_v4(struct bpf_sock_addr* ctx) {
  return binding_v4(ctx);
}
SEC("cgroup/bind6") int bind_v6(struct bpf_sock_addr* ctx) {
  return binding_v6(ctx);
}

SEC("syscall") int sweep(struct cordon_sweep* work) {
  return sweep_all(work);
}

char _license[] SEC("license") = "GPL";
