/* SPDX-License-Identifier: MIT */
/*
 * Calls: functions that helpers call again and again, tail calls, iterators, functions of the program, and helpers that do
 * little. Each program makes CALLS of them and sums up what they give, so that nothing can be left out.
 */
#include "bpf.h"
#include "kfuncs.h"

#define CALLS 512

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, CALLS);
  __type(key, __u32);
  __type(value, __u64);
} numbers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CALLS);
  __type(key, __u32);
  __type(value, __u64);
} keyed SEC(".maps");

struct guarded {
  struct bpf_spin_lock lock;
  __u32 count;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct guarded);
} locks SEC(".maps");

int hop(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} programs SEC(".maps") = {
  .values = { (void *)&hop },
};

__u32 seed = 7;
__u32 hops;

static long add_index(__u64 index, __u64 *sum) {
  *sum += index ^ seed;
  return 0;
}

SEC("xdp")
int loop(struct xdp_md *ctx) {
  __u64 sum = 0;
  bpf_loop(CALLS, add_index, &sum, 0);
  return (__u32)sum;
}

static long add_value(void *map, __u32 *key, __u64 *value, __u64 *sum) {
  *sum += *key + *value;
  return 0;
}

SEC("xdp")
int each_of_array(struct xdp_md *ctx) {
  __u64 sum = 0;
  bpf_for_each_map_elem(&numbers, add_value, &sum, 0);
  return (__u32)sum;
}

SEC("xdp")
int each_of_hash(struct xdp_md *ctx) {
  __u64 sum = 0;
  bpf_for_each_map_elem(&keyed, add_value, &sum, 0);
  return (__u32)sum;
}

/* Goes on in itself until the kernel's limit refuses. */
SEC("xdp")
int hop(struct xdp_md *ctx) {
  hops++;
  bpf_tail_call(ctx, &programs, 0);
  return XDP_PASS;
}

SEC("xdp")
int iterator(struct xdp_md *ctx) {
  struct bpf_iter_num it;
  __u64 sum = 0;
  int *number;

  bpf_iter_num_new(&it, 0, CALLS);
  while ((number = bpf_iter_num_next(&it))) sum += *number ^ seed;
  bpf_iter_num_destroy(&it);
  return (__u32)sum;
}

static __noinline __u32 mixed(__u32 a, __u32 b) {
  return (a ^ seed) + b;
}

SEC("xdp")
int function(struct xdp_md *ctx) {
  __u32 sum = 0;
  for (__u32 i = 0; i < CALLS; i++) sum = mixed(sum, i);
  return sum;
}

/* What differs from host to host is no result. */
#define HELPER_PROGRAM(section, name, type, before, each, result) \
  SEC(section) int name(struct type *ctx) {                       \
    __u64 sum = 0;                                                \
    before;                                                       \
    for (__u32 i = 0; i < CALLS; i++) { each; }                   \
    return (__u32)(result);                                       \
  }

HELPER_PROGRAM("xdp", ktime, xdp_md, , sum |= bpf_ktime_get_ns(), sum != 0)
HELPER_PROGRAM("xdp", processor, xdp_md, , sum |= bpf_get_smp_processor_id(), sum < 4096)
HELPER_PROGRAM("xdp", prandom, xdp_md, , sum |= bpf_get_prandom_u32(), sum != 0)
HELPER_PROGRAM("xdp", checksum, xdp_md, __u32 words[5] = { seed }, words[1] = i;
               sum += bpf_csum_diff(NULL, 0, words, sizeof(words), 0), sum)
HELPER_PROGRAM("xdp", probe, xdp_md, __u64 from = seed, __u64 to;
               bpf_probe_read_kernel(&to, sizeof(to), &from);
               sum += to, sum)
HELPER_PROGRAM("xdp", xdp_bytes, xdp_md, , __u64 to = 0;
               bpf_xdp_load_bytes(ctx, i, &to, sizeof(to));
               sum += to, sum)
HELPER_PROGRAM("tc", skb_bytes, __sk_buff, , __u64 to = 0;
               bpf_skb_load_bytes(ctx, i, &to, sizeof(to));
               sum += to, sum)

SEC("xdp")
int spin(struct xdp_md *ctx) {
  __u32 zero = 0;
  struct guarded *value = bpf_map_lookup_elem(&locks, &zero);

  if (!value) return 1;
  for (__u32 i = 0; i < CALLS; i++) {
    bpf_spin_lock(&value->lock);
    value->count++;
    bpf_spin_unlock(&value->lock);
  }
  return 0;
}

SEC("xdp")
int dynptr_bytes(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u64 *value = bpf_map_lookup_elem(&numbers, &zero);
  struct bpf_dynptr ptr;
  __u64 sum = 0;

  if (!value) return 1;
  bpf_dynptr_from_mem(value, sizeof(*value), 0, &ptr);
  for (__u32 i = 0; i < CALLS; i++) {
    __u32 to = 0;
    bpf_dynptr_read(&to, sizeof(to), &ptr, i & 3, 0);
    sum += to;
  }
  return (__u32)sum;
}

SEC("xdp")
int dynptr_slices(struct xdp_md *ctx) {
  struct bpf_dynptr ptr;
  __u64 buffer, sum = 0;

  bpf_dynptr_from_xdp(ctx, 0, &ptr);
  for (__u32 i = 0; i < CALLS; i++) {
    __u64 *at = bpf_dynptr_slice(&ptr, i, &buffer, sizeof(buffer));
    if (at) sum += *at;
  }
  return (__u32)sum;
}

LICENSE("Dual MIT/GPL");
