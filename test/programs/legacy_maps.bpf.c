/* SPDX-License-Identifier: MIT */
/*
 * An object as they were before BTF-defined maps: struct bpf_map_def in "maps", keys and values by annotation, a program
 * array that user space fills. It keeps a blocklist of source addresses and counts what it lets pass.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/ip.h>

struct bpf_map_def {
  unsigned int type;
  unsigned int key_size;
  unsigned int value_size;
  unsigned int max_entries;
  unsigned int map_flags;
  /* Some loaders knew more; nothing here uses it. */
  unsigned int inner_map_idx;
  unsigned int numa_node;
};

/* What told old loaders the types of a map: a struct that nothing uses. */
#define ANNOTATE(map, key_type, value_type)                                                        \
  struct ____btf_map_##map {                                                                       \
    key_type key;                                                                                  \
    value_type value;                                                                              \
  };                                                                                               \
  struct ____btf_map_##map __attribute__((section(".maps." #map), used)) ____btf_map_##map = {}

struct address {
  __u32 prefix;
  __u8 bytes[4];
};

struct bpf_map_def SEC("maps") blocked = {
  .type = BPF_MAP_TYPE_LPM_TRIE,
  .key_size = sizeof(struct address),
  .value_size = sizeof(__u32),
  .max_entries = 64,
  .map_flags = BPF_F_NO_PREALLOC,
};
ANNOTATE(blocked, struct address, __u32);

struct bpf_map_def SEC("maps") passed = {
  .type = BPF_MAP_TYPE_PERCPU_ARRAY,
  .key_size = sizeof(__u32),
  .value_size = sizeof(__u64),
  .max_entries = 1,
};
ANNOTATE(passed, __u32, __u64);

struct bpf_map_def SEC("maps") stages = {
  .type = BPF_MAP_TYPE_PROG_ARRAY,
  .key_size = sizeof(__u32),
  .value_size = sizeof(__u32),
  .max_entries = 2,
};

SEC("xdp")
int filter(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct iphdr *ip = data + sizeof(struct ethhdr);
  struct address source = { .prefix = 32 };
  __u32 *verdict;

  if ((void *)(ip + 1) > end) return XDP_PASS;
  memcpy(source.bytes, &ip->saddr, sizeof(source.bytes));
  verdict = bpf_map_lookup_elem(&blocked, &source);
  if (verdict) return *verdict;
  bpf_tail_call(ctx, &stages, 1);
  return XDP_ABORTED;
}

SEC("xdp")
int count(struct xdp_md *ctx) {
  __u32 key = 0;
  __u64 *packets = bpf_map_lookup_elem(&passed, &key);

  if (packets) (*packets)++;
  return XDP_PASS;
}

LICENSE("GPL");
