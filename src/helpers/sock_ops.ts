/** Sockets that programs decide about: who they are, and which events of theirs a program wants to hear of. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_CTX } from "../kern/run_record.ts";
import {
  BPF_FUNC_get_netns_cookie,
  BPF_FUNC_sock_ops_cb_flags_set,
  BPF_SOCK_OPS_ALL_CB_FLAGS,
  bpf_sock_ops,
  EINVAL,
} from "../uapi/index.ts";
import { wideBig } from "./task.ts";
import type { Helper } from "./types.ts";

const { fields } = bpf_sock_ops;

/** Returns the flags that there are not; sets the others. */
function cbFlagsSet(kernel: Kernel, _ctx: number, flags: number): number {
  const { u32 } = kernel.mem;
  const ctx = u32[(kernel.run + RUN_CTX) >>> 2]!;
  if (u32[(ctx + fields.is_fullsock.offset) >>> 2] === 0) return -EINVAL;
  u32[(ctx + fields.bpf_sock_ops_cb_flags.offset) >>> 2] = flags & BPF_SOCK_OPS_ALL_CB_FLAGS;
  return flags & ~BPF_SOCK_OPS_ALL_CB_FLAGS;
}

export const sockOpsFunctions: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_sock_ops_cb_flags_set]: {
    name: "bpf_sock_ops_cb_flags_set",
    since: "4.16",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: cbFlagsSet,
  },
  // The context may also be NULL: the first network namespace is the only one.
  [BPF_FUNC_get_netns_cookie]: {
    name: "bpf_get_netns_cookie",
    since: "5.7",
    gplOnly: false,
    args: ["u64"],
    result: "u64",
    fn: (kernel) => wideBig(kernel, 1n),
  },
};
