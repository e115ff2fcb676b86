/* SPDX-License-Identifier: MIT */
/*
 * A machine with a few registers that user space gives commands to, through a ring of its own: records of any length, read
 * as dynptrs. What was done is written into a second ring.
 */
#include "bpf.h"
#include "kfuncs.h"

#define REGISTERS 4

enum op { OP_SET, OP_ADD, OP_TEXT, OP_STOP };

struct command {
  __u32 op;
  __u32 reg;
  __s64 operand;
};

struct {
  __uint(type, BPF_MAP_TYPE_USER_RINGBUF);
  __uint(max_entries, 4096);
} commands SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} done SEC(".maps");

__s64 registers[REGISTERS];
__u64 drain_flags;
__s64 drained;
__u32 malformed, texts;
__u64 text_bytes;

struct progress {
  __u32 executed;
  __u32 stopped;
};

static __always_inline void execute(struct bpf_dynptr *sample, const struct command *command) {
  __u32 reg = command->reg;

  if (command->op == OP_TEXT) {
    /* The rest is text of any length; it is counted, and marked as read. */
    __u8 mark = 0xee;

    texts++;
    text_bytes += bpf_dynptr_size(sample) - sizeof(*command);
    bpf_dynptr_write(sample, 0, &mark, sizeof(mark), 0);
    return;
  }
  if (reg >= REGISTERS) {
    malformed++;
    return;
  }
  if (command->op == OP_SET) registers[reg] = command->operand;
  else if (command->op == OP_ADD) registers[reg] += command->operand;
  else malformed++;
}

static long each(struct bpf_dynptr *sample, struct progress *progress) {
  struct command command = {};

  if (bpf_dynptr_read(&command, sizeof(command), sample, 0, 0)) {
    malformed++;
    return 0;
  }
  if (command.op == OP_STOP) {
    progress->stopped = 1;
    return 1;
  }
  execute(sample, &command);
  progress->executed++;
  return 0;
}

SEC("xdp")
int work(struct xdp_md *ctx) {
  struct progress progress = {};

  drained = bpf_user_ringbuf_drain(&commands, each, &progress, drain_flags);
  bpf_ringbuf_output(&done, &progress, sizeof(progress), 0);
  return XDP_PASS;
}

static long inner(struct bpf_dynptr *sample, void *unused) { return 0; }

static long outer(struct bpf_dynptr *sample, void *unused) {
  drained = bpf_user_ringbuf_drain(&commands, inner, NULL, 0);
  return 0;
}

/* One drains at a time. */
SEC("xdp")
int nested(struct xdp_md *ctx) {
  return bpf_user_ringbuf_drain(&commands, outer, NULL, 0);
}

LICENSE("GPL");
