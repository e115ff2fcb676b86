/**
 * Reading memory by addresses that may be wrong: nothing faults, what cannot be read is -EFAULT (-ERANGE: an address of
 * the other kind) and zeros. Kernel counterpart: kernel/trace/bpf_trace.c.
 */
import { givenAt } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  BPF_FUNC_copy_from_user,
  BPF_FUNC_copy_from_user_task,
  BPF_FUNC_probe_read,
  BPF_FUNC_probe_read_kernel,
  BPF_FUNC_probe_read_kernel_str,
  BPF_FUNC_probe_read_str,
  BPF_FUNC_probe_read_user,
  BPF_FUNC_probe_read_user_str,
  BPF_FUNC_probe_write_user,
  EFAULT,
  EINVAL,
} from "../uapi/index.ts";
import { knownProbeRead } from "./bytes_gen.ts";
import { isUser, readableAt, type Space, textLengthAt, wrongSpace } from "./probe_memory.ts";
import type { Helper, HelperFn } from "./types.ts";

function read(kernel: Kernel, to: number, size: number, low: number, high: number, space: Space): number {
  const { u8 } = kernel.mem;
  const from = size === 0 ? 0 : readableAt(kernel, low, high, size, space);
  if (from === 0) {
    u8.fill(0, to >>> 0, (to >>> 0) + size);
    return wrongSpace(kernel, low, high, space) || (size === 0 ? 0 : -EFAULT);
  }
  u8.copyWithin(to >>> 0, from, from + size);
  return 0;
}

/** Up to size - 1 bytes and a NUL. Returns how many came, the NUL counted. */
function readText(kernel: Kernel, to: number, size: number, low: number, high: number, space: Space): number {
  if (size === 0) return 0;
  const { u8 } = kernel.mem;
  const length = textLengthAt(kernel, low, high, size, space);
  if (length < 0) {
    u8.fill(0, to >>> 0, (to >>> 0) + size);
    return length;
  }
  const taken = Math.min(length, size - 1);
  const from = taken === 0 ? 0 : readableAt(kernel, low, high, taken, space);
  u8.copyWithin(to >>> 0, from, from + taken);
  u8[(to >>> 0) + taken] = 0;
  return taken + 1;
}

/** Stores into memory of user space that was given as writable. */
function writeUser(kernel: Kernel, low: number, high: number, from: number, size: number): number {
  const to = isUser(low, high) ? givenAt(kernel, low, high, size, true) : 0;
  if (to === 0) return -EFAULT;
  kernel.mem.copy(to, from >>> 0, size);
  return 0;
}

/** Of nothing, from anywhere: 0. */
function copyFromUser(kernel: Kernel, to: number, size: number, low: number, high: number): number {
  return size === 0 ? 0 : read(kernel, to, size >>> 0, low, high, "user");
}

function copyFromTask(
  kernel: Kernel,
  to: number,
  size: number,
  low: number,
  high: number,
  _task: number,
  _taskHigh: number,
  flags: number,
  flagsHigh: number,
): number {
  if ((flags | flagsHigh) !== 0) return -EINVAL;
  return copyFromUser(kernel, to, size, low, high);
}

function bytes(name: string, since: string, space: Space): Helper {
  const fn: HelperFn = (kernel, to, size, low, high) => read(kernel, to, size >>> 0, low, high, space);
  const helper: Helper = {
    name,
    since,
    gplOnly: true,
    args: ["memOutOrNull", "sizeOrZero", "u64"],
    result: "errno",
    fn,
  };
  // What programs may touch is none of user space's.
  return space === "user" ? helper : { ...helper, known: knownProbeRead };
}

function text(name: string, since: string, space: Space): Helper {
  const fn: HelperFn = (kernel, to, size, low, high) => readText(kernel, to, size >>> 0, low, high, space);
  return { name, since, gplOnly: true, args: ["memOutOrNull", "sizeOrZero", "u64"], result: "errno", fn };
}

/** What programs of every kind have. */
export const probeHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_probe_read_user]: bytes("bpf_probe_read_user", "5.5", "user"),
  [BPF_FUNC_probe_read_kernel]: bytes("bpf_probe_read_kernel", "5.5", "kernel"),
  [BPF_FUNC_probe_read_user_str]: text("bpf_probe_read_user_str", "5.5", "user"),
  [BPF_FUNC_probe_read_kernel_str]: text("bpf_probe_read_kernel_str", "5.5", "kernel"),
  [BPF_FUNC_copy_from_user]: {
    ...bytes("bpf_copy_from_user", "5.10", "user"),
    gplOnly: false,
    mightSleep: true,
    fn: copyFromUser,
  },
  [BPF_FUNC_copy_from_user_task]: {
    name: "bpf_copy_from_user_task",
    since: "5.18",
    gplOnly: true,
    mightSleep: true,
    args: ["memOutOrNull", "sizeOrZero", "u64", "u64", "u64"],
    result: "errno",
    fn: copyFromTask,
  },
};

/** Programs that trace have these too. */
export const rawProbeHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_probe_read]: bytes("bpf_probe_read", "4.1", "any"),
  [BPF_FUNC_probe_read_str]: text("bpf_probe_read_str", "4.11", "any"),
  [BPF_FUNC_probe_write_user]: {
    name: "bpf_probe_write_user",
    since: "4.8",
    gplOnly: true,
    args: ["u64", "mem", "size"],
    result: "errno",
    fn: writeUser,
  },
};
