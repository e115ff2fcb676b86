// SPDX-License-Identifier: MIT
/*
 * Reports of programs that begin, through a perf event array: the way of tools that are older than ring buffers. A record
 * that finds no reader, or no room, is counted by what the kernel said.
 */
#include "bpf.h"

#define ENOENT 2
#define ENOSPC 28

struct event {
  __u32 pid;
  __u32 uid;
  __u64 arg;
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, 4);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} events SEC(".maps");

__u64 sent;
__u64 no_reader;
__u64 no_room;
__u64 other;

static __always_inline int report(void *ctx, struct event *event, __u64 size) {
  long ret = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, size);

  if (!ret)
    sent++;
  else if (ret == -ENOENT)
    no_reader++;
  else if (ret == -ENOSPC)
    no_room++;
  else
    other++;
  return ret;
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *ctx) {
  struct event event = {.arg = ctx->args[0]};

  event.pid = bpf_get_current_pid_tgid() >> 32;
  event.uid = bpf_get_current_uid_gid();
  bpf_get_current_comm(event.comm, sizeof(event.comm));
  return report(ctx, &event, sizeof(event));
}

/* The first bytes of packets, as samplers of XDP take them. */
SEC("xdp")
int sample_packet(struct xdp_md *ctx) {
  __u64 wanted = ctx->data_end - ctx->data, flags;
  struct {
    __u32 length;
  } head = {.length = wanted};

  if (wanted > 16)
    wanted = 16;
  flags = BPF_F_CURRENT_CPU | wanted << 32;
  if (bpf_perf_event_output(ctx, &events, flags, &head, sizeof(head)))
    no_reader++;
  else
    sent++;
  return XDP_PASS;
}

LICENSE("GPL");
