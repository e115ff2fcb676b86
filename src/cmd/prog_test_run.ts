/** BPF_PROG_TEST_RUN: runs a program on data of the caller's. Which kinds of programs can be run so: the table. */
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_XDP,
  bpf_attr,
  EINVAL,
  ENOTSUPP,
} from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import type { TestRun } from "./prog_test_data.ts";
import { testRunFlow } from "./prog_test_flow.ts";
import { testRunRawTp } from "./prog_test_raw_tp.ts";
import { testRunSkLookup } from "./prog_test_sk_lookup.ts";
import { testRunSkb } from "./prog_test_skb.ts";
import { testRunStructOps } from "./prog_test_struct_ops.ts";
import { testRunSyscall } from "./prog_test_syscall.ts";
import { testRunTracing } from "./prog_test_tracing.ts";
import { testRunXdp } from "./prog_test_xdp.ts";

const { test } = bpf_attr;

const kinds: Readonly<Record<number, (run: TestRun) => number>> = {
  [BPF_PROG_TYPE_XDP]: testRunXdp,
  [BPF_PROG_TYPE_SCHED_CLS]: testRunSkb,
  [BPF_PROG_TYPE_SCHED_ACT]: testRunSkb,
  [BPF_PROG_TYPE_SOCKET_FILTER]: testRunSkb,
  [BPF_PROG_TYPE_CGROUP_SKB]: testRunSkb,
  [BPF_PROG_TYPE_LWT_IN]: testRunSkb,
  [BPF_PROG_TYPE_LWT_OUT]: testRunSkb,
  [BPF_PROG_TYPE_LWT_XMIT]: testRunSkb,
  [BPF_PROG_TYPE_RAW_TRACEPOINT]: testRunRawTp,
  [BPF_PROG_TYPE_SYSCALL]: testRunSyscall,
  [BPF_PROG_TYPE_SK_LOOKUP]: testRunSkLookup,
  [BPF_PROG_TYPE_FLOW_DISSECTOR]: testRunFlow,
  [BPF_PROG_TYPE_TRACING]: testRunTracing,
  [BPF_PROG_TYPE_STRUCT_OPS]: testRunStructOps,
};

/** Types of programs that are run on a frame, as an skb. */
export const skbTypes: readonly number[] = Object.keys(kinds)
  .map(Number)
  .filter((type) => kinds[type] === testRunSkb);

export function progTestRun(kernel: Kernel, attr: number, uattr: number): number {
  const { u32 } = kernel.mem;
  const given = (pointer: { readonly offset: number }): boolean => pointerAt(kernel, attr + pointer.offset) !== 0;
  const sized = (size: { readonly offset: number }): boolean => u32[(attr + size.offset) >>> 2] !== 0;
  if (given(test.ctx_in) !== sized(test.ctx_size_in)) return -EINVAL;
  if (given(test.ctx_out) !== sized(test.ctx_size_out)) return -EINVAL;
  const prog = kernel.get(u32[(attr + test.prog_fd.offset) >>> 2]!, OBJ_PROG);
  if (prog < 0) return prog;
  try {
    const kind = kinds[u32[(prog + PROG_TYPE) >>> 2]!];
    return kind === undefined ? -ENOTSUPP : kind({ kernel, prog, attr, uattr });
  } finally {
    kernel.done(prog);
  }
}
