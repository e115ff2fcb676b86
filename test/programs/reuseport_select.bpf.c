// SPDX-License-Identifier: MIT
/*
 * Servers that share one UDP port: datagrams of a protocol with connection ids, counted by the worker that the id names;
 * what is none of the protocol's goes nowhere. Which socket gets a datagram is left to the kernel's hash.
 */
#include "bpf.h"
#include <linux/udp.h>

#define IPPROTO_UDP 17
#define LONG_HEADER 0x80
#define WORKERS 4

/* Of a datagram: form, version, and the id of the connection, whose first byte names the worker. */
struct long_header {
  __u8 form;
  __u8 version[4];
  __u8 id_length;
  __u8 id[8];
} __attribute__((packed));

const volatile __u32 version = 1;

struct counts {
  __u64 datagrams;
  __u64 bytes;
  __u32 last_hash;
  __u32 port;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WORKERS);
  __type(key, __u32);
  __type(value, struct counts);
} workers SEC(".maps");

__u64 short_ones, strange, moved, dropped_moves;

SEC("sk_reuseport")
int choose(struct sk_reuseport_md *ctx) {
  void *data = ctx->data, *end = ctx->data_end;
  struct udphdr *udp = data;
  struct long_header head;
  struct counts *counts;
  __u32 worker;
  __u8 form;

  if (ctx->ip_protocol != IPPROTO_UDP || (void *)(udp + 1) > end)
    return SK_DROP;
  /* Behind the header, which may not be where the program can see it by itself. */
  if (bpf_skb_load_bytes(ctx, sizeof(*udp), &form, sizeof(form))) {
    short_ones++;
    return SK_DROP;
  }
  if (form & LONG_HEADER) {
    if (bpf_skb_load_bytes(ctx, sizeof(*udp), &head, sizeof(head))) {
      short_ones++;
      return SK_DROP;
    }
    if ((__u32)(head.version[0] << 24 | head.version[1] << 16 | head.version[2] << 8 | head.version[3]) != version) {
      strange++;
      return SK_DROP;
    }
    worker = head.id[0] % WORKERS;
  } else {
    worker = ctx->hash % WORKERS;
  }
  counts = bpf_map_lookup_elem(&workers, &worker);
  if (!counts)
    return SK_DROP;
  __sync_fetch_and_add(&counts->datagrams, 1);
  __sync_fetch_and_add(&counts->bytes, ctx->len);
  counts->last_hash = ctx->hash;
  counts->port = ctx->sk->src_port;
  return SK_PASS;
}

/* A listener closes, and its connections ask for another; without one that moves it is an ordinary choice. */
SEC("sk_reuseport/migrate")
int choose_again(struct sk_reuseport_md *ctx) {
  if (!ctx->migrating_sk)
    return SK_PASS;
  if (ctx->bind_inany) {
    dropped_moves++;
    return SK_DROP;
  }
  moved++;
  return SK_PASS;
}

LICENSE("GPL");
