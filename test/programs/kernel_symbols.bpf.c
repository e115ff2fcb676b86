/* SPDX-License-Identifier: MIT */
/*
 * Functions, variables and symbols of the kernel by name. Those that a kernel may lack are declared weak: the program asks
 * whether they are there, and the verifier drops the branch that calls what is not.
 */
#include "bpf.h"
#include "kfuncs.h"

extern void bpf_rcu_read_lock___as_of_6_1(void) __ksym;
extern void bpf_preempt_disable___v2(void) __ksym __weak;
extern int bpf_there_is_no_such_kfunc(struct xdp_md *ctx, int flags) __ksym __weak;
extern const int there_is_no_such_variable __ksym __weak;
extern const void there_is_no_such_symbol __ksym __weak;

/* As libbpf's macro: the address of what may be missing, kept from being folded into "true". */
#define bpf_ksym_exists(symbol)                                                                    \
  ({                                                                                               \
    _Static_assert(!__builtin_constant_p(!!(symbol)), #symbol " should be declared __weak");       \
    !!(symbol);                                                                                    \
  })

__u32 taken;

SEC("xdp")
int choose(struct xdp_md *ctx) {
  bpf_rcu_read_lock___as_of_6_1();
  bpf_rcu_read_unlock();
  if (bpf_ksym_exists(bpf_preempt_disable___v2)) {
    bpf_preempt_disable();
    taken |= 1;
    bpf_preempt_enable();
  }
  if (bpf_ksym_exists(bpf_there_is_no_such_kfunc)) {
    taken |= 2;
    return bpf_there_is_no_such_kfunc(ctx, 5);
  }
  if (&there_is_no_such_variable) taken |= 4;
  if (&there_is_no_such_symbol) taken |= 8;
  return XDP_PASS;
}

/* Calls it without asking: refused where the function is missing, which is why nobody loads it unasked. */
SEC("?xdp")
int careless(struct xdp_md *ctx) {
  return bpf_there_is_no_such_kfunc(ctx, 1);
}

LICENSE("GPL");
