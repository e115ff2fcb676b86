/* SPDX-License-Identifier: MIT */
/* A map's value copied into another's, word by word: what is longer than the compiler's own memcpy takes. */
#include "bpf.h"

#define WORDS 8192

struct block {
  __u64 words[WORDS];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct block);
} blocks SEC(".maps");

SEC("xdp")
int copy(struct xdp_md *ctx) {
  __u32 from_key = 0;
  __u32 to_key = 1;
  struct block *from = bpf_map_lookup_elem(&blocks, &from_key);
  if (!from) return 0;
  struct block *to = bpf_map_lookup_elem(&blocks, &to_key);
  if (!to) return 0;
  for (__u32 i = 0; i < WORDS; i++) WRITE_ONCE(to->words[i], from->words[i]);
  return (__u32)to->words[WORDS - 1];
}

LICENSE("MIT");
