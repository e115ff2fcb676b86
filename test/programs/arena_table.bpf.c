/* SPDX-License-Identifier: MIT */
/*
 * A hash table of one's own in an arena: buckets in its first page, nodes from an allocator that takes further pages as it
 * needs them. Pointers in the arena are user space's, so that it can walk the table in its mapping; the program casts
 * them before it follows them. Compilers do that for __arena pointers; clang 14 knows none, so it is written out here.
 */
#include "bpf.h"
#include "arena.h"
#include "kfuncs.h"

#define PAGE 4096
#define BUCKETS 64
#define LONGEST_CHAIN 256

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 16);
} heap SEC(".maps");

struct node {
  struct node *next;
  __u64 key;
  __u64 value;
  __u64 used;
};

/* What lies at the beginning of the first page. */
struct table {
  struct node *buckets[BUCKETS];
  __u64 elements;
};

enum op { OP_PUT, OP_GET, OP_REMOVE, OP_CLEAR };

/* The context: what to do, and what came of it. */
struct request {
  __u32 op;
  __s32 result;
  __u64 key;
  __u64 value;
};

/* User space's addresses: of the table, of the page that nodes come from, of the nodes that were given back. */
struct table *table;
__u8 *page;
__u32 page_used;
struct node *given_back;
__u32 pages;

static __always_inline struct node *new_node(void) {
  struct node *node = given_back;

  if (node) {
    struct node *first = node;

    cast_kern(first);
    given_back = first->next;
    return node;
  }
  if (!page || page_used == PAGE) {
    page = bpf_arena_alloc_pages(&heap, NULL, 1, -1, 0);
    if (!page) return NULL;
    pages++;
    page_used = 0;
  }
  node = (struct node *)(page + page_used);
  page_used += sizeof(*node);
  return node;
}

/* The address of the link that leads to the node with the key, or that ends its chain. */
static __always_inline struct node **link_of(struct table *kernel_table, __u64 key) {
  struct node **link = &kernel_table->buckets[(key * 0x9e3779b97f4a7c15) >> 58];
  int i;

  for (i = 0; i < LONGEST_CHAIN; i++) {
    struct node *node = *link;

    if (!node) break;
    cast_kern(node);
    if (node->key == key) break;
    link = &node->next;
  }
  return link;
}

SEC("syscall")
int serve(struct request *request) {
  struct node **link, *node, *user_node;
  struct table *here;

  if (!table) {
    table = bpf_arena_alloc_pages(&heap, NULL, 1, -1, 0);
    if (!table) return 1;
    pages++;
  }
  here = table;
  cast_kern(here);
  if (request->op == OP_CLEAR) {
    __u8 *start = (__u8 *)table;

    bpf_arena_free_pages(&heap, start, pages);
    table = NULL;
    page = NULL;
    given_back = NULL;
    pages = 0;
    request->result = 0;
    return 0;
  }
  link = link_of(here, request->key);
  user_node = *link;
  node = user_node;
  cast_kern(node);
  request->result = -2;
  if (request->op == OP_PUT) {
    if (!user_node) {
      user_node = new_node();
      if (!user_node) {
        request->result = -12;
        return 0;
      }
      node = user_node;
      cast_kern(node);
      node->next = NULL;
      node->key = request->key;
      node->used = 1;
      *link = user_node;
      here->elements++;
    }
    node->value = request->value;
    request->result = 0;
  } else if (user_node && request->op == OP_GET) {
    request->value = node->value;
    request->result = 0;
  } else if (user_node && request->op == OP_REMOVE) {
    request->value = node->value;
    *link = node->next;
    node->next = given_back;
    node->used = 0;
    given_back = user_node;
    here->elements--;
    request->result = 0;
  }
  return 0;
}

/* What the functions for pages answer, and what lies where there are none. */
__s64 says[48];
__u32 count;

static __always_inline void say(__s64 what) {
  __u32 i = count;

  if (i < sizeof(says) / sizeof(*says)) says[i] = what;
  count = i + 1;
}

#define alloc_at(address, number) ((__s64)bpf_arena_alloc_pages(&heap, address, number, -1, 0))

SEC("syscall")
int pages_of_all_kinds(struct request *request) {
  volatile __u64 *here, *beyond, *across;
  __u8 *start;
  __u64 seven = 7;

  start = bpf_arena_alloc_pages(&heap, NULL, 1, -1, 0);
  say((__s64)start);
  say((__s64)bpf_arena_alloc_pages(&heap, NULL, 1, 0, 0));
  say((__s64)bpf_arena_alloc_pages(&heap, NULL, 1, 99, 0));
  say((__s64)bpf_arena_alloc_pages(&heap, NULL, 1, -1, 1));
  say(alloc_at(NULL, 0));
  say(alloc_at(NULL, 17));
  say(alloc_at(NULL, 15));
  say(alloc_at(NULL, 14));
  say(alloc_at(NULL, 1));
  /* The smallest hole that fits, of several the newest. */
  bpf_arena_free_pages(&heap, start + 2 * PAGE + 77, 3);
  bpf_arena_free_pages(&heap, start + 8 * PAGE, 2);
  bpf_arena_free_pages(&heap, start + 12 * PAGE, 2);
  say(alloc_at(NULL, 1));
  say(alloc_at(NULL, 2));
  say(alloc_at(NULL, 1));
  say(alloc_at(NULL, 1));
  say(alloc_at(start + 4 * PAGE, 1));
  say(alloc_at(start + 4 * PAGE, 1));
  say(alloc_at(start + 3 * PAGE + 8, 1));
  say(alloc_at(start + 16 * PAGE, 1));
  say(bpf_arena_reserve_pages(&heap, start + 3 * PAGE, 0));
  say(bpf_arena_reserve_pages(&heap, start + 3 * PAGE, 1));
  say(bpf_arena_reserve_pages(&heap, start + 3 * PAGE, 1));
  say(bpf_arena_reserve_pages(&heap, start + 4 * PAGE, 1));
  say(bpf_arena_reserve_pages(&heap, start + 15 * PAGE, 2));
  say(bpf_arena_reserve_pages(&heap, NULL, 1));
  say(alloc_at(NULL, 1));
  bpf_arena_free_pages(&heap, start + 3 * PAGE, 1);
  say(alloc_at(start + 3 * PAGE, 1));

  here = (volatile __u64 *)start;
  cast_kern(here);
  *here = 0x1122334455667788;
  say(*here);
  say(*(volatile __u32 *)((volatile __u8 *)here + 1));
  bpf_arena_free_pages(&heap, start + PAGE, 1);
  beyond = (volatile __u64 *)(start + PAGE);
  cast_kern(beyond);
  say(*beyond);
  *beyond = 5;
  say(*beyond);
  say(__sync_fetch_and_add(beyond, seven));
  say(__sync_val_compare_and_swap(beyond, 0x77, 9));
  say(__sync_lock_test_and_set(beyond, 5));
  say(*beyond);
  say(__sync_fetch_and_add(here, seven));
  say(*here);
  /* Half in a page that is there, half in one that is not. */
  across = (volatile __u64 *)((volatile __u8 *)here + PAGE - 4);
  *across = -1;
  say(*(volatile __u32 *)across);
  *(volatile __u32 *)across = 0x01020304;
  say(*across);
  say(*(volatile __u32 *)across);
  say(*(volatile __u32 *)((volatile __u8 *)here - 8));
  say(*(volatile __u32 *)((volatile __u8 *)here + 0x7ffc));
  bpf_arena_free_pages(&heap, start, 1);
  say(*here);
  say(alloc_at(start, 2));
  say(*here);
  return 0;
}

LICENSE("GPL");
