/* SPDX-License-Identifier: MIT */
/*
 * A packet filter: rules of a table are tried one after the other by a callback until one decides; what is dropped is
 * noted by a program of its own, which the filter goes on in. What a trace has to show: functions, callbacks, tail calls.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>

#define MAX_RULES 16

enum verdict { NEXT_RULE, ACCEPT, DROP };

struct rule {
  __u32 address;
  __u32 mask;
  __u8 protocol; /* 0: any */
  __u8 verdict;
  __u16 unused;
};

struct seen {
  __u32 source;
  __u8 protocol;
  __u8 verdict;
  __u16 rule;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_RULES);
  __type(key, __u32);
  __type(value, struct rule);
} rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u64);
} dropped SEC(".maps");

int note_drop(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} steps SEC(".maps") = {
  .values = { (void *)&note_drop },
};

__u32 rule_count;
__u64 tried;

static long try_rule(__u32 index, struct seen *seen) {
  struct rule *rule = bpf_map_lookup_elem(&rules, &index);
  if (!rule) return 1;
  tried++;
  if ((seen->source & rule->mask) != rule->address) return 0;
  if (rule->protocol != 0 && rule->protocol != seen->protocol) return 0;
  seen->verdict = rule->verdict;
  seen->rule = index;
  return rule->verdict != NEXT_RULE;
}

static __noinline int source_of(struct xdp_md *ctx, struct seen *seen) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  struct iphdr *ip = data + sizeof(*ethernet);
  if ((void *)(ip + 1) > end) return -1;
  if (ethernet->h_proto != bpf_htons(ETH_P_IP)) return -1;
  seen->source = ip->saddr;
  seen->protocol = ip->protocol;
  return 0;
}

SEC("xdp")
int filter(struct xdp_md *ctx) {
  struct seen seen = {};
  if (source_of(ctx, &seen) < 0) return XDP_PASS;
  __u32 count = rule_count > MAX_RULES ? MAX_RULES : rule_count;
  bpf_loop(count, try_rule, &seen, 0);
  if (seen.verdict == DROP) {
    bpf_tail_call(ctx, &steps, 0);
    return XDP_ABORTED;
  }
  return XDP_PASS;
}

SEC("xdp")
int note_drop(struct xdp_md *ctx) {
  struct seen seen = {};
  if (source_of(ctx, &seen) < 0) return XDP_ABORTED;
  __u64 one = 1;
  __u64 *count = bpf_map_lookup_elem(&dropped, &seen.source);
  if (count)
    ++*count;
  else
    bpf_map_update_elem(&dropped, &seen.source, &one, BPF_NOEXIST);
  return XDP_DROP;
}

LICENSE("GPL");
