/* SPDX-License-Identifier: MIT */
/*
 * Loops by iterators: sums of ranges, a multiplication table by one loop inside another, and the CPUs of a mask. What is
 * beyond the kernel's limits is refused, and the loop does not run.
 */
#include "bpf.h"
#include "kfuncs.h"

#define MASK_WORDS 8

/* What to go over; set before the runs. */
__s32 from, to;
__u32 words = MASK_WORDS;
__u64 mask[MASK_WORDS];

__s64 sum, turns;
__s32 error;
__u32 table[10][10];
__s32 found[24];

SEC("xdp")
int range(struct xdp_md *ctx) {
  struct bpf_iter_num it;
  int *number;

  sum = turns = 0;
  error = bpf_iter_num_new(&it, from, to);
  while ((number = bpf_iter_num_next(&it))) {
    sum += *number;
    turns++;
  }
  bpf_iter_num_destroy(&it);
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

SEC("xdp")
int cpus(struct xdp_md *ctx) {
  struct bpf_iter_bits it;
  int *bit;

  turns = 0;
  error = bpf_iter_bits_new(&it, mask, words);
  while ((bit = bpf_iter_bits_next(&it))) {
    __u64 n = turns;

    if (n < sizeof(found) / sizeof(*found)) found[n] = *bit;
    turns++;
  }
  bpf_iter_bits_destroy(&it);
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
