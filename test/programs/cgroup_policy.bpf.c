// SPDX-License-Identifier: MIT
/*
 * What a cgroup may do beside the network: socket options, sysctls and devices. Options that the kernel does not know are
 * kept here; some of the kernel's are hidden, limited or refused.
 */
#include "bpf.h"

#define EACCES 13
#define EINVAL 22
#define AF_INET 2
#define SOL_IP 0
#define SOL_SOCKET 1
#define SOL_TCP 6
#define SOL_OURS 0x0badcafe
#define IP_TOS 1
#define SO_SNDBUF 7
#define TCP_CONGESTION 13

LICENSE("GPL");

/* ---- socket options ---- */

/* Options of SOL_OURS, by their number. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u32);
} own_options SEC(".maps");

const volatile __u32 most_buffer = 65536;
__u64 limited;

SEC("cgroup/setsockopt")
int set_option(struct bpf_sockopt *ctx) {
  void *value = ctx->optval, *end = ctx->optval_end;
  __u32 *number = value, option = ctx->optname;

  if (ctx->level == SOL_IP && option == IP_TOS) {
    bpf_set_retval(-EACCES);
    return 0;
  }
  if (ctx->level == SOL_OURS) {
    if (value + sizeof(*number) > end || ctx->optlen < (int)sizeof(*number)) {
      bpf_set_retval(-EINVAL);
      return 0;
    }
    bpf_map_update_elem(&own_options, &option, number, BPF_ANY);
    /* The kernel is not asked. */
    ctx->optlen = -1;
    return 1;
  }
  if (ctx->level == SOL_SOCKET && option == SO_SNDBUF && value + sizeof(*number) <= end && *number > most_buffer) {
    *number = most_buffer;
    limited++;
  }
  return 1;
}

SEC("cgroup/getsockopt")
int get_option(struct bpf_sockopt *ctx) {
  /* The compiler puts it into a section of its own, .rodata.str1.1. */
  static const char shown[] = "cubic";
  void *value = ctx->optval, *end = ctx->optval_end;
  struct bpf_sock *sk = ctx->sk;
  __u32 option = ctx->optname, *known;

  if (ctx->level == SOL_TCP && option == TCP_CONGESTION && sk && sk->family == AF_INET) {
    /* Whatever it really is. */
    if (value + sizeof(shown) > end)
      return 1;
    memcpy(value, shown, sizeof(shown));
    ctx->optlen = sizeof(shown);
    ctx->retval = 0;
    return 1;
  }
  if (ctx->level != SOL_OURS)
    return 1;
  known = bpf_map_lookup_elem(&own_options, &option);
  if (!known || value + sizeof(*known) > end)
    return 0;
  *(__u32 *)value = *known;
  ctx->optlen = sizeof(*known);
  /* The kernel, which was asked first, knew no such level. */
  ctx->retval = 0;
  return 1;
}

/* ---- sysctls ---- */

struct limit {
  unsigned long least;
  unsigned long most;
  __u64 writes;
};

struct sysctl_name {
  char text[48];
};

/* Numbers that may be written, and between which values. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32);
  __type(key, struct sysctl_name);
  __type(value, struct limit);
} limits SEC(".maps");

unsigned long last_before, last_after;
char last_sysctl[32];
__s64 says[4];

SEC("cgroup/sysctl")
int on_sysctl(struct bpf_sysctl *ctx) {
  struct sysctl_name name = {};
  char text[24] = {};
  struct limit *limit;
  unsigned long wanted = 0;

  says[0] = bpf_sysctl_get_name(ctx, last_sysctl, sizeof(last_sysctl), BPF_F_SYSCTL_BASE_NAME);
  says[1] = bpf_sysctl_get_name(ctx, name.text, sizeof(name.text), 0);
  if (!ctx->write)
    return 1;
  if (says[1] < 0)
    return 0;
  limit = bpf_map_lookup_elem(&limits, &name);
  if (!limit)
    return 0;
  says[2] = bpf_sysctl_get_current_value(ctx, text, sizeof(text));
  if (says[2] < 0 || bpf_strtoul(text, sizeof(text), 0, &last_before) < 0)
    return 0;
  says[3] = bpf_sysctl_get_new_value(ctx, text, sizeof(text));
  if (says[3] < 0 || bpf_strtoul(text, sizeof(text), 0, &wanted) < 0)
    return 0;
  limit->writes++;
  if (wanted < limit->least)
    wanted = limit->least;
  else if (wanted > limit->most)
    wanted = limit->most;
  else
    goto done;
  {
    __u64 arguments[] = {wanted};
    long length = bpf_snprintf(text, sizeof(text), "%lu", arguments, sizeof(arguments));

    if (length < 2 || length > (long)sizeof(text) || bpf_sysctl_set_new_value(ctx, text, length - 1))
      return 0;
  }
done:
  last_after = wanted;
  return 1;
}

/* ---- devices ---- */

struct device {
  __u32 type;
  __u32 major;
  __u32 minor;
};

#define ANY_MINOR 0xffffffff

/* Which accesses are allowed: a bit for each, BPF_DEVCG_ACC_*. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, struct device);
  __type(value, __u32);
} devices SEC(".maps");

__u64 kept_out;

SEC("cgroup/dev")
int on_device(struct bpf_cgroup_dev_ctx *ctx) {
  struct device device = {.type = ctx->access_type & 0xffff, .major = ctx->major, .minor = ctx->minor};
  __u32 access = ctx->access_type >> 16, *allowed;

  allowed = bpf_map_lookup_elem(&devices, &device);
  if (!allowed) {
    device.minor = ANY_MINOR;
    allowed = bpf_map_lookup_elem(&devices, &device);
  }
  if (allowed && !(access & ~*allowed))
    return 1;
  kept_out++;
  return 0;
}
