/* SPDX-License-Identifier: MIT */
/*
 * Programs at the kernel's test functions, which BPF_PROG_TEST_RUN of a tracing program calls: what they are called with,
 * what they return, in which order programs run, and functions that programs stand in for.
 */
#include "bpf.h"

LICENSE("GPL");

#define MAX_ARGS 7
#define MAX_STEPS 64

struct seen {
  __u64 args[MAX_ARGS];
  __u64 ret;
  __u64 cookie;
  /* What the function's pointer leads to. */
  __u64 behind;
  __u32 arg_count;
  __s32 ret_error;
};

/* By the number of the function; 11 and 12 are those whose result is modified. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 13);
  __type(key, __u32);
  __type(value, struct seen);
} entered SEC(".maps"), left SEC(".maps");

/* Who ran, in order: hundreds are the kind of program, the rest the function. */
__u32 steps[MAX_STEPS];
__u32 step_count = 0;
/* What the programs return that stand in for functions. */
const volatile int result = 0, result_again = 0, result_2 = 0, result_entry = 0;
/* The function's address, by the helper. */
__u64 ip_at_entry = 0, ip_at_exit = 0;

static __always_inline void step(__u32 code) {
  __u32 at = step_count;
  if (at < MAX_STEPS) steps[at] = code;
  step_count = at + 1;
}

static __always_inline void note(void *ctx, void *map, __u32 function, __u64 behind) {
  struct seen *seen = bpf_map_lookup_elem(map, &function);
  if (!seen) return;
  seen->arg_count = bpf_get_func_arg_cnt(ctx);
  seen->cookie = bpf_get_attach_cookie(ctx);
  seen->behind = behind;
  for (__u32 i = 0; i < MAX_ARGS; i++) {
    __u64 value = 0;
    if (bpf_get_func_arg(ctx, i, &value)) break;
    seen->args[i] = value;
  }
  __u64 ret = 0;
  seen->ret_error = bpf_get_func_ret(ctx, &ret);
  seen->ret = ret;
}

/* An int behind an address that is a number to the verifier. */
static __always_inline __u64 int_at(__u64 address) {
  __u32 value = 0;
  if (bpf_probe_read_kernel(&value, sizeof(value), (void *)address)) return -1;
  return value;
}

#define AT_ENTRY(n, behind)                  \
  SEC("fentry/bpf_fentry_test" #n)           \
  int enter_##n(__u64 *ctx) {                \
    note(ctx, &entered, n, behind);          \
    step(100 + n);                           \
    return 0;                                \
  }
#define AT_EXIT(n, behind)                   \
  SEC("fexit/bpf_fentry_test" #n)            \
  int leave_##n(__u64 *ctx) {                \
    note(ctx, &left, n, behind);             \
    step(300 + n);                           \
    return 0;                                \
  }
#define AT_BOTH(n) AT_ENTRY(n, 0) AT_EXIT(n, 0)

AT_BOTH(1)
AT_BOTH(2)
AT_BOTH(3)
AT_BOTH(4)
AT_BOTH(5)
AT_BOTH(6)
AT_BOTH(7)
AT_ENTRY(9, int_at(ctx[0]))
AT_EXIT(9, int_at(ctx[0]))
AT_BOTH(10)

/* A pointer with a type is read through as it stands. */
struct bpf_fentry_test_t {
  struct bpf_fentry_test_t *a;
};

SEC("fentry/bpf_fentry_test8")
int enter_8(__u64 *ctx) {
  struct bpf_fentry_test_t *arg = (void *)ctx[0];
  note(ctx, &entered, 8, arg->a ? 2 : 1);
  step(108);
  return 0;
}

SEC("fexit/bpf_fentry_test8")
int leave_8(__u64 *ctx) {
  note(ctx, &left, 8, 0);
  step(308);
  return 0;
}

SEC("fentry.s/bpf_fentry_test1")
int enter_sleepable(__u64 *ctx) {
  ip_at_entry = bpf_get_func_ip(ctx);
  step(190);
  return 0;
}

SEC("fexit.s/bpf_fentry_test1")
int leave_sleepable(__u64 *ctx) {
  ip_at_exit = bpf_get_func_ip(ctx);
  step(390);
  return 0;
}

SEC("fmod_ret/bpf_fentry_test1")
int modify_entry(__u64 *ctx) {
  step(201);
  return result_entry;
}

SEC("fentry/bpf_modify_return_test")
int enter_modify(__u64 *ctx) {
  note(ctx, &entered, 11, int_at(ctx[1]));
  step(111);
  return 0;
}

SEC("fmod_ret/bpf_modify_return_test")
int modify(__u64 *ctx) {
  step(211);
  return result;
}

/* Behind the arguments: what the programs before it have returned. */
SEC("fmod_ret/bpf_modify_return_test")
int modify_again(__u64 *ctx) {
  step(ctx[2] ? 299 : 221);
  return result_again;
}

SEC("fexit/bpf_modify_return_test")
int leave_modify(__u64 *ctx) {
  note(ctx, &left, 11, int_at(ctx[1]));
  step(311);
  return 0;
}

SEC("fmod_ret.s/bpf_modify_return_test2")
int modify_2(__u64 *ctx) {
  note(ctx, &entered, 12, int_at(ctx[1]));
  step(212);
  return result_2;
}

SEC("fexit/bpf_modify_return_test2")
int leave_modify_2(__u64 *ctx) {
  note(ctx, &left, 12, int_at(ctx[1]));
  step(312);
  return 0;
}
