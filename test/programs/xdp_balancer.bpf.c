/* SPDX-License-Identifier: MIT */
/*
 * A layer-4 load balancer: picks a server for each flow, wraps the packet in IPv4 (IPIP) in front of it, and sends it
 * where the routes lead. Server and next hop are remembered by flow.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#define FAMILY_IPV4 2
#define MAX_SERVERS 8

struct vip {
  __be32 address;
  __be16 port;
  __u16 protocol;
};

struct servers {
  __u32 count;
  __be32 address[MAX_SERVERS];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32);
  __type(key, struct vip);
  __type(value, struct servers);
} vips SEC(".maps");

struct flow {
  __be32 source;
  __be32 destination;
  __be16 ports[2];
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct flow);
  __type(value, __be32);
} flows SEC(".maps");

enum { NOT_OURS, NO_ROUTE, NO_NEIGHBOUR, TOO_LONG, SENT, OUTCOMES };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, OUTCOMES);
  __type(key, __u32);
  __type(value, __u64);
} outcomes SEC(".maps");

const volatile __be32 own_address = 0x0100000a;

static __always_inline int outcome(__u32 what, int verdict) {
  __u64 *n = bpf_map_lookup_elem(&outcomes, &what);
  if (n) __sync_fetch_and_add(n, 1);
  return verdict;
}

/* Jenkins' one-at-a-time over the flow. */
static __noinline __u32 hash(const struct flow *flow) {
  const __u8 *bytes = (const void *)flow;
  __u32 h = 0;
  for (__u32 i = 0; i < sizeof(*flow); i++) {
    h += bytes[i];
    h += h << 10;
    h ^= h >> 6;
  }
  h += h << 3;
  h ^= h >> 11;
  return h + (h << 15);
}

static __always_inline __be32 server_for(const struct flow *flow, const struct servers *servers) {
  __be32 *known = bpf_map_lookup_elem(&flows, flow);
  if (known) return *known;
  if (!servers->count) return 0;
  __u32 index = hash(flow) % servers->count;
  if (index >= MAX_SERVERS) return 0;
  __be32 server = servers->address[index];
  bpf_map_update_elem(&flows, flow, &server, BPF_ANY);
  return server;
}

static __always_inline __u16 fold(__s64 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("xdp")
int balance(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = data + sizeof(*ethernet);
  __be16 *ports = (void *)(ip + 1);
  if ((void *)(ports + 2) > end || ethernet->h_proto != bpf_htons(ETH_P_IP)) return outcome(NOT_OURS, XDP_PASS);
  if (ip->ihl != 5 || (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)) return outcome(NOT_OURS, XDP_PASS);
  struct vip vip = { .address = ip->daddr, .port = ports[1], .protocol = ip->protocol };
  struct servers *servers = bpf_map_lookup_elem(&vips, &vip);
  if (!servers) return outcome(NOT_OURS, XDP_PASS);
  struct flow flow = { .source = ip->saddr, .destination = ip->daddr, .ports = { ports[0], ports[1] } };
  __be32 server = server_for(&flow, servers);
  if (!server) return outcome(NOT_OURS, XDP_DROP);
  __u16 length = bpf_ntohs(ip->tot_len) + sizeof(*ip);

  struct bpf_fib_lookup route = {
    .family = FAMILY_IPV4,
    .l4_protocol = IPPROTO_IPIP,
    .tot_len = length,
    .ifindex = ctx->ingress_ifindex,
    .ipv4_src = own_address,
    .ipv4_dst = server,
  };
  long found = bpf_fib_lookup(ctx, &route, sizeof(route), 0);
  if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED) return outcome(TOO_LONG, XDP_DROP);
  if (found == BPF_FIB_LKUP_RET_NO_NEIGH) return outcome(NO_NEIGHBOUR, XDP_PASS);
  if (found != BPF_FIB_LKUP_RET_SUCCESS) return outcome(NO_ROUTE, XDP_DROP);

  if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip))) return XDP_ABORTED;
  data = (void *)(long)ctx->data;
  end = (void *)(long)ctx->data_end;
  ethernet = data;
  ip = data + sizeof(*ethernet);
  if ((void *)(ip + 1) > end) return XDP_ABORTED;
  __builtin_memcpy(ethernet->h_dest, route.dmac, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, route.smac, ETH_ALEN);
  ethernet->h_proto = bpf_htons(ETH_P_IP);
  __builtin_memset(ip, 0, sizeof(*ip));
  ip->version = 4;
  ip->ihl = 5;
  ip->tot_len = bpf_htons(length);
  ip->ttl = 64;
  ip->protocol = IPPROTO_IPIP;
  ip->saddr = own_address;
  ip->daddr = server;
  ip->check = fold(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
  return outcome(SENT, bpf_redirect(route.ifindex, 0));
}

/* Where a server has no tunnel: packets to the VIP with a listener here stay here. */
SEC("xdp")
int keep_local(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = data + sizeof(*ethernet);
  __be16 *ports = (void *)(ip + 1);
  if ((void *)(ports + 2) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5) return XDP_PASS;
  struct bpf_sock_tuple tuple = {
    .ipv4 = { .saddr = ip->saddr, .daddr = ip->daddr, .sport = ports[0], .dport = ports[1] },
  };
  struct bpf_sock *socket = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
  if (!socket) return XDP_DROP;
  __u32 state = socket->state;
  bpf_sk_release(socket);
  __u32 mtu = 0;
  if (bpf_check_mtu(ctx, 0, &mtu, 0, 0)) return XDP_DROP;
  return state == 10 ? XDP_PASS : XDP_TX;
}

LICENSE("GPL");
