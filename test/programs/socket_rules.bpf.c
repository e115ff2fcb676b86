// SPDX-License-Identifier: MIT
/*
 * Sockets of a cgroup from their creation to their end: a device and a mark for new ones by family, ports that nobody may
 * bind, and how many there are.
 */
#include "bpf.h"

#define EADDRINUSE 98
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_RAW 3
#define LOWEST_FREE 1024

struct rule {
  __u32 device;
  __u32 mark;
  __u32 priority;
};

/* By family. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, struct rule);
} rules SEC(".maps");

struct bound {
  __u32 address[4];
  __u32 port;
  __u32 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, struct bound);
  __type(value, __u64);
} bound SEC(".maps");

/* Low ports that may be bound. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u32);
} open_ports SEC(".maps");

__s64 open_sockets;
__u64 refused;

SEC("cgroup/sock_create")
int create(struct bpf_sock *sk) {
  __u32 family = sk->family;
  struct rule *rule;

  if (sk->type == SOCK_RAW) {
    refused++;
    return 0;
  }
  rule = bpf_map_lookup_elem(&rules, &family);
  if (rule) {
    if (rule->device)
      sk->bound_dev_if = rule->device;
    sk->mark |= rule->mark;
    sk->priority = rule->priority;
  }
  __sync_fetch_and_add(&open_sockets, 1);
  return 1;
}

static __always_inline int keep(struct bound *key) {
  __u64 one = 1, *times;

  if (key->port < LOWEST_FREE && !bpf_map_lookup_elem(&open_ports, &key->port)) {
    refused++;
    bpf_set_retval(-EADDRINUSE);
    return 0;
  }
  times = bpf_map_lookup_elem(&bound, key);
  if (times)
    __sync_fetch_and_add(times, 1);
  else
    bpf_map_update_elem(&bound, key, &one, BPF_NOEXIST);
  return 1;
}

SEC("cgroup/post_bind4")
int bound4(struct bpf_sock *sk) {
  /* As in an IPv6 address that stands for an IPv4 one; the port is in the host's byte order. */
  struct bound key = {.address = {0, 0, bpf_htonl(0xffff), sk->src_ip4}, .port = sk->src_port, .protocol = sk->protocol};

  return keep(&key);
}

SEC("cgroup/post_bind6")
int bound6(struct bpf_sock *sk) {
  struct bound key = {.port = sk->src_port, .protocol = sk->protocol};

  key.address[0] = sk->src_ip6[0];
  key.address[1] = sk->src_ip6[1];
  key.address[2] = sk->src_ip6[2];
  key.address[3] = sk->src_ip6[3];
  return keep(&key);
}

SEC("cgroup/sock_release")
int release(struct bpf_sock *sk) {
  if (sk->family == AF_INET || sk->family == AF_INET6)
    __sync_fetch_and_add(&open_sockets, -1);
  return 1;
}

LICENSE("GPL");
