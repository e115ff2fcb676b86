/* SPDX-License-Identifier: MIT */
/*
 * Variables in an arena, as compilers with address spaces lay them out: in a section of their own, the first bytes of the
 * arena. The program counts there, and links the entries of a ring that user space walks by the same pointers.
 */
#include "bpf.h"
#include "arena.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 4);
} heap SEC(".maps");

#define __arena SEC(".addr_space.1")

struct entry {
  struct entry *next;
  __u64 value;
};

__u64 runs __arena = 40;
struct entry entries[300] __arena = {};
struct entry *last __arena = 0;
char greeting[12] __arena = "in an arena";
__u64 sum;

SEC("syscall")
int link_one(const __u32 *index) {
  struct entry *entry = entries, **head = &last, *was;
  __u64 *count = &runs;
  char *letters = greeting + 3;

  /* The verifier wants to know which arena it is. */
  bpf_arena_reserve_pages(&heap, NULL, 0);
  entry += *index % 300;
  was = entry;
  cast_kern(count);
  cast_kern(head);
  cast_kern(entry);
  cast_kern(letters);
  *count += 2;
  entry->next = *head;
  entry->value = *index;
  *head = was;
  *letters += 1;
  sum += entry->value;
  return *count;
}

LICENSE("GPL");
