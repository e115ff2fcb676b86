/* SPDX-License-Identifier: MIT */
/* Services by address: a cgroup's connect and sendmsg go to a backend, its port 25 is closed. */
#include "bpf.h"

LICENSE("GPL");

#define ALLOW 1
#define REFUSE 0
#define EACCES 13

struct service {
  __be32 ip;
  __u16 port; /* network order, as in the context */
  __u16 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, struct service);
  __type(value, struct service);
} backends SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u64);
  __type(value, __u64);
} redirected SEC(".maps");

static int redirect(struct bpf_sock_addr *ctx) {
  struct service wanted = {.ip = ctx->user_ip4, .port = ctx->user_port, .protocol = ctx->protocol};
  struct service *backend = bpf_map_lookup_elem(&backends, &wanted);
  __u64 cgroup = bpf_get_current_cgroup_id(), one = 1, *count;
  if (!backend) return 0;
  ctx->user_ip4 = backend->ip;
  ctx->user_port = backend->port;
  count = bpf_map_lookup_elem(&redirected, &cgroup);
  if (count)
    __sync_fetch_and_add(count, 1);
  else
    bpf_map_update_elem(&redirected, &cgroup, &one, BPF_NOEXIST);
  return 1;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx) {
  if (ctx->user_port == bpf_htons(25)) {
    bpf_set_retval(-EACCES);
    return REFUSE;
  }
  redirect(ctx);
  return ALLOW;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx) {
  /* What leaves by the service's address seems to come from this host's loopback. */
  if (redirect(ctx)) ctx->msg_src_ip4 = bpf_htonl(0x7f000001);
  return ALLOW;
}

SEC("cgroup/getpeername4")
int peername4(struct bpf_sock_addr *ctx) {
  struct bpf_sock *sk = ctx->sk;
  /* The peer that was asked for, not the one that answers. */
  if (sk && sk->mark == 7) ctx->user_port = bpf_htons(80);
  return ALLOW;
}
