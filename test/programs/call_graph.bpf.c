/* SPDX-License-Identifier: MIT */
/*
 * Calls of every kind in one object: functions of .text and of other sections, static ones that are shared, global ones
 * that are verified by themselves, hidden ones that are not, weak ones, functions as callbacks of callbacks, and a chain
 * eight deep. Each program is linked with just the functions that it reaches.
 */
#include "bpf.h"

struct tally {
  __u64 visits;
  __u64 sum;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u64);
} values SEC(".maps");

struct tally tally;
volatile const __u32 rounds = 3;

/* Shared by callbacks and programs; its code is in each of them. */
static __noinline __u64 scaled(__u64 value, __u32 by) {
  return value * by + 1;
}

/* Verified by itself, with any argument. */
__noinline int checked(struct xdp_md *ctx, struct tally *into) {
  if (!into) return -1;
  into->visits++;
  into->sum += ctx->data_end - ctx->data;
  return 0;
}

/* Global for the compiler, static for the verifier: it is verified with its callers, who give no NULL. */
__hidden __noinline int trusting(struct tally *into) {
  into->visits += 10;
  return into->visits;
}

/* Another object might have a better one. */
__weak __noinline int preference(__u32 value) {
  return value & 1 ? 5 : 6;
}

/* In a section of its own, which is no program's. */
__attribute__((section(".text.cold"), noinline)) int rarely(__u32 value) {
  return value > 1000 ? -1 : (int)value + 2;
}

static int add_one(void *map, __u32 *key, __u64 *value, struct tally *into) {
  into->visits++;
  into->sum += scaled(*value, *key);
  return 0;
}

static int one_round(__u32 index, struct tally *into) {
  bpf_for_each_map_elem(&values, add_one, into, 0);
  return index >= 100;
}

#define LINK(n, next)                                                                              \
  static __noinline __u32 chain_##n(__u32 value) {                                                 \
    return next(value + n) ^ n;                                                                    \
  }
static __noinline __u32 chain_0(__u32 value) {
  return value * 3;
}
LINK(1, chain_0)
LINK(2, chain_1)
LINK(3, chain_2)
LINK(4, chain_3)
LINK(5, chain_4)
LINK(6, chain_5)

SEC("xdp")
int callbacks(struct xdp_md *ctx) {
  struct tally local = {};

  bpf_loop(rounds, one_round, &local, 0);
  tally = local;
  return scaled(local.visits, 2);
}

SEC("xdp")
int globals(struct xdp_md *ctx) {
  struct tally local = {};

  if (checked(ctx, &local) || checked(ctx, NULL) != -1) return XDP_ABORTED;
  tally.sum = local.sum;
  return trusting(&local) + preference(local.sum) + rarely(local.sum);
}

SEC("xdp")
int deep(struct xdp_md *ctx) {
  return chain_6(ctx->data_end - ctx->data);
}

LICENSE("GPL");
