/* SPDX-License-Identifier: MIT */
/*
 * A queue of packets as a qdisc would keep it, out of objects of the program's own: a list in the order of arrival and a
 * tree in the order of deadlines. A packet is in both at once, each holding a reference; it leaves the tree when it is due
 * and the list when it is sent. `dequeue` sends what is due first, `shape` shows the tree from its root down.
 */
#include "bpf.h"
#include "kfuncs.h"

struct packet {
  __u32 number;
  __u32 length;
  struct bpf_list_node in_order;
  struct bpf_rb_node by_deadline;
  struct bpf_refcount references;
  __u64 deadline;
};

#define private_data(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
/* The verifier wants a lock, and what it guards, in one map. */
private_data(queue) struct bpf_spin_lock lock;
private_data(queue) struct bpf_list_head arrived __contains(packet, in_order);
private_data(queue) struct bpf_rb_root deadlines __contains(packet, by_deadline);

#define PACKETS 64
/* Deadlines, by the packet's number; the test's. */
__u64 wanted[PACKETS];
__u32 sent[PACKETS];
__u32 count, sent_count, dropped, failed;
__s32 results[8];

static bool earlier(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
  return container_of(a, struct packet, by_deadline)->deadline < container_of(b, struct packet, by_deadline)->deadline;
}

SEC("tc")
int enqueue(struct __sk_buff *skb) {
  __u32 number = count;
  if (number >= PACKETS) return 2;
  struct packet *packet = bpf_obj_new(struct packet);
  if (!packet) return 1;
  packet->number = number;
  packet->length = skb->len;
  packet->deadline = wanted[number];
  struct packet *again = bpf_refcount_acquire(packet);
  count++;
  bpf_spin_lock(&lock);
  bpf_list_push_back(&arrived, &packet->in_order);
  bpf_rbtree_add(&deadlines, &again->by_deadline, earlier);
  bpf_spin_unlock(&lock);
  return 0;
}

/* Sends the packet that is due first. The list's reference goes when the packet is the oldest, too. */
SEC("tc")
int dequeue(struct __sk_buff *skb) {
  struct bpf_list_node *oldest;
  struct bpf_rb_node *node;
  bpf_spin_lock(&lock);
  node = bpf_rbtree_first(&deadlines);
  if (!node) {
    bpf_spin_unlock(&lock);
    return 1;
  }
  node = bpf_rbtree_remove(&deadlines, node);
  bpf_spin_unlock(&lock);
  if (!node) return 2;
  struct packet *packet = container_of(node, struct packet, by_deadline);
  __u32 at = sent_count;
  if (at < PACKETS) sent[at] = packet->number;
  sent_count = at + 1;
  bpf_obj_drop(packet);
  bpf_spin_lock(&lock);
  oldest = bpf_list_pop_front(&arrived);
  bpf_spin_unlock(&lock);
  if (!oldest) return 3;
  packet = container_of(oldest, struct packet, in_order);
  dropped += packet->length;
  bpf_obj_drop(packet);
  return 0;
}

/* Ends of the list, and what pushing and removing twice gives. */
SEC("tc")
int misuse(struct __sk_buff *skb) {
  struct bpf_list_node *node;
  struct bpf_rb_node *tree_node;
  struct packet *packet = bpf_obj_new(struct packet), *again;
  if (!packet) return 1;
  /* A new object is not zero: what was in its memory before is in it still. */
  packet->number = 3;
  again = bpf_refcount_acquire(packet);
  bpf_spin_lock(&lock);
  results[0] = bpf_list_push_front(&arrived, &packet->in_order);
  /* In the list already: the reference is gone all the same. */
  results[1] = bpf_list_push_front_impl(&arrived, &again->in_order, NULL, 0);
  bpf_spin_unlock(&lock);

  packet = bpf_obj_new(struct packet);
  if (!packet) return 1;
  packet->number = 7;
  bpf_spin_lock(&lock);
  results[2] = bpf_list_push_back(&arrived, &packet->in_order);
  node = bpf_list_back(&arrived);
  if (node) results[3] = container_of(node, struct packet, in_order)->number;
  node = bpf_list_front(&arrived);
  if (node) results[4] = container_of(node, struct packet, in_order)->number;
  node = bpf_list_pop_back(&arrived);
  bpf_spin_unlock(&lock);
  if (!node) return 2;
  packet = container_of(node, struct packet, in_order);
  again = bpf_refcount_acquire(packet);
  bpf_spin_lock(&lock);
  results[5] = bpf_rbtree_add(&deadlines, &packet->by_deadline, earlier);
  results[6] = bpf_rbtree_add(&deadlines, &again->by_deadline, earlier);
  tree_node = bpf_rbtree_first(&deadlines);
  if (!tree_node) {
    bpf_spin_unlock(&lock);
    return 3;
  }
  tree_node = bpf_rbtree_remove(&deadlines, tree_node);
  bpf_spin_unlock(&lock);
  if (!tree_node) return 4;
  packet = container_of(tree_node, struct packet, by_deadline);
  results[7] = packet->number;
  bpf_obj_drop(packet);
  return 0;
}

/* The numbers of the packets on the way to the left and to the right, and of the children of the root's children. */
__s32 left_path[8], right_path[8], inner[2];

static __always_inline __s32 number_of(struct bpf_rb_node *node) {
  return container_of(node, struct packet, by_deadline)->number;
}

SEC("tc")
int shape(struct __sk_buff *skb) {
  struct bpf_rb_node *node, *below;
  bpf_spin_lock(&lock);
  node = bpf_rbtree_root(&deadlines);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    left_path[i] = node ? number_of(node) : -1;
    if (node) node = bpf_rbtree_left(&deadlines, node);
  }
  node = bpf_rbtree_root(&deadlines);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    right_path[i] = node ? number_of(node) : -1;
    if (node) node = bpf_rbtree_right(&deadlines, node);
  }
  node = bpf_rbtree_root(&deadlines);
  if (node) {
    below = bpf_rbtree_left(&deadlines, node);
    if (below) below = bpf_rbtree_right(&deadlines, below);
    inner[0] = below ? number_of(below) : -1;
    below = bpf_rbtree_right(&deadlines, node);
    if (below) below = bpf_rbtree_left(&deadlines, below);
    inner[1] = below ? number_of(below) : -1;
  }
  bpf_spin_unlock(&lock);
  return 0;
}

LICENSE("GPL");
