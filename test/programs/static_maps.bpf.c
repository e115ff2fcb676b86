/* SPDX-License-Identifier: MIT */
/*
 * Everything that an object can say of its maps without user space: inner maps and programs that are in their outer maps
 * from the beginning, data sections with names of their own, maps that are static, per-CPU arrays by key and value size,
 * a ring whose size is none that the kernel takes, and one map that is replaced when the object is loaded.
 */
#include "bpf.h"

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
};

struct inner low SEC(".maps");
struct inner high SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 3);
  __type(key, __u32);
  __array(values, struct inner);
} by_index SEC(".maps") = {
  .values = { [0] = &low, [2] = &high },
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 4);
  __type(key, __u32);
  __array(
    values, struct {
      __uint(type, BPF_MAP_TYPE_ARRAY);
      __uint(max_entries, 2);
      __type(key, __u32);
      __type(value, __u64);
    });
} by_key SEC(".maps") = {
  .values = { [0] = (void *)&high, [1] = (void *)&low },
};

int last(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 4);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} steps SEC(".maps") = {
  .values = { [3] = (void *)&last },
};

static struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, 4);
  __uint(value_size, 8);
} runs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 5000);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8);
  __type(key, __u32);
  __type(value, __u64);
} shared SEC(".maps");

struct limits {
  __u32 first;
  __u64 second;
};

/* Sections by name: each becomes a map. */
struct limits limits SEC(".data.limits") = { 3, 0x100000000 };
const volatile __u32 weights[4] SEC(".rodata.weights") = { 1, 10, 100, 1000 };
__u64 sums[2] SEC(".bss.sums");
__u64 __attribute__((aligned(64))) lonely = 7;
static const char greeting[] = "hello";

static __always_inline void add(void *outer, __u32 at, __u64 amount) {
  void *map = bpf_map_lookup_elem(outer, &at);
  __u32 zero = 0;
  __u64 *value;

  if (!map) return;
  value = bpf_map_lookup_elem(map, &zero);
  if (value) *value += amount;
}

SEC("xdp")
int first(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u32 key = 5;
  __u64 *run = bpf_map_lookup_elem(&runs, &zero);
  __u64 *mine;

  if (run) ++*run;
  add(&by_index, 0, weights[1]);
  add(&by_index, 1, 5);
  add(&by_index, 2, weights[2]);
  add(&by_key, 1, limits.second);
  sums[0] += limits.first;
  sums[1] += lonely;
  lonely++;
  bpf_ringbuf_output(&events, (void *)greeting, sizeof(greeting), 0);
  mine = bpf_map_lookup_elem(&shared, &key);
  if (mine) *mine *= 2;
  bpf_tail_call(ctx, &steps, 3);
  return XDP_ABORTED;
}

SEC("xdp")
int last(struct xdp_md *ctx) {
  return XDP_TX;
}

/* Only when it is asked for by name. */
SEC("?xdp")
int seldom(struct xdp_md *ctx) {
  return limits.first;
}

LICENSE("GPL");
