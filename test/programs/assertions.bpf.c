/* SPDX-License-Identifier: MIT */
/*
 * Programs that assert what must be so (bpf_throw): a packet that breaks a rule deep inside a parser ends the whole
 * program, which returns the verdict.
 */
#include "bpf.h"
#include "kfuncs.h"
#include <linux/if_ether.h>

#define ASSERT(condition, verdict) \
  do {                             \
    if (!(condition)) bpf_throw(verdict); \
  } while (0)

__u32 parsed, returned;

static __noinline int check_length(__u32 length) {
  ASSERT(length >= 64, XDP_DROP);
  ASSERT(length <= 128, XDP_TX);
  return length;
}

static __noinline int parse(__u32 length) {
  int checked = check_length(length);
  parsed++;
  return checked + 1;
}

SEC("xdp")
int assert_all(struct xdp_md *ctx) {
  int result = parse(ctx->data_end - ctx->data);
  returned++;
  return result > 0 ? XDP_PASS : XDP_ABORTED;
}

LICENSE("GPL");
