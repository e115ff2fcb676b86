/* SPDX-License-Identifier: MIT */
/* Who opens which file, and how it ended: two tracepoints that find each other by the thread's id. */
#include "bpf.h"

LICENSE("GPL");

struct enter {
  __u64 common;
  __s64 number;
  __s64 dir;
  const char *name;
  __s64 flags;
  __s64 mode;
};

struct leave {
  __u64 common;
  __s64 number;
  __s64 ret;
};

struct open {
  __u64 started;
  __u32 pid;
  __u32 uid;
  __s32 flags;
  __s32 ret;
  char comm[16];
  char name[64];
};

/* Set before loading: 0 watches everybody. */
const volatile __u32 only_uid = 0;
const volatile bool only_failed = false;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, __u32);
  __type(value, struct open);
} open_calls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} opened SEC(".maps");

/* Too big for the stack. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct open);
} scratch SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct enter *ctx) {
  __u64 id = bpf_get_current_pid_tgid();
  __u32 thread = id, zero = 0, uid = bpf_get_current_uid_gid();
  struct open *open = bpf_map_lookup_elem(&scratch, &zero);
  if (!open || (only_uid && uid != only_uid)) return 0;
  open->started = bpf_ktime_get_ns();
  open->pid = id >> 32;
  open->uid = uid;
  open->flags = ctx->flags;
  bpf_get_current_comm(open->comm, sizeof(open->comm));
  if (bpf_probe_read_user_str(open->name, sizeof(open->name), ctx->name) < 0) open->name[0] = '?';
  bpf_map_update_elem(&open_calls, &thread, open, BPF_ANY);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave_openat(struct leave *ctx) {
  __u32 thread = bpf_get_current_pid_tgid();
  struct open *open = bpf_map_lookup_elem(&open_calls, &thread);
  if (!open) return 0;
  open->ret = ctx->ret;
  open->started = bpf_ktime_get_ns() - open->started;
  if (ctx->ret < 0 || !only_failed) bpf_ringbuf_output(&opened, open, sizeof(*open), 0);
  bpf_map_delete_elem(&open_calls, &thread);
  return 0;
}
