/* SPDX-License-Identifier: MIT */
/*
 * Every n-th packet of a kind is copied in part into a ring. Two programs share functions, and one of them has branches
 * that only odd packets reach: what coverage has to tell.
 */
#include "bpf.h"
#include <linux/if_ether.h>

#define SAMPLE_BYTES 32

enum kind { KIND_IPV4, KIND_IPV6, KIND_ARP, KIND_OTHER, KINDS };

struct sample {
  __u32 kind;
  __u32 length;
  __u8 bytes[SAMPLE_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} samples SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, KINDS);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

const volatile __u32 every = 2;

static __noinline __u32 kind_of(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  if (data + sizeof(*ethernet) > end) return KIND_OTHER;
  switch (bpf_ntohs(ethernet->h_proto)) {
    case ETH_P_IP:
      return KIND_IPV4;
    case ETH_P_IPV6:
      return KIND_IPV6;
    case ETH_P_ARP:
      return KIND_ARP;
    default:
      return KIND_OTHER;
  }
}

static __noinline __u64 count_one(__u32 kind) {
  __u64 *count = bpf_map_lookup_elem(&packets, &kind);
  if (!count) return 0;
  return __sync_fetch_and_add(count, 1);
}

static __always_inline int copy_sample(struct xdp_md *ctx, __u32 kind) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  if (data + SAMPLE_BYTES > end) return 0;
  struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
  if (!sample) return 0;
  sample->kind = kind;
  sample->length = end - data;
  __builtin_memcpy(sample->bytes, data, SAMPLE_BYTES);
  bpf_ringbuf_submit(sample, 0);
  return 1;
}

SEC("xdp")
int sampler(struct xdp_md *ctx) {
  __u32 kind = kind_of(ctx);
  __u64 number = count_one(kind);
  if (every == 0 || number % every != 0) return XDP_PASS;
  return copy_sample(ctx, kind) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int only_count(struct xdp_md *ctx) {
  count_one(kind_of(ctx));
  return XDP_PASS;
}

LICENSE("GPL");
