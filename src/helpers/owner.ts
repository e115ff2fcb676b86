/**
 * What the packet's socket belongs to: cgroup, class, network namespace. It is the task's that runs, as in a test run.
 * Kernel counterpart: net/core/filter.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  BPF_FUNC_get_cgroup_classid,
  BPF_FUNC_get_netns_cookie,
  BPF_FUNC_sk_ancestor_cgroup_id,
  BPF_FUNC_sk_cgroup_id,
  BPF_FUNC_skb_ancestor_cgroup_id,
  BPF_FUNC_skb_cgroup_classid,
  BPF_FUNC_skb_cgroup_id,
} from "../uapi/index.ts";
import { wideBig } from "./task.ts";
import type { Helper, HelperArg, HelperFn } from "./types.ts";

function cgroupId(kernel: Kernel): number {
  return wideBig(kernel, kernel.scene.task.cgroups.at(-1) ?? 0n);
}

/** 0 for a level that is deeper than its own. */
function ancestorId(kernel: Kernel, _of: number, level: number): number {
  return wideBig(kernel, kernel.scene.task.cgroups[level] ?? 0n);
}

function classId(kernel: Kernel): number {
  return kernel.scene.task.classId;
}

/** Without a context it is the first namespace's: there is one here. */
function netnsCookie(kernel: Kernel): number {
  return wideBig(kernel, kernel.scene.network.cookie);
}

function about(name: string, since: string, args: readonly HelperArg[], fn: HelperFn): Helper {
  return { name, since, gplOnly: false, args, result: "u64", fn };
}

export const ownerHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_skb_cgroup_id]: about("bpf_skb_cgroup_id", "4.18", ["ctx"], cgroupId),
  [BPF_FUNC_skb_ancestor_cgroup_id]: about("bpf_skb_ancestor_cgroup_id", "4.19", ["ctx", "u32"], ancestorId),
  [BPF_FUNC_sk_cgroup_id]: about("bpf_sk_cgroup_id", "5.8", ["socket"], cgroupId),
  [BPF_FUNC_sk_ancestor_cgroup_id]: about("bpf_sk_ancestor_cgroup_id", "5.8", ["socket", "u32"], ancestorId),
  [BPF_FUNC_get_netns_cookie]: about("bpf_get_netns_cookie", "5.6", ["ctxOrNull"], netnsCookie),
  [BPF_FUNC_skb_cgroup_classid]: {
    name: "bpf_skb_cgroup_classid",
    since: "5.10",
    gplOnly: false,
    args: ["ctx"],
    result: "u32",
    fn: classId,
  },
};

/** Every kind of program may ask for its class; some kinds hand their context over, which nobody looks at. */
export const classHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_get_cgroup_classid]: {
    name: "bpf_get_cgroup_classid",
    since: "4.3",
    gplOnly: false,
    args: [],
    result: "u32",
    fn: classId,
  },
};
