/* SPDX-License-Identifier: MIT */
/*
 * Writes packets down in a ring buffer, each in a record of its own length: a header and the packet's first bytes. The
 * record is a dynptr, so that its size need not be known when the program is loaded.
 */
#include "bpf.h"
#include "kfuncs.h"

struct entry {
  __u32 length;
  __u32 kept;
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} journal SEC(".maps");

/* Most bytes that are kept of a packet; set before loading. */
const volatile __u32 limit = 40;
/* Packets whose second byte is this are looked at and not written down. */
const volatile __u8 boring = 0xff;

__u64 written, passed_over, full;
__s32 last_error;

SEC("xdp")
int record(struct xdp_md *ctx) {
  struct bpf_dynptr packet, record;
  struct entry entry = {};
  __u8 second = 0;
  int error;

  if (bpf_dynptr_from_xdp(ctx, 0, &packet)) return XDP_ABORTED;
  entry.length = bpf_dynptr_size(&packet);
  entry.kept = entry.length < limit ? entry.length : limit;
  error = bpf_ringbuf_reserve_dynptr(&journal, sizeof(entry) + entry.kept, 0, &record);
  if (error) {
    /* A dynptr that could not be reserved is null, and has to be given back all the same. */
    last_error = error;
    full++;
    bpf_ringbuf_discard_dynptr(&record, 0);
    return XDP_DROP;
  }
  bpf_dynptr_read(&second, sizeof(second), &packet, 1, 0);
  if (second == boring) {
    passed_over++;
    bpf_ringbuf_discard_dynptr(&record, BPF_RB_NO_WAKEUP);
    return XDP_PASS;
  }
  bpf_dynptr_write(&record, 0, &entry, sizeof(entry), 0);
  error = bpf_dynptr_copy(&record, sizeof(entry), &packet, 0, entry.kept);
  if (error) last_error = error;
  written++;
  bpf_ringbuf_submit_dynptr(&record, 0);
  return XDP_PASS;
}

/* The same through a pointer into the record, whose size is known then. */
SEC("xdp")
int record_start(struct xdp_md *ctx) {
  struct bpf_dynptr packet, record;
  __u8 *bytes;

  if (bpf_dynptr_from_xdp(ctx, 0, &packet)) return XDP_ABORTED;
  bpf_ringbuf_reserve_dynptr(&journal, 64, 0, &record);
  bytes = bpf_dynptr_data(&record, 0, 16);
  if (!bytes) {
    bpf_ringbuf_discard_dynptr(&record, 0);
    return XDP_DROP;
  }
  bpf_dynptr_read(bytes, 16, &packet, 0, 0);
  /* The rest, in one go; what lies behind the end is refused. */
  last_error = bpf_dynptr_memset(&record, 16, 49, 0xaa);
  bpf_dynptr_memset(&record, 16, 48, 0xaa);
  bpf_ringbuf_submit_dynptr(&record, 0);
  return XDP_PASS;
}

LICENSE("GPL");
