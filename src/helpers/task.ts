/** Who runs: the task of the run. Kernel counterparts: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c. */

import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  BPF_FUNC_get_current_ancestor_cgroup_id,
  BPF_FUNC_get_current_cgroup_id,
  BPF_FUNC_get_current_comm,
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_current_task,
  BPF_FUNC_get_current_task_btf,
  BPF_FUNC_get_current_uid_gid,
  BPF_FUNC_get_ns_current_pid_tgid,
  BPF_FUNC_send_signal,
  BPF_FUNC_send_signal_thread,
  bpf_pidns_info,
  EINVAL,
} from "../uapi/index.ts";
import type { Helper, HelperFn } from "./types.ts";

/** Bytes of a task's name, its NUL counted. */
const COMM_SIZE = 16;
const SIGNAL_MAX = 64;

/** Leaves the high half of a u64 where helpers leave it, and gives the low one. */
function wide(kernel: Kernel, low: number, high: number): number {
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = high;
  return low;
}

export function wideBig(kernel: Kernel, value: bigint): number {
  return wide(kernel, Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
}

function pidTgid(kernel: Kernel): number {
  const { pid, tgid } = kernel.scene.task;
  return wide(kernel, pid, tgid);
}

function uidGid(kernel: Kernel): number {
  const { uid, gid } = kernel.scene.task;
  return wide(kernel, uid, gid);
}

function comm(kernel: Kernel, to: number, size: number): number {
  const { u8 } = kernel.mem;
  const start = to >>> 0;
  const name = new TextEncoder().encode(kernel.scene.task.comm).subarray(0, Math.min(COMM_SIZE, size >>> 0) - 1);
  u8.fill(0, start, start + (size >>> 0));
  u8.set(name, start);
  return 0;
}

function cgroupId(kernel: Kernel): number {
  return wideBig(kernel, kernel.scene.task.cgroups.at(-1) ?? 0n);
}

/** 0 for a level that is deeper than the task's own. */
function ancestorId(kernel: Kernel, level: number): number {
  return wideBig(kernel, kernel.scene.task.cgroups[level] ?? 0n);
}

function task(kernel: Kernel): number {
  return wideBig(kernel, kernel.scene.task.address);
}

/** The caller says which namespace it means; any other is none of the task's. */
function nsPidTgid(
  kernel: Kernel,
  devLow: number,
  devHigh: number,
  inoLow: number,
  inoHigh: number,
  to: number,
  size: number,
): number {
  const { u8, view } = kernel.mem;
  const at = to >>> 0;
  const { dev, ino, pid, tgid } = kernel.scene.task.pidNamespace;
  const same = u64(devLow, devHigh) === dev && u64(inoLow, inoHigh) === ino;
  if (same && size >>> 0 === bpf_pidns_info.size) {
    view.setUint32(at + bpf_pidns_info.fields.pid.offset, pid, true);
    view.setUint32(at + bpf_pidns_info.fields.tgid.offset, tgid, true);
    return 0;
  }
  u8.fill(0, at, at + (size >>> 0));
  return -EINVAL;
}

function u64(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function signal(thread: boolean): HelperFn {
  return (kernel, number) => {
    if (number >>> 0 > SIGNAL_MAX) return -EINVAL;
    noteEvent(kernel.scene, { kind: "signal", signal: number >>> 0, thread });
    return 0;
  };
}

function numbers(name: string, since: string, gplOnly: boolean, fn: HelperFn): Helper {
  return { name, since, gplOnly, args: [], result: "u64", fn };
}

export const taskHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_get_current_pid_tgid]: numbers("bpf_get_current_pid_tgid", "4.2", false, pidTgid),
  [BPF_FUNC_get_current_uid_gid]: numbers("bpf_get_current_uid_gid", "4.2", false, uidGid),
  [BPF_FUNC_get_current_task]: numbers("bpf_get_current_task", "4.8", true, task),
  [BPF_FUNC_get_current_task_btf]: numbers("bpf_get_current_task_btf", "5.11", true, task),
  [BPF_FUNC_get_current_cgroup_id]: numbers("bpf_get_current_cgroup_id", "4.18", false, cgroupId),
  [BPF_FUNC_get_current_ancestor_cgroup_id]: {
    ...numbers("bpf_get_current_ancestor_cgroup_id", "5.7", false, ancestorId),
    args: ["u32"],
  },
  [BPF_FUNC_get_current_comm]: {
    name: "bpf_get_current_comm",
    since: "4.2",
    gplOnly: false,
    args: ["memOut", "size"],
    result: "errno",
    fn: comm,
  },
  [BPF_FUNC_get_ns_current_pid_tgid]: {
    name: "bpf_get_ns_current_pid_tgid",
    since: "5.7",
    gplOnly: false,
    args: ["u64", "u64", "memOut", "size"],
    result: "errno",
    fn: nsPidTgid,
  },
  [BPF_FUNC_send_signal]: {
    name: "bpf_send_signal",
    since: "5.3",
    gplOnly: false,
    args: ["u32"],
    result: "errno",
    fn: signal(false),
  },
  [BPF_FUNC_send_signal_thread]: {
    name: "bpf_send_signal_thread",
    since: "5.5",
    gplOnly: false,
    args: ["u32"],
    result: "errno",
    fn: signal(true),
  },
};
