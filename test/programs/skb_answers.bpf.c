/* SPDX-License-Identifier: MIT */
/* What dynptrs over an skb answer: one that may be written, one that may only be read, and one whose packet has shrunk. */
#include "bpf.h"
#include "kfuncs.h"

#define ANSWERS 48

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *to) __ksym;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u8[64]);
} memory SEC(".maps");

__s64 says[ANSWERS];
__u32 count;

static __always_inline void say(__s64 what) {
  __u32 i = count;

  if (i < ANSWERS) says[i] = what;
  count = i + 1;
}

/* Of a bool from the kernel only the lowest byte says something; the compiler believes all of it. */
static __always_inline __s64 truth(bool what) {
  __u64 register_ = what;

  barrier_var(register_);
  return register_ & 0xff;
}

SEC("socket")
int read_only(struct __sk_buff *skb) {
  struct bpf_dynptr packet, other;
  __u8 bytes[8] = {}, *at, *value;
  __u32 zero = 0;

  value = bpf_map_lookup_elem(&memory, &zero);
  if (!value) return 0;
  say(bpf_dynptr_from_skb(skb, 1, &packet));
  say(truth(bpf_dynptr_is_null(&packet)));
  say(bpf_dynptr_from_skb(skb, 0, &packet));
  say(bpf_dynptr_size(&packet));
  say(truth(bpf_dynptr_is_rdonly(&packet)));
  say(bpf_dynptr_read(bytes, 8, &packet, 2, 0));
  say(bytes[0]);
  say(bpf_dynptr_write(&packet, 0, bytes, 8, 0));
  say(bpf_dynptr_write(&packet, 900, bytes, 8, 0));
  say(bpf_dynptr_memset(&packet, 0, 0, 1));
  say(bpf_dynptr_memset(&packet, 900, 1, 1));
  at = bpf_dynptr_slice(&packet, 3, NULL, 8);
  say(at ? at[0] : -1);
  at = bpf_dynptr_slice(&packet, 3, bytes, 8);
  say(at && at != bytes);
  say(!bpf_dynptr_data(&packet, 0, 1));
  bpf_dynptr_from_mem(value, 64, 0, &other);
  say(bpf_dynptr_copy(&packet, 0, &other, 0, 1));
  say(bpf_dynptr_copy(&packet, 0, &other, 0, 0));
  say(bpf_dynptr_copy(&packet, 0, &other, 60, 8));
  say(bpf_dynptr_copy(&other, 1, &packet, 4, 20));
  say(bpf_dynptr_clone(&packet, &other));
  say(truth(bpf_dynptr_is_rdonly(&other)));
  say(bpf_dynptr_adjust(&other, 4, 12));
  say(bpf_dynptr_read(bytes, 8, &other, 0, 0));
  say(bytes[0]);
  return 0;
}

SEC("tc")
int read_and_write(struct __sk_buff *skb) {
  struct bpf_dynptr packet;
  __u8 bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, *at;

  say(bpf_dynptr_from_skb(skb, 0, &packet));
  say(bpf_dynptr_size(&packet));
  say(truth(bpf_dynptr_is_rdonly(&packet)));
  say(bpf_dynptr_write(&packet, 0, bytes, 8, 0));
  say(bpf_dynptr_write(&packet, 1, bytes, 8, BPF_F_RECOMPUTE_CSUM));
  say(bpf_dynptr_write(&packet, 2, bytes, 8, BPF_F_INVALIDATE_HASH));
  say(bpf_dynptr_write(&packet, 0, bytes, 8, 99));
  say(bpf_dynptr_write(&packet, 60, bytes, 8, 99));
  at = bpf_dynptr_slice_rdwr(&packet, 16, bytes, 8);
  say(at && at != bytes);
  if (at) at[1] = 0x99;
  say(bpf_dynptr_memset(&packet, 20, 3, 7));
  say(bpf_dynptr_copy(&packet, 30, &packet, 16, 8));
  say(bpf_dynptr_copy(&packet, 31, &packet, 30, 20));
  say(bpf_skb_change_tail(skb, 40, 0));
  say(bpf_dynptr_size(&packet));
  say(bpf_dynptr_read(bytes, 8, &packet, 40, 0));
  say(bytes[0]);
  say(bpf_dynptr_write(&packet, 40, bytes, 8, 0));
  say(bpf_dynptr_memset(&packet, 38, 10, 1));
  say(bpf_dynptr_copy(&packet, 0, &packet, 38, 10));
  at = bpf_dynptr_slice(&packet, 38, bytes, 8);
  say(!at);
  return 0;
}

LICENSE("GPL");
