/* SPDX-License-Identifier: MIT */
/*
 * Counts packets by the protocol that they carry, one counter a CPU, each in a program of its own that the dispatcher
 * calls by tail call. `chain` calls itself until the kernel's limit of 33 tail calls stops it.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>

struct counter {
  __u64 packets;
  __u64 bytes;
};

enum { SLOT_CHAIN, SLOT_IPV4, SLOT_EMPTY, SLOTS };

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, struct counter);
} by_protocol SEC(".maps");

int ipv4(struct xdp_md *ctx);
int chain(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, SLOTS);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} next SEC(".maps") = {
  .values = { [SLOT_CHAIN] = (void *)&chain, [SLOT_IPV4] = (void *)&ipv4 },
};

/* How often `chain` ran, the first time included. */
__u64 links;
__u64 not_ipv4;

static __noinline void count(__u32 protocol, __u64 bytes) {
  struct counter *counter = bpf_map_lookup_elem(&by_protocol, &protocol);
  if (!counter) return;
  counter->packets++;
  counter->bytes += bytes;
}

SEC("xdp")
int dispatch(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  if (data + sizeof(*ethernet) > end) return XDP_DROP;
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) bpf_tail_call(ctx, &next, SLOT_IPV4);
  /* An empty slot is no error: the program goes on. */
  bpf_tail_call(ctx, &next, SLOT_EMPTY);
  not_ipv4++;
  return XDP_PASS;
}

SEC("xdp")
int ipv4(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct iphdr *ip = data + sizeof(struct ethhdr);
  if ((void *)(ip + 1) > end) return XDP_DROP;
  count(ip->protocol, end - data);
  /* The answer's TTL tells that the packet was seen. */
  ip->ttl = 1;
  return ip->protocol == IPPROTO_ICMP ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int chain(struct xdp_md *ctx) {
  __sync_fetch_and_add(&links, 1);
  bpf_tail_call(ctx, &next, SLOT_CHAIN);
  return XDP_ABORTED;
}

LICENSE("MIT");
