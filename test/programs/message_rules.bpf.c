/* SPDX-License-Identifier: MIT */
/* Connections that are watched, and messages of theirs that are framed: each verdict is for one frame. */
#include "bpf.h"

LICENSE("GPL");

struct frame {
  __be32 length;
  __u8 kind;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32);
  __type(key, __u32);
  __type(value, __u32);
} states SEC(".maps");

__u64 frames = 0;

SEC("sockops")
int watch(struct bpf_sock_ops *ops) {
  __u32 port = ops->local_port, state;
  switch (ops->op) {
    case BPF_SOCK_OPS_TIMEOUT_INIT:
      /* Ports of this machine's own answer soon. */
      ops->reply = ops->local_ip4 == ops->remote_ip4 ? 10 : -1;
      break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
      if (bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_STATE_CB_FLAG)) return 0;
      state = BPF_TCP_ESTABLISHED;
      bpf_map_update_elem(&states, &port, &state, BPF_ANY);
      break;
    case BPF_SOCK_OPS_STATE_CB:
      state = ops->args[1];
      if (state == BPF_TCP_CLOSE)
        bpf_map_delete_elem(&states, &port);
      else
        bpf_map_update_elem(&states, &port, &state, BPF_EXIST);
      break;
  }
  return 1;
}

SEC("sk_msg")
int verdict(struct sk_msg_md *msg) {
  void *data = msg->data, *end = msg->data_end;
  struct frame *frame = data;
  if (data + sizeof(*frame) > end) {
    /* Not even a head: wait for it. */
    bpf_msg_cork_bytes(msg, sizeof(*frame));
    return SK_PASS;
  }
  if (frame->kind == 'x') return SK_DROP;
  __u32 length = bpf_ntohl(frame->length);
  if (length > msg->size) {
    bpf_msg_cork_bytes(msg, length);
    return SK_PASS;
  }
  bpf_msg_apply_bytes(msg, length);
  frames++;
  /* Old clients' frames get a mark in front of their text; new ones' last four bytes are a checksum that goes. */
  if (frame->kind == 'o') {
    if (bpf_msg_push_data(msg, sizeof(*frame) - 3, 2, 0)) return SK_DROP;
    if (bpf_msg_pull_data(msg, 0, sizeof(*frame) + 2, 0)) return SK_DROP;
    data = msg->data;
    end = msg->data_end;
    if (data + 7 > end) return SK_DROP;
    ((__u8 *)data)[5] = 'V';
    ((__u8 *)data)[6] = '1';
  } else if (frame->kind == 'n' && length > 9) {
    if (bpf_msg_pop_data(msg, length - 4, 4, 0)) return SK_DROP;
  }
  return SK_PASS;
}
