/* SPDX-License-Identifier: MIT */
/*
 * Meters a cgroup's traffic, by remote address, and lets no more through than a budget; what goes out may be told to
 * slow down. Sees packets from their IP header on, and may not write them.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#define FAMILY_IPV4 2
#define ALLOW 1
#define DENY 0
/* Out: the packet goes, its sender should slow down. */
#define SLOW_DOWN 2

struct meter {
  __u64 packets;
  __u64 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, __u32[4]);
  __type(value, struct meter);
} meters SEC(".maps");

const volatile __u64 budget = 200;
__u64 spent;
__u64 marked;

static __always_inline int meter(struct __sk_buff *skb, int incoming) {
  void *data = (void *)(long)skb->data;
  void *end = (void *)(long)skb->data_end;
  __u32 remote[4] = { 0 };
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    struct iphdr *ip = data;
    if ((void *)(ip + 1) > end) return DENY;
    remote[3] = incoming ? ip->saddr : ip->daddr;
  } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr *ip = data;
    if ((void *)(ip + 1) > end) return DENY;
    __builtin_memcpy(remote, incoming ? &ip->saddr : &ip->daddr, sizeof(remote));
  } else {
    return DENY;
  }
  struct meter *found = bpf_map_lookup_elem(&meters, remote);
  if (!found) {
    struct meter first = { 0 };
    bpf_map_update_elem(&meters, remote, &first, BPF_NOEXIST);
    found = bpf_map_lookup_elem(&meters, remote);
    if (!found) return DENY;
  }
  __sync_fetch_and_add(&found->packets, 1);
  __sync_fetch_and_add(&found->bytes, skb->len);
  __sync_fetch_and_add(&spent, skb->len);
  return ALLOW;
}

SEC("cgroup_skb/ingress")
int in(struct __sk_buff *skb) {
  int verdict = meter(skb, 1);
  struct bpf_sock *socket = skb->sk;
  if (socket) socket = bpf_sk_fullsock(socket);
  /* The socket's own side is where the packet goes to; a test run takes source for its own. */
  if (socket && skb->family == FAMILY_IPV4) {
    skb->cb[0] = socket->src_ip4;
    skb->cb[1] = socket->dst_ip4 == skb->remote_ip4;
    skb->cb[2] = socket->family;
  }
  skb->cb[3] = bpf_get_socket_uid(skb);
  return verdict == ALLOW && spent > budget ? DENY : verdict;
}

SEC("cgroup_skb/egress")
int out(struct __sk_buff *skb) {
  int verdict = meter(skb, 0);
  if (verdict == DENY || spent <= budget) return verdict;
  /* Packets of senders that know congestion marks are marked, others go as they are. */
  if (bpf_skb_ecn_set_ce(skb)) marked++;
  skb->mark = 7;
  return verdict | SLOW_DOWN;
}
