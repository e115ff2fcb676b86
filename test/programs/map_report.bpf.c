/* SPDX-License-Identifier: MIT */
/*
 * A report over maps of six types, as `bpf_for_each_map_elem` sees them: order, sums, early ends, elements that the
 * function itself removes or adds, walks inside walks; and loops of `bpf_loop`, ended early, nested, too long.
 */
#include "bpf.h"

#define ELEMENTS 12
#define KEYS_SEEN 32

#define TABLE(name, map_type, flags, entries)  \
  struct {                                     \
    __uint(type, map_type);                    \
    __uint(map_flags, flags);                  \
    __uint(max_entries, entries);              \
    __type(key, __u32);                        \
    __type(value, __u64);                      \
  } name SEC(".maps")

/* The same hash seed everywhere, so that buckets have the same order. */
/* Elements share buckets. */
TABLE(flows, BPF_MAP_TYPE_HASH, BPF_F_ZERO_SEED, ELEMENTS);
TABLE(lazy, BPF_MAP_TYPE_HASH, BPF_F_ZERO_SEED | BPF_F_NO_PREALLOC, 4);
TABLE(recent, BPF_MAP_TYPE_LRU_HASH, BPF_F_ZERO_SEED, 64);
TABLE(per_cpu, BPF_MAP_TYPE_PERCPU_HASH, BPF_F_ZERO_SEED, 64);
TABLE(recent_per_cpu, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_F_ZERO_SEED, 64);
TABLE(slots, BPF_MAP_TYPE_ARRAY, 0, ELEMENTS);
TABLE(slots_per_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, 0, ELEMENTS);

struct report {
  __s64 returned;
  __u64 sum;
  __u32 calls;
  __u32 stop_after;
  __u32 keys[KEYS_SEEN];
};

/* One a walk. */
struct report hash_report, lazy_report, lru_report, percpu_report, lru_percpu_report, array_report, percpu_array_report;
struct report early_report, early_array_report, delete_report, rest_report, chain_report, insert_report, nested_report;
__s64 bad_flags;

static __always_inline long note(struct report *report, __u32 key, __u64 value) {
  __u32 at = report->calls;
  if (at < KEYS_SEEN) report->keys[at] = key;
  report->calls = at + 1;
  report->sum += value;
  return at + 1 == report->stop_after;
}

/* The function's context has to be a pointer that the verifier follows: one function for each report is simpler. */
#define VISITOR(name)                                                                     \
  static long visit_##name(void *map, const __u32 *key, __u64 *value, void *unused) {     \
    return note(&name, *key, *value);                                                     \
  }
VISITOR(hash_report)
VISITOR(lazy_report)
VISITOR(lru_report)
VISITOR(percpu_report)
VISITOR(lru_percpu_report)
VISITOR(array_report)
VISITOR(percpu_array_report)
VISITOR(early_report)
VISITOR(early_array_report)
VISITOR(rest_report)

/* Removes the element that it is called for. */
static long visit_and_delete(void *map, const __u32 *key, __u64 *value, void *unused) {
  __u32 own = *key;
  note(&delete_report, own, *value);
  bpf_map_delete_elem(map, &own);
  return 0;
}

/* Removes its element and the other direction's, which may be the one that comes next. */
static long visit_and_delete_pair(void *map, const __u32 *key, __u64 *value, void *unused) {
  __u32 own = *key, other = own ^ 1;
  note(&chain_report, own, *value);
  bpf_map_delete_elem(map, &own);
  bpf_map_delete_elem(map, &other);
  return 0;
}

/* Replaces its element, which goes to the head of its bucket, and counts in the value of the new one. */
static long visit_and_replace(void *map, const __u32 *key, __u64 *value, void *unused) {
  __u32 own = *key;
  __u64 more = *value + 100;
  note(&insert_report, own, *value);
  bpf_map_update_elem(map, &own, &more, BPF_EXIST);
  return 0;
}

static long visit_inner(void *map, const __u32 *key, __u64 *value, void *outer) {
  note(&nested_report, *key, *value);
  return 0;
}

static long visit_outer(void *map, const __u32 *key, __u64 *value, void *unused) {
  bpf_for_each_map_elem(&slots, visit_inner, NULL, 0);
  return 0;
}

static __always_inline void fill(void *map) {
  __u32 key;
  __u64 value;
#pragma unroll
  for (int i = 0; i < ELEMENTS; i++) {
    key = i;
    value = i * 10 + 1;
    bpf_map_update_elem(map, &key, &value, BPF_ANY);
  }
}

#define WALK(map, report) report.returned = bpf_for_each_map_elem(&map, visit_##report, NULL, 0)

SEC("xdp")
int walk(struct xdp_md *ctx) {
  fill(&flows);
  fill(&lazy);
  fill(&recent);
  fill(&per_cpu);
  fill(&recent_per_cpu);
  fill(&slots);
  fill(&slots_per_cpu);

  WALK(flows, hash_report);
  WALK(lazy, lazy_report);
  WALK(recent, lru_report);
  WALK(per_cpu, percpu_report);
  WALK(recent_per_cpu, lru_percpu_report);
  WALK(slots, array_report);
  WALK(slots_per_cpu, percpu_array_report);

  early_report.stop_after = 3;
  WALK(flows, early_report);
  early_array_report.stop_after = 1;
  WALK(slots, early_array_report);
  bad_flags = bpf_for_each_map_elem(&flows, visit_rest_report, NULL, 1);
  return XDP_PASS;
}

SEC("xdp")
int change(struct xdp_md *ctx) {
  fill(&flows);
  fill(&lazy);
  fill(&slots);
  insert_report.returned = bpf_for_each_map_elem(&flows, visit_and_replace, NULL, 0);
  chain_report.returned = bpf_for_each_map_elem(&flows, visit_and_delete_pair, NULL, 0);
  fill(&flows);
  nested_report.returned = bpf_for_each_map_elem(&flows, visit_outer, NULL, 0);
  delete_report.returned = bpf_for_each_map_elem(&flows, visit_and_delete, NULL, 0);
  WALK(flows, rest_report);
  return XDP_PASS;
}

__u32 loops, sum_of_turns, in_inner;
__s64 loop_returned, early_returned, none_returned, refused, too_many, at_most;

static long add_turn(__u32 turn, void *unused) {
  loops++;
  sum_of_turns += turn;
  return 0;
}

static long until_five(__u32 turn, void *unused) {
  return turn == 4;
}

static long count_inner(__u32 turn, void *counter) {
  in_inner++;
  return 0;
}

static long loop_inside(__u32 turn, void *unused) {
  bpf_loop(turn, count_inner, NULL, 0);
  return 0;
}

SEC("xdp")
int loop(struct xdp_md *ctx) {
  loop_returned = bpf_loop(1000, add_turn, NULL, 0);
  early_returned = bpf_loop(1000, until_five, NULL, 0);
  none_returned = bpf_loop(0, until_five, NULL, 0);
  refused = bpf_loop(1, until_five, NULL, 1);
  too_many = bpf_loop((1 << 23) + 1, until_five, NULL, 0);
  at_most = bpf_loop(1 << 23, until_five, NULL, 0);
  bpf_loop(20, loop_inside, NULL, 0);
  return XDP_PASS;
}

LICENSE("MIT");
