/* SPDX-License-Identifier: MIT */
/*
 * Flows that end by themselves: each has a timer that starts anew with every packet; when none came for a while its
 * function moves the flow's totals into `ended` and removes the flow, timer and all. A second timer, in an array, counts
 * what there is at regular times.
 * `misuse` calls the timer helpers in the wrong order and with wrong flags.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7
#ifndef BPF_F_TIMER_ABS
#define BPF_F_TIMER_ABS 1
#endif
#define BPF_F_TIMER_CPU_PIN_ 2
#define MILLISECOND 1000000ull
/* Long enough that no flow ends while a busy machine is late with its next packet. */
#define IDLE (100 * MILLISECOND)
#define PERIOD (4 * MILLISECOND)
#define ENDS_WITHOUT_FLOWS 3

struct flow_key {
  __be32 source;
  __be32 destination;
};

struct flow {
  __u64 packets;
  struct bpf_timer idle;
  __u64 bytes;
};

struct totals {
  __u64 packets;
  __u64 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, struct flow_key);
  __type(value, struct flow);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, struct flow_key);
  __type(value, struct totals);
} ended SEC(".maps");

struct survey {
  struct bpf_timer timer;
  __u32 rounds;
  __u32 seen;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct survey);
} surveys SEC(".maps");

__u32 empty_rounds, flows_seen, started;
__u32 order[8];
__u32 fired;

static int flow_is_idle(void *map, struct flow_key *key, struct flow *flow) {
  struct flow_key own = *key;
  struct totals totals = { .packets = flow->packets, .bytes = flow->bytes };
  bpf_map_update_elem(&ended, &own, &totals, BPF_ANY);
  bpf_map_delete_elem(map, &own);
  return 0;
}

static long count_flow(void *map, struct flow_key *key, struct flow *flow, void *unused) {
  flows_seen++;
  return 0;
}

/* Goes on until there are no flows any more. */
static int take_survey(void *map, __u32 *key, struct survey *survey) {
  __u32 before = flows_seen;
  bpf_for_each_map_elem(&flows, count_flow, NULL, 0);
  survey->rounds++;
  survey->seen += flows_seen - before;
  if (flows_seen == before && ++empty_rounds == ENDS_WITHOUT_FLOWS) return 0;
  bpf_timer_start(&survey->timer, PERIOD, 0);
  return 0;
}

static __always_inline void start_survey(void) {
  __u32 zero = 0;
  struct survey *survey = bpf_map_lookup_elem(&surveys, &zero);
  if (!survey || bpf_timer_init(&survey->timer, &surveys, CLOCK_BOOTTIME)) return;
  bpf_timer_set_callback(&survey->timer, take_survey);
  bpf_timer_start(&survey->timer, PERIOD, 0);
}

SEC("xdp")
int track(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct iphdr *ip = data + sizeof(struct ethhdr);
  if ((void *)(ip + 1) > end) return XDP_DROP;
  struct flow_key key = { ip->saddr, ip->daddr };
  struct flow *flow = bpf_map_lookup_elem(&flows, &key);
  if (!flow) {
    struct flow new = {};
    if (bpf_map_update_elem(&flows, &key, &new, BPF_NOEXIST)) return XDP_DROP;
    flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow || bpf_timer_init(&flow->idle, &flows, CLOCK_MONOTONIC)) return XDP_DROP;
    bpf_timer_set_callback(&flow->idle, flow_is_idle);
    started++;
  }
  flow->packets++;
  flow->bytes += end - data;
  bpf_timer_start(&flow->idle, IDLE, 0);
  start_survey();
  return XDP_PASS;
}

struct slot {
  __u64 before;
  struct bpf_timer timer;
  __u64 after;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, struct slot);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct slot);
} recent SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct slot);
} fixed SEC(".maps");

__s32 results[24], in_callback[8];

static int remember(void *map, __u32 *key, struct slot *slot) {
  __u32 n = fired++;
  if (n < 8) order[n] = *key;
  slot->after++;
  return 0;
}

/* Cannot cancel itself; can start itself again, once. */
static int cancel_self(void *map, __u32 *key, struct slot *slot) {
  in_callback[0] = bpf_timer_cancel(&slot->timer);
  if (slot->after++ == 0) in_callback[1] = bpf_timer_start(&slot->timer, MILLISECOND, 0);
  return 0;
}

/* Its element goes under its feet: the key can still be read, the timer is none any more. */
static int remove_self(void *map, __u32 *key, struct slot *slot) {
  __u32 own = *key;
  in_callback[2] = bpf_map_delete_elem(map, &own);
  in_callback[3] = bpf_timer_start(&slot->timer, MILLISECOND, 0);
  in_callback[4] = bpf_timer_cancel(&slot->timer);
  in_callback[5] = *key;
  return 0;
}

static __always_inline struct slot *make(void *map, __u32 key) {
  struct slot new = {};
  bpf_map_update_elem(map, &key, &new, BPF_ANY);
  return bpf_map_lookup_elem(map, &key);
}

#define START(map, key, callback, after, flags)                              \
  do {                                                                       \
    struct slot *slot_ = make(&map, key);                                    \
    if (!slot_ || bpf_timer_init(&slot_->timer, &map, CLOCK_MONOTONIC)) return 1; \
    bpf_timer_set_callback(&slot_->timer, callback);                         \
    bpf_timer_start(&slot_->timer, after, flags);                            \
  } while (0)

SEC("xdp")
int misuse(struct xdp_md *ctx) {
  struct slot *slot = make(&slots, 0);
  if (!slot) return XDP_DROP;
  struct bpf_timer *timer = &slot->timer;
  results[0] = bpf_timer_start(timer, 0, 0);
  results[1] = bpf_timer_set_callback(timer, remember);
  results[2] = bpf_timer_cancel(timer);
  results[3] = bpf_timer_init(timer, &slots, 2);
  results[4] = bpf_timer_init(timer, &slots, 16 + CLOCK_MONOTONIC);
  results[5] = bpf_timer_init(timer, &slots, (1ull << 32) + CLOCK_MONOTONIC);
  results[6] = bpf_timer_init(timer, &slots, CLOCK_REALTIME);
  results[7] = bpf_timer_init(timer, &slots, CLOCK_REALTIME);
  results[8] = bpf_timer_start(timer, 0, 0);
  results[9] = bpf_timer_cancel(timer);
  results[10] = bpf_timer_set_callback(timer, remember);
  results[11] = bpf_timer_start(timer, 0, 4);
  results[12] = bpf_timer_start(timer, 1000 * MILLISECOND, BPF_F_TIMER_CPU_PIN_);
  results[13] = bpf_timer_start(timer, 2000 * MILLISECOND, 0);
  results[14] = bpf_timer_cancel(timer);
  results[15] = bpf_timer_start(timer, 0, 0);
  results[16] = bpf_timer_set_callback(timer, remember);
  results[17] = bpf_timer_start(timer, 0, 1ull << 32);
  return XDP_PASS;
}

SEC("xdp")
int many(struct xdp_md *ctx) {
  __u64 now = bpf_ktime_get_ns();
  START(slots, 1, remember, 9 * MILLISECOND, 0);
  START(slots, 2, remember, 3 * MILLISECOND, 0);
  START(slots, 3, remember, now + 6 * MILLISECOND, BPF_F_TIMER_ABS);
  /* The past. */
  START(slots, 4, remember, 1, BPF_F_TIMER_ABS);
  START(slots, 5, cancel_self, MILLISECOND, 0);
  START(slots, 6, remove_self, MILLISECOND, 0);
  /* Gone before they expire: replaced, deleted, evicted; in an array, overwritten. */
  START(slots, 7, remember, 2 * MILLISECOND, 0);
  make(&slots, 7);
  START(slots, 8, remember, 2 * MILLISECOND, 0);
  __u32 key = 8;
  bpf_map_delete_elem(&slots, &key);
  START(recent, 21, remember, 2 * MILLISECOND, 0);
  START(recent, 22, remember, 2 * MILLISECOND, 0);
  make(&recent, 23);
  make(&recent, 24);
  START(fixed, 0, remember, 2 * MILLISECOND, 0);
  make(&fixed, 0);
  return XDP_PASS;
}

LICENSE("GPL");
