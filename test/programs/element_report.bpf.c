/* SPDX-License-Identifier: MIT */
/* A report of a map's elements, as reading an iterator gives it; elements beyond a limit are reset while it goes. */
#include "bpf.h"

LICENSE("GPL");

struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
  __u64 session_id;
  __u64 seq_num;
};

struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta *meta;
  struct bpf_map *map;
  void *key;
  void *value;
};

const volatile __u64 limit = 100;
__u64 total = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

SEC("iter/bpf_map_elem")
int report(struct bpf_iter__bpf_map_elem *ctx) {
  struct seq_file *seq = ctx->meta->seq;
  __u64 number = ctx->meta->seq_num;
  __u32 *key = ctx->key;
  __u64 *value = ctx->value;
  if (!key || !value) {
    static const char end[] = "%llu elements, %llu in all\n";
    __u64 args[] = {number + (total != 0), total};
    bpf_seq_printf(seq, end, sizeof(end), args, sizeof(args));
    return 0;
  }
  static const char line[] = "%5u %-8llu|";
  __u64 args[] = {*key, *value};
  bpf_seq_printf(seq, line, sizeof(line), args, sizeof(args));
  bpf_seq_write(seq, "\n", 1);
  total += *value;
  if (*value > limit) *value = 0;
  return 0;
}
