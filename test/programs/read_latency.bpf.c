// SPDX-License-Identifier: MIT
/*
 * How long reads of regular files take, by entry and return of the kernel's function: a histogram for each function that
 * is watched so, and a record of each slow one with file, folder and what came of it. Arguments have types, and pointers
 * among them are followed by plain loads.
 */
#include "bpf.h"
#include "core.h"

#define S_IFMT 0170000
#define S_IFREG 0100000
#define SLOTS 24

CORE_BEGIN
struct inode {
  unsigned short i_mode;
  unsigned long i_ino;
};

struct qstr {
  const unsigned char *name;
};

struct dentry {
  struct dentry *d_parent;
  struct qstr d_name;
};

struct path {
  struct dentry *dentry;
};

struct file {
  struct inode *f_inode;
  struct path f_path;
};
CORE_END

struct start {
  __u64 at;
  __u64 wanted;
};

struct slow_read {
  __u64 nanoseconds;
  __u64 inode;
  __u64 wanted;
  __s64 result;
  __u32 pid;
  char file[20];
  char folder[16];
};

const volatile __u64 slow_from = 1000000;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, struct start);
} reading SEC(".maps");

struct histogram {
  __u32 slots[SLOTS];
};

/* By the address of the function. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u64);
  __type(value, struct histogram);
} latencies SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} slow_reads SEC(".maps");

__u64 failed;
static const struct histogram empty;

static __always_inline bool is_regular(struct file *file) {
  return (file->f_inode->i_mode & S_IFMT) == S_IFREG;
}

/* Microseconds by powers of two. */
static __always_inline __u32 slot_of(__u64 nanoseconds) {
  __u64 left = nanoseconds / 1000;
  __u32 slot = 0;

  for (int i = 0; i < SLOTS - 1 && left > 1; i++) {
    left >>= 1;
    slot++;
  }
  return slot;
}

static __always_inline void count(__u64 function, __u64 nanoseconds) {
  struct histogram *histogram = bpf_map_lookup_elem(&latencies, &function);
  __u32 slot = slot_of(nanoseconds);

  if (!histogram) {
    bpf_map_update_elem(&latencies, &function, &empty, BPF_NOEXIST);
    histogram = bpf_map_lookup_elem(&latencies, &function);
  }
  if (histogram && slot < SLOTS)
    __sync_fetch_and_add(&histogram->slots[slot], 1);
}

static __always_inline void report(struct file *file, const struct start *start, __u64 nanoseconds, __s64 result) {
  struct slow_read *record = bpf_ringbuf_reserve(&slow_reads, sizeof(*record), 0);
  struct dentry *dentry;

  if (!record)
    return;
  dentry = file->f_path.dentry;
  record->nanoseconds = nanoseconds;
  record->inode = file->f_inode->i_ino;
  record->wanted = start->wanted;
  record->result = result;
  record->pid = bpf_get_current_pid_tgid();
  memset(record->file, 0, sizeof(record->file));
  memset(record->folder, 0, sizeof(record->folder));
  bpf_probe_read_kernel_str(record->file, sizeof(record->file), dentry->d_name.name);
  bpf_probe_read_kernel_str(record->folder, sizeof(record->folder), dentry->d_parent->d_name.name);
  bpf_ringbuf_submit(record, 0);
}

SEC("fentry/vfs_read")
int read_begins(__u64 *ctx) {
  struct file *file = (void *)ctx[0];
  __u64 task = bpf_get_current_pid_tgid();
  struct start start = {.wanted = ctx[2]};

  if (!is_regular(file))
    return 0;
  start.at = bpf_ktime_get_ns();
  bpf_map_update_elem(&reading, &task, &start, BPF_ANY);
  return 0;
}

/* Sees the arguments too, and behind them what the function returned. */
SEC("fexit/vfs_read")
int read_ends(__u64 *ctx) {
  struct file *file = (void *)ctx[0];
  __u64 task = bpf_get_current_pid_tgid(), nanoseconds, same = 0;
  struct start *start = bpf_map_lookup_elem(&reading, &task);
  __s64 result = ctx[4];

  if (!start)
    return 0;
  if (bpf_get_func_arg_cnt(ctx) != 4 || bpf_get_func_ret(ctx, &same) || (__s64)same != result)
    return 1;
  nanoseconds = bpf_ktime_get_ns() - start->at;
  if (result < 0)
    failed++;
  else
    count(bpf_get_func_ip(ctx), nanoseconds);
  if (nanoseconds >= slow_from)
    report(file, start, nanoseconds, result);
  bpf_map_delete_elem(&reading, &task);
  return 0;
}

LICENSE("GPL");
