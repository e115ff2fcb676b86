/* SPDX-License-Identifier: MIT */
/* The internet checksum: over a packet by 16-bit words, each tested against its end, and over a map's value by 32 bits. */
#include "bpf.h"

#define PASSES 10
#define PACKET_WORDS 760
#define VALUE_WORDS 16384

struct block {
  __u32 words[VALUE_WORDS];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct block);
} blocks SEC(".maps");

static __always_inline __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("xdp")
int checksum_packet(struct xdp_md *ctx) {
  __u64 sum = 0;
  for (__u32 pass = 0; pass < PASSES; pass++) {
    void *end = (void *)(long)ctx->data_end;
    __u16 *word = (void *)(long)ctx->data;
    for (__u32 i = 0; i < PACKET_WORDS; i++) {
      if ((void *)(word + 1) > end) break;
      sum += *word++;
    }
  }
  return fold(sum);
}

SEC("xdp")
int checksum_value(struct xdp_md *ctx) {
  __u32 key = 0;
  struct block *block = bpf_map_lookup_elem(&blocks, &key);
  if (!block) return 0;
  __u64 sum = 0;
  for (__u32 i = 0; i < VALUE_WORDS; i++) sum += block->words[i];
  return fold(sum);
}

LICENSE("MIT");
