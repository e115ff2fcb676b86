/* SPDX-License-Identifier: MIT */
/* Text in programs: numbers from it, comparison, formats. Called by user space, with the text as the context. */
#include "bpf.h"

LICENSE("GPL");

struct request {
  char text[64];
  __u32 length;
  __u32 base;
};

struct answer {
  long number;
  unsigned long unsigned_number;
  __s32 number_ret;
  __s32 unsigned_ret;
  __s32 is_help;
  __s32 line_ret;
  char line[96];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct answer);
} answers SEC(".maps");

static struct answer *answer(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&answers, &zero);
}

/* Reads a number from the text, says whether the text is "help", and writes a line about both. */
SEC("syscall")
int parse(struct request *request) {
  static const char plain[] = "text=%s number=%ld hex=%lx used=%d %c%%";
  struct answer *a = answer();
  char text[64];
  __u32 length = request->length;
  if (!a || length == 0 || length > sizeof(text)) return -1;
  memcpy(text, request->text, sizeof(text));
  a->number_ret = bpf_strtol(text, length, request->base, &a->number);
  a->unsigned_ret = bpf_strtoul(text, length, request->base, &a->unsigned_number);
  a->is_help = bpf_strncmp(text, length, "help") == 0;
  __u64 args[] = {(__u64)text, a->number, a->unsigned_number, a->number_ret, 'x'};
  text[63] = 0;
  memset(a->line, 0, sizeof(a->line));
  a->line_ret = bpf_snprintf(a->line, sizeof(a->line), plain, args, sizeof(args));
  return a->line_ret;
}

struct printed {
  __s32 rets[8];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct printed);
} printed SEC(".maps");

/* What the trace's formats take: the length of the text, or -EINVAL. */
SEC("raw_tp/sys_enter")
int print(__u64 *ctx) {
  __u32 zero = 0;
  struct printed *p = bpf_map_lookup_elem(&printed, &zero);
  if (!p) return 0;
  __u64 args[] = {ctx[0], ctx[1], 3, 4};
  p->rets[0] = bpf_printk("id %d", (__u32)ctx[1]);
  p->rets[1] = bpf_printk("%lx|%5u|%-5d|%05d", ctx[0], 7, 8);
  p->rets[2] = bpf_printk("%lx|%5u|%-5d", ctx[0], 7, 8);
  p->rets[3] = bpf_printk("100%%");
  p->rets[4] = bpf_printk("%q", 1);
  static const char four[] = "%llu %llu %d %d";
  p->rets[5] = bpf_trace_vprintk(four, sizeof(four), args, sizeof(args));
  p->rets[6] = bpf_trace_vprintk(four, sizeof(four), args, 24);
  p->rets[7] = bpf_trace_vprintk(four, sizeof(four), args, 20);
  return 0;
}
