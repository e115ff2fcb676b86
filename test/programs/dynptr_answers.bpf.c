/* SPDX-License-Identifier: MIT */
/* What all functions for dynptrs answer at every edge: of memory, of ring records, of packets. Written down in order. */
#include "bpf.h"
#include "kfuncs.h"

#define ANSWERS 96

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u8[64]);
} memory SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

__s64 says[ANSWERS];
__u32 count;

static __always_inline void say(__s64 what) {
  __u32 i = count;

  if (i < ANSWERS) says[i] = what;
  count = i + 1;
}

/* Of a bool from the kernel only the lowest byte says something; the compiler believes all of it. */
static __always_inline __s64 truth(bool what) {
  __u64 register_ = what;

  barrier_var(register_);
  return register_ & 0xff;
}

static __always_inline __u8 *value(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&memory, &zero);
}

SEC("xdp")
int of_nothing(struct xdp_md *ctx) {
  struct bpf_dynptr null, other;
  __u8 *memory = value(), bytes[8] = {};

  if (!memory) return XDP_ABORTED;
  say(bpf_dynptr_from_mem(memory, 64, 1, &null));
  say(truth(bpf_dynptr_is_null(&null)));
  say(truth(bpf_dynptr_is_rdonly(&null)));
  say((__s32)bpf_dynptr_size(&null));
  say(bpf_dynptr_read(bytes, 1, &null, 0, 0));
  say(bpf_dynptr_write(&null, 0, bytes, 1, 0));
  say(bpf_dynptr_adjust(&null, 0, 0));
  say(bpf_dynptr_clone(&null, &other));
  say(truth(bpf_dynptr_is_null(&other)));
  say(!bpf_dynptr_data(&null, 0, 1));
  say(!bpf_dynptr_slice(&null, 0, bytes, 8));
  say(!bpf_dynptr_slice_rdwr(&null, 0, bytes, 8));
  say(bpf_dynptr_copy(&null, 0, &other, 0, 0));
  say(bpf_dynptr_copy(&null, 0, &other, 0, 1));
  say(bpf_dynptr_copy(&null, 1, &other, 0, 0));
  say(bpf_dynptr_memset(&null, 0, 0, 1));
  say(bpf_dynptr_memset(&null, 0, 1, 1));
  bpf_dynptr_from_mem(memory, 8, 0, &other);
  say(bpf_dynptr_copy(&null, 0, &other, 0, 8));
  say(bpf_dynptr_copy(&other, 0, &null, 0, 8));
  return XDP_PASS;
}

SEC("xdp")
int of_memory(struct xdp_md *ctx) {
  struct bpf_dynptr all, part;
  __u8 *memory = value(), bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, *at;

  if (!memory) return XDP_ABORTED;
  say(bpf_dynptr_from_mem(memory, 64, 0, &all));
  say(bpf_dynptr_size(&all));
  say(bpf_dynptr_read(bytes, 8, &all, 57, 0));
  say(bpf_dynptr_read(bytes, 8, &all, 0, 1));
  say(bpf_dynptr_read(bytes, 8, &all, 57, 1));
  say(bpf_dynptr_read(bytes, 0, &all, 64, 0));
  say(bpf_dynptr_read(bytes, 0, &all, 65, 0));
  say(bpf_dynptr_read(bytes, 1, &all, 0xffffffff, 0));
  bytes[0] = 9;
  say(bpf_dynptr_write(&all, 60, bytes, 8, 0));
  say(bpf_dynptr_write(&all, 0, bytes, 8, 1));
  say(bpf_dynptr_write(&all, 60, bytes, 8, 1));
  say(bpf_dynptr_write(&all, 56, bytes, 8, 0));
  say(memory[56]);
  say(bpf_dynptr_adjust(&all, 5, 4));
  say(bpf_dynptr_adjust(&all, 65, 65));
  say(bpf_dynptr_adjust(&all, 0, 65));
  say(bpf_dynptr_clone(&all, &part));
  say(bpf_dynptr_adjust(&part, 4, 60));
  say(bpf_dynptr_adjust(&part, 4, 52));
  say(bpf_dynptr_size(&part));
  say(bpf_dynptr_size(&all));
  at = bpf_dynptr_data(&part, 0, 8);
  say(at ? at - memory : -1);
  at = bpf_dynptr_slice(&part, 40, NULL, 8);
  say(at ? at - memory : -1);
  at = bpf_dynptr_slice_rdwr(&part, 41, bytes, 8);
  say(at == NULL);
  say(bpf_dynptr_memset(&part, 40, 9, 7));
  say(bpf_dynptr_memset(&part, 40, 8, 0x37));
  say(bpf_dynptr_copy(&part, 0, &part, 40, 9));
  say(bpf_dynptr_copy(&part, 41, &part, 0, 8));
  say(bpf_dynptr_copy(&part, 0, &part, 38, 10));
  /* Over itself, both ways. */
  say(bpf_dynptr_copy(&part, 3, &part, 0, 20));
  say(bpf_dynptr_copy(&part, 1, &part, 3, 20));
  say(bpf_dynptr_adjust(&part, 48, 48));
  say(bpf_dynptr_size(&part));
  say(truth(bpf_dynptr_is_null(&part)));
  say(bpf_dynptr_read(bytes, 0, &part, 0, 0));
  say(!bpf_dynptr_slice(&part, 0, bytes, 8));
  return XDP_PASS;
}

SEC("xdp")
int of_records(struct xdp_md *ctx) {
  struct bpf_dynptr record, other;
  __u8 bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

  say(bpf_ringbuf_reserve_dynptr(&ring, 8, 1, &record));
  bpf_ringbuf_discard_dynptr(&record, 0);
  say(bpf_ringbuf_reserve_dynptr(&ring, 1 << 24, 0, &record));
  bpf_ringbuf_discard_dynptr(&record, 0);
  say(bpf_ringbuf_reserve_dynptr(&ring, (1 << 24) - 1, 0, &record));
  bpf_ringbuf_submit_dynptr(&record, 0);
  say(bpf_ringbuf_reserve_dynptr(&ring, 4089, 0, &record));
  bpf_ringbuf_submit_dynptr(&record, 0);
  say(bpf_ringbuf_reserve_dynptr(&ring, 0, 0, &record));
  say(bpf_dynptr_size(&record));
  say(truth(bpf_dynptr_is_null(&record)));
  bpf_ringbuf_submit_dynptr(&record, 0);
  say(bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &record));
  say(bpf_dynptr_memset(&record, 0, 16, 0xcc));
  say(bpf_dynptr_write(&record, 9, bytes, 8, 0));
  say(bpf_dynptr_write(&record, 0, bytes, 8, 2));
  say(bpf_dynptr_clone(&record, &other));
  say(bpf_dynptr_adjust(&other, 8, 16));
  say(bpf_dynptr_write(&other, 0, bytes, 8, 0));
  say(bpf_dynptr_copy(&record, 2, &other, 0, 4));
  bpf_ringbuf_submit_dynptr(&record, BPF_RB_FORCE_WAKEUP);
  return XDP_PASS;
}

SEC("xdp.frags")
int of_packets(struct xdp_md *ctx) {
  struct bpf_dynptr packet, memory_;
  __u8 *memory = value(), bytes[8] = {}, *at;
  __u32 size;

  if (!memory) return XDP_ABORTED;
  say(bpf_dynptr_from_xdp(ctx, 0, &packet));
  size = bpf_dynptr_size(&packet);
  say(size);
  say(truth(bpf_dynptr_is_rdonly(&packet)));
  say(!bpf_dynptr_data(&packet, 0, 8));
  say(bpf_dynptr_read(bytes, 8, &packet, size - 8, 0));
  say(bytes[7]);
  say(bpf_dynptr_read(bytes, 8, &packet, size - 7, 0));
  say(bpf_dynptr_write(&packet, 0, bytes, 8, 1));
  say(bpf_dynptr_write(&packet, size - 7, bytes, 8, 1));
  at = bpf_dynptr_slice(&packet, 0, bytes, 8);
  say(at && at != bytes);
  at = bpf_dynptr_slice(&packet, size - 8, NULL, 8);
  say(at ? at[7] : -1);
  at = bpf_dynptr_slice_rdwr(&packet, size - 7, bytes, 8);
  say(!at);
  say(bpf_dynptr_memset(&packet, size - 4, 4, 0x77));
  say(bpf_dynptr_memset(&packet, size - 4, 5, 0x66));
  bpf_dynptr_from_mem(memory, 64, 0, &memory_);
  say(bpf_dynptr_copy(&memory_, 0, &packet, size - 40, 40));
  say(bpf_dynptr_copy(&packet, 1, &memory_, 0, 39));
  say(bpf_dynptr_copy(&memory_, 0, &packet, size - 40, 65));
  return XDP_PASS;
}

/* Where the linear part ends and the first page of the rest begins, and between two pages of it. */
SEC("xdp.frags")
int of_pages(struct xdp_md *ctx) {
  struct bpf_dynptr packet;
  __u32 linear = ctx->data_end - ctx->data;
  __u8 bytes[8] = {}, *at;

  bpf_dynptr_from_xdp(ctx, 0, &packet);
  say(bpf_dynptr_size(&packet));
  at = bpf_dynptr_slice(&packet, linear - 8, bytes, 8);
  say(at && at != bytes);
  at = bpf_dynptr_slice(&packet, linear - 4, NULL, 8);
  say(at == NULL);
  at = bpf_dynptr_slice(&packet, linear - 4, bytes, 8);
  say(at == bytes);
  say(at ? at[0] + at[7] * 256 : -1);
  at = bpf_dynptr_slice_rdwr(&packet, linear, NULL, 8);
  say(at ? at[0] : -1);
  if (at) at[0] = 0x42;
  at = bpf_dynptr_slice(&packet, linear + 4096 - 8, NULL, 8);
  say(at ? at[7] : -1);
  at = bpf_dynptr_slice(&packet, linear + 4096 - 4, NULL, 8);
  say(at == NULL);
  at = bpf_dynptr_slice(&packet, linear + 4096 - 4, bytes, 8);
  say(at == bytes);
  say(bpf_dynptr_memset(&packet, linear - 300, 700, 0x3c));
  say(bpf_dynptr_copy(&packet, linear - 100, &packet, linear + 3800, 600));
  say(bpf_dynptr_read(bytes, 8, &packet, linear - 104, 0));
  say(bytes[0] + bytes[7] * 256);
  return XDP_PASS;
}

LICENSE("GPL");
