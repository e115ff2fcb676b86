// SPDX-License-Identifier: MIT
/*
 * How long tasks wait for a CPU after they were woken up: a histogram by powers of two, as the tool of that name of the
 * libbpf tools makes it. The types of the scheduler's arguments are looked up where the program is loaded.
 */
#include "bpf.h"
#include "core.h"

#define TASK_RUNNING 0
#define SLOTS 26

CORE_BEGIN
struct cgroup_namespace;
struct pid_namespace {
  unsigned int level;
};

struct nsproxy {
  struct pid_namespace *pid_ns_for_children;
};

struct task_struct {
  int pid;
  int tgid;
  char comm[16];
  int prio;
  struct nsproxy *nsproxy;
  struct task_struct *real_parent;
};

struct task_struct___before_5_14 {
  long state;
};

struct task_struct___since_5_14 {
  unsigned int __state;
};
CORE_END

const volatile int only_tgid = 0;
const volatile bool by_process = false;

struct histogram {
  __u32 slots[SLOTS];
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, __u32);
  __type(value, __u64);
} woken SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, struct histogram);
} histograms SEC(".maps");

static const struct histogram empty;

static __always_inline long state_of(struct task_struct *task) {
  struct task_struct___since_5_14 *since = (void *)task;
  struct task_struct___before_5_14 *before = (void *)task;

  if (bpf_core_field_exists(since->__state))
    return BPF_CORE_READ(since, __state);
  return BPF_CORE_READ(before, state);
}

static __always_inline int note_woken(struct task_struct *task) {
  int pid = BPF_CORE_READ(task, pid);
  __u64 now;

  if (!pid || (only_tgid && only_tgid != BPF_CORE_READ(task, tgid)))
    return 0;
  now = bpf_ktime_get_ns();
  bpf_map_update_elem(&woken, &pid, &now, BPF_ANY);
  return 0;
}

/* 0 for 0 and 1, then the number of the highest bit. */
static __always_inline __u32 log2_of(__u64 value) {
  __u32 result = 0;

  for (int bits = 32; bits; bits /= 2) {
    if (value >> bits) {
      value >>= bits;
      result += bits;
    }
  }
  return result;
}

SEC("raw_tp/sched_wakeup")
int on_wakeup(struct bpf_raw_tracepoint_args *ctx) {
  return note_woken((void *)ctx->args[0]);
}

SEC("raw_tp/sched_wakeup_new")
int on_wakeup_new(struct bpf_raw_tracepoint_args *ctx) {
  return note_woken((void *)ctx->args[0]);
}

SEC("raw_tp/sched_switch")
int on_switch(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *prev = (void *)ctx->args[1];
  struct task_struct *next = (void *)ctx->args[2];
  struct histogram *histogram;
  __u32 pid, key = 0, slot;
  __u64 *since, delta;

  if (state_of(prev) == TASK_RUNNING)
    note_woken(prev);
  pid = BPF_CORE_READ(next, pid);
  since = bpf_map_lookup_elem(&woken, &pid);
  if (!since)
    return 0;
  delta = (bpf_ktime_get_ns() - *since) / 1000;
  bpf_map_delete_elem(&woken, &pid);
  if (by_process)
    key = BPF_CORE_READ(next, tgid);
  histogram = bpf_map_lookup_elem(&histograms, &key);
  if (!histogram) {
    bpf_map_update_elem(&histograms, &key, &empty, BPF_NOEXIST);
    histogram = bpf_map_lookup_elem(&histograms, &key);
    if (!histogram)
      return 0;
    bpf_core_read(histogram->comm, sizeof(histogram->comm), &next->comm);
  }
  slot = log2_of(delta);
  if (slot >= SLOTS)
    slot = SLOTS - 1;
  __sync_fetch_and_add(&histogram->slots[slot], 1);
  return 0;
}

/*
 * Whether the offsets are right, judged by memory: what the current task's fields say is what helpers say. A bit for each
 * that agrees.
 */
SEC("syscall")
int self_check(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  __u64 ids = bpf_get_current_pid_tgid();
  char theirs[16] = {}, ours[16] = {};
  struct nsproxy *nsproxy;
  int agreed = 0, same = 1;

  if (BPF_CORE_READ(task, pid) == (int)ids)
    agreed |= 1;
  if (BPF_CORE_READ(task, tgid) == (int)(ids >> 32))
    agreed |= 2;
  bpf_get_current_comm(theirs, sizeof(theirs));
  bpf_core_read(ours, sizeof(ours), &task->comm);
  for (int i = 0; i < 16 && theirs[i]; i++)
    if (ours[i] != theirs[i])
      same = 0;
  if (same)
    agreed |= 4;
  /* It runs. */
  if (state_of(task) == TASK_RUNNING)
    agreed |= 8;
  nsproxy = BPF_CORE_READ(task, nsproxy);
  if (BPF_CORE_READ(BPF_CORE_READ(nsproxy, pid_ns_for_children), level) < 32)
    agreed |= 16;
  if (BPF_CORE_READ(BPF_CORE_READ(task, real_parent), pid) >= 0)
    agreed |= 32;
  return agreed;
}

LICENSE("GPL");
