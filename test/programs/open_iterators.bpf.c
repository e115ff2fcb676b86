/* SPDX-License-Identifier: MIT */
/*
 * Loops by iterators: sums of ranges, a multiplication table by one loop inside another, and the CPUs of a mask. What is
 * beyond the kernel's limits is refused, and the loop does not run.
 */
#include "bpf.h"
#include "kfuncs.h"

#define MASK_WORDS 8

#define RANGES 9
#define MASKS 7

/* What to go over, and what came of it. */
struct {
  __s32 from, to;
  __s64 sum, turns;
  __s32 error;
} ranges[RANGES];

struct {
  __u64 words[MASK_WORDS];
  __u32 count;
  __s32 error;
  __u32 turns;
  __s32 found[9];
} masks[MASKS];

__s64 turns;
__s32 error;
__u32 table[10][10];
__s32 found[4];

/* In functions of their own: the verifier forgets about a counter around a loop of an iterator. */
static __noinline void one_sum(__u32 i) {
  struct bpf_iter_num it;
  int *number;

  if (i >= RANGES) return;
  ranges[i].error = bpf_iter_num_new(&it, ranges[i].from, ranges[i].to);
  while ((number = bpf_iter_num_next(&it))) {
    ranges[i].sum += *number;
    ranges[i].turns++;
  }
  bpf_iter_num_destroy(&it);
}

SEC("xdp")
int sums(struct xdp_md *ctx) {
  __u32 i;

  for (i = 0; i < RANGES; i++) one_sum(i);
  return XDP_PASS;
}

SEC("xdp")
int multiply(struct xdp_md *ctx) {
  struct bpf_iter_num rows, columns;
  int *row, *column;

  bpf_iter_num_new(&rows, 0, 10);
  while ((row = bpf_iter_num_next(&rows))) {
    __u32 r = *row;

    bpf_iter_num_new(&columns, 0, 10);
    while ((column = bpf_iter_num_next(&columns))) {
      __u32 c = *column;

      if (r < 10 && c < 10) table[r][c] = r * c;
      if (c == r) break;
    }
    bpf_iter_num_destroy(&columns);
  }
  bpf_iter_num_destroy(&rows);
  return XDP_PASS;
}

static __noinline void one_mask(__u32 i) {
  struct bpf_iter_bits it;
  int *bit;

  if (i >= MASKS) return;
  masks[i].error = bpf_iter_bits_new(&it, masks[i].words, masks[i].count);
  while ((bit = bpf_iter_bits_next(&it))) {
    __u32 n = masks[i].turns;

    if (n < sizeof(masks[i].found) / sizeof(*masks[i].found)) masks[i].found[n] = *bit;
    masks[i].turns++;
  }
  bpf_iter_bits_destroy(&it);
}

SEC("xdp")
int cpus(struct xdp_md *ctx) {
  __u32 i;

  for (i = 0; i < MASKS; i++) one_mask(i);
  return XDP_PASS;
}

/* One word is copied when the loop begins: what is stored later does not count. */
SEC("xdp")
int one_word(struct xdp_md *ctx) {
  struct bpf_iter_bits it;
  __u64 word = 0x8000000000000005;
  int *bit;

  turns = 0;
  error = bpf_iter_bits_new(&it, &word, 1);
  word = 0;
  barrier_var(word);
  while ((bit = bpf_iter_bits_next(&it))) {
    __u64 n = turns;

    if (n < sizeof(found) / sizeof(*found)) found[n] = *bit;
    turns++;
  }
  bpf_iter_bits_destroy(&it);
  error = bpf_iter_bits_new(&it, (void *)4096, 1);
  bpf_iter_bits_destroy(&it);
  return XDP_PASS;
}

LICENSE("GPL");
