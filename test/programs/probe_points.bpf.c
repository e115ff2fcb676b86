/* SPDX-License-Identifier: MIT */
/* One counter a place: a function's entry and return, a program's function, a stream's records, an action of tc. */
#include "bpf.h"

LICENSE("GPL");

/* The registers of x86-64, in the kernel's order. */
struct pt_regs {
  unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
  unsigned long rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
};

enum place { ENTRY, RETURN, USER, RECORD, PASSED, ACTION, PLACES };

__u64 hits[PLACES];
__u64 last_argument, last_result;
__u32 last_pid;
/* Bytes of a record's head, which says how long the record is. */
const volatile __u32 head_size = 4;
const volatile __u8 unwanted = '!';

SEC("kprobe/do_something")
int entry(struct pt_regs *ctx) {
  last_argument = ctx->rdi;
  last_pid = bpf_get_current_pid_tgid();
  hits[ENTRY]++;
  return 0;
}

SEC("kretprobe/do_something")
int returned(struct pt_regs *ctx) {
  last_result = ctx->rax;
  hits[RETURN]++;
  return 0;
}

SEC("uprobe")
int user_function(struct pt_regs *ctx) {
  last_argument = ctx->rsi;
  hits[USER]++;
  return 0;
}

SEC("sk_skb/stream_parser")
int record_length(struct __sk_buff *skb) {
  __u8 length;
  if (bpf_skb_load_bytes(skb, 0, &length, 1)) return 0;
  hits[RECORD]++;
  return head_size + length;
}

SEC("sk_skb/stream_verdict")
int record_verdict(struct __sk_buff *skb) {
  __u8 first;
  if (bpf_skb_load_bytes(skb, head_size, &first, 1) || first == unwanted) return SK_DROP;
  hits[PASSED]++;
  return SK_PASS;
}

SEC("action")
int act(struct __sk_buff *skb) {
  hits[ACTION]++;
  skb->mark = skb->len;
  return skb->len > 100 ? 2 : 3;
}
