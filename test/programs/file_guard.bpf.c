// SPDX-License-Identifier: MIT
/*
 * Mandatory rules beside the kernel's own: which files may be opened for writing, which programs may run, which sockets a
 * cgroup may make. Every refusal is recorded. With `enforce` off they are recorded alone.
 */
#include "bpf.h"
#include "core.h"

#define EPERM 1
#define EACCES 13
#define FMODE_WRITE 2
#define SOCK_RAW 3
#define AF_PACKET 17

CORE_BEGIN
struct super_block {
  unsigned int s_dev;
};

struct inode {
  struct super_block *i_sb;
  unsigned long i_ino;
};

struct file {
  unsigned int f_mode;
  struct inode *f_inode;
};

struct linux_binprm {
  const char *filename;
  int argc;
};
CORE_END

const volatile bool enforce = true;
const volatile __u32 trusted_uid = 0;
const volatile int most_arguments = 100;

struct file_id {
  __u64 inode;
  __u64 device;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, struct file_id);
  __type(value, __u32);
} read_only SEC(".maps");

struct name {
  char text[64];
};

/* Programs that must not run, and how often somebody tried. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, struct name);
  __type(value, __u64);
} forbidden SEC(".maps");

enum reason { WRITES, RUNS, ARGUMENTS, SOCKET };

struct refusal {
  __u32 reason;
  __u32 uid;
  __u64 what;
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} refusals SEC(".maps");

/* What the hook returns then. */
static __always_inline int refuse(enum reason reason, __u64 what, int error) {
  struct refusal *refusal = bpf_ringbuf_reserve(&refusals, sizeof(*refusal), 0);

  if (refusal) {
    refusal->reason = reason;
    refusal->uid = bpf_get_current_uid_gid();
    refusal->what = what;
    bpf_get_current_comm(refusal->comm, sizeof(refusal->comm));
    bpf_ringbuf_submit(refusal, 0);
  }
  return enforce ? -error : 0;
}

SEC("lsm/file_open")
int guard_open(__u64 *ctx) {
  struct file *file = (void *)ctx[0];
  /* Behind the arguments stands what the rules before this one said. */
  int before = ctx[1];
  struct file_id id = {};

  if (before)
    return before;
  if (!(file->f_mode & FMODE_WRITE) || (__u32)bpf_get_current_uid_gid() == trusted_uid)
    return 0;
  id.inode = file->f_inode->i_ino;
  id.device = file->f_inode->i_sb->s_dev;
  if (!bpf_map_lookup_elem(&read_only, &id))
    return 0;
  return refuse(WRITES, id.inode, EPERM);
}

SEC("lsm/bprm_check_security")
int guard_run(__u64 *ctx) {
  struct linux_binprm *bprm = (void *)ctx[0];
  int before = 0;
  struct name name = {};
  __u64 *tries, value = 0;

  /* The same by the helper. */
  if (!bpf_get_func_arg(ctx, 0, &value) && (void *)value != bprm)
    return -EACCES;
  before = ctx[1];
  if (before)
    return before;
  if (bprm->argc > most_arguments)
    return refuse(ARGUMENTS, bprm->argc, EACCES);
  if (bpf_probe_read_kernel_str(name.text, sizeof(name.text), bprm->filename) < 0)
    return 0;
  tries = bpf_map_lookup_elem(&forbidden, &name);
  if (!tries)
    return 0;
  return refuse(RUNS, __sync_fetch_and_add(tries, 1) + 1, EACCES);
}

/* Of a cgroup: 1 lets the system call go on, 0 lets it fail, with the error that is set. */
SEC("lsm_cgroup/socket_create")
int guard_socket(__u64 *ctx) {
  int family = ctx[0], type = ctx[1];

  if (family != AF_PACKET && type != SOCK_RAW)
    return 1;
  if (!refuse(SOCKET, family, EACCES))
    return 1;
  bpf_set_retval(-EACCES);
  return 0;
}

LICENSE("GPL");
