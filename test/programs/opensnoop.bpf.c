// SPDX-License-Identifier: MIT
/*
 * Which process opens which file, in the style of the libbpf tool of that name: arguments are remembered at the entry of
 * the system call and reported at its exit, with the parent and credentials read through the kernel's types.
 */
#include "bpf.h"
#include "core.h"

#define NAME_MAX_ 255

struct cred;
typedef struct {
  unsigned int val;
} kuid_t;

CORE_BEGIN
struct trace_event_raw_sys_enter {
  long id;
  unsigned long args[6];
};

struct trace_event_raw_sys_exit {
  long id;
  long ret;
};

struct cred {
  kuid_t uid;
  kuid_t euid;
};

struct fdtable {
  unsigned int max_fds;
};

struct files_struct {
  struct fdtable *fdt;
};

struct task_struct {
  int tgid;
  char comm[16];
  struct cred *cred;
  struct task_struct *real_parent;
  struct files_struct *files;
  unsigned no_cgroup_migration : 1;
  unsigned in_execve : 1;
};
CORE_END

const volatile __u32 only_uid = -1;
const volatile bool failed_only = false;

struct arguments {
  __u64 name;
  int flags;
};

struct event {
  __u32 pid;
  __u32 parent;
  __u32 uid;
  int ret;
  int flags;
  __u32 open_limit;
  __u8 executing;
  char comm[16];
  char name[NAME_MAX_ + 1];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, struct arguments);
} started SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* A bitfield, by the load that the loader found to have all its bits. */
#define READ_BITS(pointer, field)                                                                     \
  ({                                                                                                  \
    __u64 bits_ = 0;                                                                                  \
    bpf_probe_read_kernel(&bits_, bpf_core_field_size((pointer)->field),                              \
                          (const char *)(pointer) + bpf_core_field_offset((pointer)->field));         \
    bits_ <<= bpf_core_field_lshift((pointer)->field);                                                \
    bpf_core_field_signed((pointer)->field) ? (__u64)((__s64)bits_ >> bpf_core_field_rshift((pointer)->field)) \
                                            : bits_ >> bpf_core_field_rshift((pointer)->field);       \
  })

static __noinline int parent_of(struct task_struct *task) {
  return BPF_CORE_READ(BPF_CORE_READ(task, real_parent), tgid);
}

static __always_inline __u32 uid_of(struct task_struct *task) {
  return BPF_CORE_READ(BPF_CORE_READ(task, cred), uid).val;
}

static __always_inline int enter(const void *name, int flags) {
  __u64 id = bpf_get_current_pid_tgid();
  struct arguments arguments = {.name = (__u64)name, .flags = flags};

  if (only_uid != (__u32)-1 && only_uid != (__u32)bpf_get_current_uid_gid())
    return 0;
  bpf_map_update_elem(&started, &id, &arguments, BPF_ANY);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx) {
  return enter((const void *)ctx->args[1], (int)ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  __u64 id = bpf_get_current_pid_tgid();
  struct arguments *arguments;
  struct event *event;
  int ret = (int)ctx->ret;

  arguments = bpf_map_lookup_elem(&started, &id);
  if (!arguments)
    return 0;
  if (failed_only && ret >= 0)
    goto done;
  event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event)
    goto done;
  event->pid = id >> 32;
  event->parent = parent_of(task);
  event->uid = uid_of(task);
  event->ret = ret;
  event->flags = arguments->flags;
  event->open_limit = BPF_CORE_READ(BPF_CORE_READ(BPF_CORE_READ(task, files), fdt), max_fds);
  event->executing = bpf_core_field_exists(task->in_execve) ? READ_BITS(task, in_execve) : 0;
  bpf_core_read(event->comm, sizeof(event->comm), &task->comm);
  bpf_probe_read_user_str(event->name, sizeof(event->name), (const void *)arguments->name);
  bpf_ringbuf_submit(event, 0);
done:
  bpf_map_delete_elem(&started, &id);
  return 0;
}

/* As in runqslat: a bit for each field of the current task that says what a helper says. */
SEC("syscall")
int self_check(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  int agreed = 0;

  if (BPF_CORE_READ(task, tgid) == (int)(bpf_get_current_pid_tgid() >> 32))
    agreed |= 1;
  if (uid_of(task) == (__u32)bpf_get_current_uid_gid())
    agreed |= 2;
  if (parent_of(task) > 0)
    agreed |= 4;
  if (BPF_CORE_READ(BPF_CORE_READ(BPF_CORE_READ(task, files), fdt), max_fds) >= 64)
    agreed |= 8;
  /* It runs a program, it does not begin one. */
  if (READ_BITS(task, in_execve) == 0)
    agreed |= 16;
  return agreed;
}

LICENSE("GPL");
