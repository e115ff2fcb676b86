// SPDX-License-Identifier: MIT
/*
 * Makes every so many openat(2) of one process fail before it begins, for tests of how a program takes it: what a program
 * of this kind returns in place of 0, the function returns.
 */
#include "bpf.h"
#include "core.h"

CORE_BEGIN
/* The registers of x86-64 by the names that the kernel's BTF has. */
struct pt_regs {
  unsigned long si;
};
CORE_END

struct rule {
  __u32 every;
  __s32 error;
  __u64 opens;
  char prefix[16];
};

/* By process. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, struct rule);
} rules SEC(".maps");

char last_path[64];
__u64 injected;
__s64 earlier;

static __always_inline bool begins_with(const char *text, const char *prefix, int size) {
  for (int i = 0; i < size && prefix[i]; i++)
    if (text[i] != prefix[i])
      return false;
  return true;
}

SEC("fmod_ret/__x64_sys_openat")
int fail_open(__u64 *ctx) {
  struct pt_regs *regs = (void *)ctx[0];
  __u32 process = bpf_get_current_pid_tgid() >> 32;
  /* What programs that ran before this one want returned. */
  __s64 wanted = ctx[1];
  struct rule *rule;
  char path[64] = {};

  if (wanted) {
    earlier = wanted;
    return wanted;
  }
  rule = bpf_map_lookup_elem(&rules, &process);
  if (!rule || !rule->every)
    return 0;
  if (bpf_probe_read_user_str(path, sizeof(path), (const void *)regs->si) < 0)
    return 0;
  if (!begins_with(path, rule->prefix, sizeof(rule->prefix)))
    return 0;
  rule->opens++;
  if (rule->opens % rule->every)
    return 0;
  injected++;
  memcpy(last_path, path, sizeof(last_path));
  return rule->error;
}

LICENSE("GPL");
