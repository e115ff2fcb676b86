// SPDX-License-Identifier: MIT
/*
 * What a program can learn of its kernel's types before it is loaded: offsets, sizes, signs and bits of fields, enums,
 * types by name, and what is not there at all. Every number that is written here was put in by the loader.
 */
#include "bpf.h"
#include "core.h"

struct mm_struct;
struct nowhere;

/* The members that are used, at offsets of this program's own. */
CORE_BEGIN
struct list_head {
  struct list_head *next, *prev;
};

struct task_struct {
  void *stack;
  int pid;
  int tgid;
  struct mm_struct *mm;
  char comm[16];
  unsigned sched_reset_on_fork : 1;
  unsigned in_execve : 1;
  struct list_head tasks;
  struct task_struct *real_parent;
};

/* Of kernels before 5.14, where `__state` was called `state`. */
struct task_struct___before_5_14 {
  long state;
};

struct task_struct___since_5_14 {
  unsigned int __state;
};

struct sk_buff {
  unsigned int len;
  unsigned char cb[48];
  union {
    struct {
      unsigned char pkt_type : 3;
      unsigned char nf_trace : 1;
    };
  };
};

struct bpf_prog {
  unsigned short pages;
  unsigned int len;
  struct bpf_insn insnsi[];
};

struct gone_since {
  int member;
};
CORE_END

typedef int (*gone_function_t)(int);
typedef int pid_t;

enum bpf_map_type___mine {
  BPF_MAP_TYPE_HASH___mine = 77,
  BPF_MAP_TYPE_NEVER = 78,
};

enum facts {
  MAX_FACTS = 48,
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_FACTS);
  __type(key, __u32);
  __type(value, __u64);
} facts SEC(".maps");

static __noinline int note(__u32 index, __u64 value) {
  __u64 *fact = bpf_map_lookup_elem(&facts, &index);

  if (fact)
    *fact = value;
  return 0;
}

SEC("xdp")
int fields(struct xdp_md *ctx) {
  struct task_struct *task = NULL;
  struct sk_buff *skb = NULL;
  struct bpf_prog *prog = NULL;

  note(0, bpf_core_field_offset(task->pid));
  note(1, bpf_core_field_offset(task->comm));
  note(2, bpf_core_field_size(task->comm));
  note(3, bpf_core_field_offset(task->comm[5]));
  note(4, bpf_core_field_size(task->mm));
  note(5, bpf_core_field_signed(task->pid));
  note(6, bpf_core_field_offset(task->tasks.prev));
  note(7, bpf_core_field_size(task->tasks));
  note(8, bpf_core_field_offset(task->in_execve));
  note(9, bpf_core_field_size(task->in_execve));
  note(10, bpf_core_field_lshift(task->in_execve));
  note(11, bpf_core_field_rshift(task->in_execve));
  note(12, bpf_core_field_signed(task->in_execve));
  note(13, bpf_core_field_offset(skb->cb[47]));
  note(14, bpf_core_field_offset(skb->pkt_type));
  note(15, bpf_core_field_lshift(skb->pkt_type));
  note(16, bpf_core_field_rshift(skb->pkt_type));
  note(17, bpf_core_field_offset(prog->insnsi[3].imm));
  note(18, bpf_core_field_size(prog->len));
  return XDP_PASS;
}

SEC("xdp")
int types(struct xdp_md *ctx) {
  note(19, bpf_core_type_size(struct task_struct));
  note(20, bpf_core_type_exists(struct task_struct));
  note(21, bpf_core_type_exists(struct gone_since));
  note(22, bpf_core_type_size(struct gone_since));
  note(23, bpf_core_type_exists(pid_t));
  note(24, bpf_core_type_exists(gone_function_t));
  note(25, bpf_core_type_id_kernel(struct list_head));
  note(26, bpf_core_type_id_local(struct list_head) > 0);
  note(27, bpf_core_enum_value(enum bpf_map_type___mine, BPF_MAP_TYPE_HASH___mine));
  note(28, bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_HASH___mine));
  note(29, bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER));
  return XDP_PASS;
}

/* What one kernel lacks is behind a question: the branch is not taken there, and the verifier does not look at it. */
SEC("xdp")
int guarded(struct xdp_md *ctx) {
  struct task_struct___before_5_14 *before = NULL;
  struct task_struct___since_5_14 *since = NULL;
  struct gone_since *gone = NULL;
  __u64 state = 0;

  if (bpf_core_field_exists(since->__state))
    state = bpf_core_field_offset(since->__state);
  else if (bpf_core_field_exists(before->state))
    state = bpf_core_field_offset(before->state);
  note(30, state);
  note(31, bpf_core_field_exists(since->__state) + bpf_core_field_exists(before->state));
  if (bpf_core_field_exists(gone->member))
    note(32, bpf_core_field_offset(gone->member));
  if (bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER))
    note(33, bpf_core_enum_value(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER));
  return XDP_PASS;
}

/* Nothing guards this one. */
SEC("?xdp")
int unguarded(struct xdp_md *ctx) {
  struct gone_since *gone = NULL;

  note(34, bpf_core_field_offset(gone->member));
  return XDP_PASS;
}

LICENSE("GPL");
