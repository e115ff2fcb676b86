// SPDX-License-Identifier: MIT
/*
 * Who runs, who is made to wait and who wakes whom: at the scheduler's tracepoints by their types, so that tasks are read
 * by plain loads, and the task that runs has a type, too.
 */
#include "bpf.h"
#include "core.h"

#define TASK_RUNNING 0

CORE_BEGIN
struct task_struct {
  int pid;
  int tgid;
  int prio;
  struct task_struct *real_parent;
  char comm[16];
};

struct linux_binprm {
  const char *filename;
  int argc;
};
CORE_END

struct usage {
  __u64 nanoseconds;
  __u32 slept;
  __u32 set_aside;
};

/* By process. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct usage);
} usages SEC(".maps");

/* Since when the task of a CPU runs. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} since SEC(".maps");

struct wakeup {
  __u32 waker;
  __u32 woken;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct wakeup);
  __type(value, __u64);
} wakeups SEC(".maps");

struct begun {
  __u32 pid;
  __u32 before;
  __u32 parent;
  __s32 arguments;
  char comm[16];
  char file[32];
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} programs SEC(".maps");

__u64 idle_begins;

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx) {
  struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
  bool preempted = ctx[0];
  __u64 now = bpf_ktime_get_ns(), *begin;
  struct usage *usage, first = {};
  __u32 process = prev->tgid, zero = 0;

  begin = bpf_map_lookup_elem(&since, &zero);
  if (!begin)
    return 0;
  if (!next->pid)
    idle_begins++;
  if (prev->pid) {
    usage = bpf_map_lookup_elem(&usages, &process);
    if (!usage) {
      bpf_map_update_elem(&usages, &process, &first, BPF_NOEXIST);
      usage = bpf_map_lookup_elem(&usages, &process);
      if (!usage)
        return 0;
    }
    if (*begin)
      usage->nanoseconds += now - *begin;
    if (preempted || (__u32)ctx[3] == TASK_RUNNING)
      usage->set_aside++;
    else
      usage->slept++;
  }
  *begin = now;
  return 0;
}

SEC("tp_btf/sched_wakeup")
int on_wakeup(__u64 *ctx) {
  struct task_struct *woken = (void *)ctx[0], *waker = bpf_get_current_task_btf();
  struct wakeup who = {};
  __u64 one = 1, *times;

  who.waker = waker->tgid;
  who.woken = woken->tgid;
  times = bpf_map_lookup_elem(&wakeups, &who);
  if (times)
    __sync_fetch_and_add(times, 1);
  else
    bpf_map_update_elem(&wakeups, &who, &one, BPF_NOEXIST);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx) {
  struct task_struct *task = (void *)ctx[0];
  struct linux_binprm *bprm = (void *)ctx[2];
  struct begun *begun = bpf_ringbuf_reserve(&programs, sizeof(*begun), 0);

  if (!begun)
    return 0;
  begun->pid = task->pid;
  begun->before = ctx[1];
  begun->parent = task->real_parent->tgid;
  begun->arguments = bprm->argc;
  memset(begun->file, 0, sizeof(begun->file));
  bpf_probe_read_kernel(begun->comm, sizeof(begun->comm), task->comm);
  bpf_probe_read_kernel_str(begun->file, sizeof(begun->file), bprm->filename);
  bpf_ringbuf_submit(begun, 0);
  return 0;
}

LICENSE("GPL");
