/* SPDX-License-Identifier: MIT */
/*
 * A rate limiter: each source has a bucket of tokens behind a spin lock, which fills up with time; a packet costs as many
 * tokens as it has bytes. User space reads and sets buckets with BPF_F_LOCK. All sources together have a bucket whose lock
 * is one of those that give up (bpf_res_spin_lock), taken inside sections without RCU frees, preemption and interrupts.
 */
#include "bpf.h"
#include "kfuncs.h"
#include <linux/if_ether.h>

#define BURST 200
#define RATE_PER_TICK 10

struct bucket {
  struct bpf_spin_lock lock;
  __u32 tokens;
  __u64 filled_at;
  __u64 passed;
  __u64 dropped;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u8[ETH_ALEN]);
  __type(value, struct bucket);
} buckets SEC(".maps");

struct total {
  __u64 packets;
  struct bpf_res_spin_lock lock;
  __u32 tokens;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct total);
} totals SEC(".maps");

/* The clock, in ticks: the test's. */
__u64 now;
__s32 again, second, irq;

/* With the lock held. */
static __always_inline bool pay(struct bucket *bucket, __u32 length) {
  __u64 ticks = now - bucket->filled_at;
  __u64 tokens = bucket->tokens + ticks * RATE_PER_TICK;
  bucket->filled_at = now;
  bucket->tokens = tokens > BURST ? BURST : tokens;
  if (bucket->tokens < length) {
    bucket->dropped++;
    return false;
  }
  bucket->tokens -= length;
  bucket->passed++;
  return true;
}

static __always_inline bool count_total(__u32 slot) {
  unsigned long flags;
  struct total *total = bpf_map_lookup_elem(&totals, &slot);
  if (!total) return false;
  bpf_rcu_read_lock();
  bpf_preempt_disable();
  if (bpf_res_spin_lock(&total->lock)) {
    bpf_preempt_enable();
    bpf_rcu_read_unlock();
    return false;
  }
  total->packets++;
  bpf_res_spin_unlock(&total->lock);
  bpf_preempt_enable();
  bpf_rcu_read_unlock();

  bpf_local_irq_save(&flags);
  total->tokens++;
  bpf_local_irq_restore(&flags);
  return true;
}

SEC("xdp")
int limit(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  __u8 source[ETH_ALEN];
  bool passes;
  if ((void *)(ethernet + 1) > end) return XDP_ABORTED;
  memcpy(source, ethernet->h_source, ETH_ALEN);
  struct bucket *bucket = bpf_map_lookup_elem(&buckets, source);
  if (!bucket) {
    struct bucket new = { .tokens = BURST, .filled_at = now };
    bpf_map_update_elem(&buckets, source, &new, BPF_NOEXIST);
    bucket = bpf_map_lookup_elem(&buckets, source);
    if (!bucket) return XDP_ABORTED;
  }
  bpf_spin_lock(&bucket->lock);
  passes = pay(bucket, end - data);
  bpf_spin_unlock(&bucket->lock);
  if (!count_total(0)) return XDP_ABORTED;
  return passes ? XDP_PASS : XDP_DROP;
}

/* Two of these locks at once are allowed, the same one twice is not: it says so. */
SEC("xdp")
int nest(struct xdp_md *ctx) {
  __u32 zero = 0, one = 1;
  unsigned long flags;
  struct total *a = bpf_map_lookup_elem(&totals, &zero), *b = bpf_map_lookup_elem(&totals, &one), *c;
  if (!a || !b) return XDP_ABORTED;
  /* The verifier takes this for another lock. */
  c = bpf_map_lookup_elem(&totals, &zero);
  if (!c) return XDP_ABORTED;
  if (bpf_res_spin_lock(&a->lock)) return XDP_ABORTED;
  second = bpf_res_spin_lock(&b->lock);
  if (!second) bpf_res_spin_unlock(&b->lock);
  again = bpf_res_spin_lock(&c->lock);
  if (!again) bpf_res_spin_unlock(&c->lock);
  bpf_res_spin_unlock(&a->lock);
  irq = bpf_res_spin_lock_irqsave(&b->lock, &flags);
  if (irq) return XDP_DROP;
  b->packets++;
  bpf_res_spin_unlock_irqrestore(&b->lock, &flags);
  return XDP_PASS;
}

LICENSE("GPL");
