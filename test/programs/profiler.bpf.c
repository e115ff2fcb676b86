// SPDX-License-Identifier: MIT
/*
 * Where time goes, in the style of the libbpf tool `profile`: each sample of a perf event counts one for the pair of a
 * kernel's and a user's stack that it found.
 */
#include "bpf.h"

#define DEPTH 32
/* As the flags of bpf_get_stackid. */
#define PASS_OVER 1

const volatile __u32 only_tgid = 0;
const volatile bool keep_newest = false;

struct sample {
  __u32 tgid;
  int kernel_stack;
  int user_stack;
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_STACK_TRACE);
  __uint(max_entries, 64);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, DEPTH * sizeof(__u64));
} stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct sample);
  __type(value, __u64);
} counts SEC(".maps");

/* Samples whose stack was not there, or in another's place. */
__u64 no_stack;
__u64 collisions;

static __always_inline void note(int id) {
  if (id == -17 /* EEXIST */)
    collisions++;
  else if (id < 0)
    no_stack++;
}

SEC("perf_event")
int on_sample(struct bpf_perf_event_data *ctx) {
  __u64 flags = keep_newest ? BPF_F_REUSE_STACKID : 0;
  struct sample sample = {};
  __u64 one = 1, *count;

  sample.tgid = bpf_get_current_pid_tgid() >> 32;
  if (only_tgid && sample.tgid != only_tgid)
    return 0;
  bpf_get_current_comm(sample.comm, sizeof(sample.comm));
  sample.kernel_stack = bpf_get_stackid(ctx, &stacks, flags | PASS_OVER);
  note(sample.kernel_stack);
  sample.user_stack = bpf_get_stackid(ctx, &stacks, flags | BPF_F_USER_STACK);
  note(sample.user_stack);
  count = bpf_map_lookup_elem(&counts, &sample);
  if (count)
    __sync_fetch_and_add(count, 1);
  else
    bpf_map_update_elem(&counts, &sample, &one, BPF_NOEXIST);
  return 0;
}

LICENSE("GPL");
