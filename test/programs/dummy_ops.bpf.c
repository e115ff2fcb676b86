/* SPDX-License-Identifier: MIT */
/*
 * The struct of callbacks that a kernel has for test runs alone: an account that its callbacks pay into and draw from,
 * with its balance in the kernel's state.
 */
#include "bpf.h"

LICENSE("GPL");

struct bpf_dummy_ops_state {
  int val;
};

struct bpf_dummy_ops {
  int (*test_1)(struct bpf_dummy_ops_state *cb);
  int (*test_2)(struct bpf_dummy_ops_state *cb, int a1, unsigned short a2, char a3, unsigned long a4);
  int (*test_sleepable)(struct bpf_dummy_ops_state *cb);
};

/* The last payment. These programs have no helpers, not even for maps: variables are all there is. */
__u64 words[4];
__s32 before = 0, after = 0;
__u32 asked = 0, asked_nobody = 0;

/* The balance, or -1 without an account. */
SEC("struct_ops/balance")
int balance(__u64 *ctx) {
  struct bpf_dummy_ops_state *state = (void *)ctx[0];
  if (!state) {
    asked_nobody++;
    return -1;
  }
  asked++;
  return state->val;
}

SEC("struct_ops/pay")
int pay(__u64 *ctx) {
  struct bpf_dummy_ops_state *state = (void *)ctx[0];
  for (int i = 0; i < 4; i++) words[i] = ((volatile __u64 *)ctx)[i + 1];
  before = state->val;
  state->val += (int)ctx[1] - (__u16)ctx[2];
  after = state->val;
  return (char)ctx[3];
}

SEC("struct_ops.s/settle")
int settle(__u64 *ctx) {
  struct bpf_dummy_ops_state *state = (void *)ctx[0];
  int owed = state->val;
  state->val = 0;
  return owed;
}

/* Not registered: a test run calls the functions by themselves. */
SEC("?.struct_ops")
struct bpf_dummy_ops account = {
  .test_1 = (void *)balance,
  .test_2 = (void *)pay,
  .test_sleepable = (void *)settle,
};
