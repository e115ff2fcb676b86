/* SPDX-License-Identifier: MIT */
/* Which traffic for ports of no socket is taken: ranges of ports by protocol, and who is turned away. */
#include "bpf.h"

LICENSE("GPL");

struct range {
  __u16 first;
  __u16 last;
  __u32 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, struct range);
} ranges SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64); /* prefix length, address */
  __type(value, __u32);
} banned SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 3);
  __type(key, __u32);
  __type(value, __u64);
} verdicts SEC(".maps");

static int verdict(__u32 which, int sk_action) {
  __u64 *count = bpf_map_lookup_elem(&verdicts, &which);
  if (count) __sync_fetch_and_add(count, 1);
  return sk_action;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx) {
  if (ctx->family == 2) {
    __u64 key = 32 | (__u64)ctx->remote_ip4 << 32;
    if (bpf_map_lookup_elem(&banned, &key)) return verdict(0, SK_DROP);
  }
  for (__u32 i = 0; i < 4; i++) {
    __u32 at = i;
    struct range *range = bpf_map_lookup_elem(&ranges, &at);
    if (range && range->protocol == ctx->protocol && ctx->local_port >= range->first && ctx->local_port <= range->last)
      return verdict(1, ctx->sk ? SK_DROP : SK_PASS);
  }
  return verdict(2, bpf_ntohs(ctx->remote_port) < 1024 ? SK_DROP : SK_PASS);
}
