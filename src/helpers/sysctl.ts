/**
 * Helpers of programs that decide about sysctls: what it is called, what it is, and what is being written to it. All of
 * it is text that the caller of the run gave. Kernel counterpart: kernel/bpf/cgroup.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_CTX } from "../kern/run_record.ts";
import { noteEvent, type Sysctl } from "../kern/scene.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import {
  BPF_F_SYSCTL_BASE_NAME,
  BPF_FUNC_sysctl_get_current_value,
  BPF_FUNC_sysctl_get_name,
  BPF_FUNC_sysctl_get_new_value,
  BPF_FUNC_sysctl_set_new_value,
  bpf_sysctl,
  E2BIG,
  EINVAL,
} from "../uapi/index.ts";
import type { Helper } from "./types.ts";

type Value = string | Uint8Array;

const WORD = 8;
const { write: writeField } = bpf_sysctl.fields;

function writes(kernel: Kernel): boolean {
  const { u32 } = kernel.mem;
  return u32[(u32[(kernel.run + RUN_CTX) >>> 2]! + writeField.offset) >>> 2] !== 0;
}

/** As much as fits before a NUL. The length, or -E2BIG. */
function giveText(kernel: Kernel, text: Uint8Array, to: number, room: number): number {
  const { mem } = kernel;
  const copied = Math.min(text.length, room - 1);
  mem.u8.set(text.subarray(0, copied), to);
  mem.u8[to + copied] = 0;
  return text.length < room ? text.length : -E2BIG;
}

/** Memory behind it is zeroed, and where there is no value, all of it. */
function giveValue(kernel: Kernel, value: Value | undefined, to: number, size: number): number {
  kernel.mem.zero(to >>> 0, size >>> 0);
  if (value === undefined || value.length === 0) return -EINVAL;
  return giveText(kernel, bytesOf(value), to >>> 0, size >>> 0);
}

/**
 * One part of a name. The kernel copies words of 8 bytes, so zeros follow up to the end of the last one, if it is in the
 * memory as a whole.
 */
function givePart(kernel: Kernel, part: string, to: number, room: number): number {
  const length = giveText(kernel, bytesOf(part), to, room);
  const words = (length & -WORD) + WORD;
  if (length >= 0 && words <= room) kernel.mem.zero(to + length, words - length);
  return length;
}

/** Folder by folder, as a path. */
function getName(kernel: Kernel, _ctx: number, to: number, size: number, flags: number): number {
  const path = sysctlOf(kernel).name.split(/(?<=\/)|(?=\/)/);
  let length = 0;
  for (const part of (flags & BPF_F_SYSCTL_BASE_NAME) === 0 ? path : path.slice(-1)) {
    const given = givePart(kernel, part, (to >>> 0) + length, (size >>> 0) - length);
    if (given < 0) return given;
    length += given;
  }
  return length;
}

function getCurrent(kernel: Kernel, _ctx: number, to: number, size: number): number {
  return giveValue(kernel, sysctlOf(kernel).value, to, size);
}

function getNew(kernel: Kernel, _ctx: number, to: number, size: number): number {
  return giveValue(kernel, writes(kernel) ? sysctlOf(kernel).newValue : undefined, to, size);
}

/** From now on it is what is written. */
function setNew(kernel: Kernel, _ctx: number, from: number, size: number): number {
  const { scene, mem } = kernel;
  const sysctl = sysctlOf(kernel);
  if (!writes(kernel) || !sysctl.newValue?.length) return -EINVAL;
  if (size >>> 0 > PAGE_SIZE - 1) return -E2BIG;
  const newValue = mem.u8.slice(from >>> 0, (from >>> 0) + (size >>> 0));
  scene.attachment.sysctl = { ...sysctl, newValue };
  noteEvent(scene, { kind: "sysctl_set_new_value", value: new TextDecoder().decode(newValue) });
  return 0;
}

function sysctlOf(kernel: Kernel): Sysctl {
  return kernel.scene.attachment.sysctl;
}

function bytesOf(value: Value): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : value;
}

export const sysctlFunctions: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_sysctl_get_name]: {
    name: "bpf_sysctl_get_name",
    since: "5.2",
    gplOnly: false,
    args: ["ctx", "memOut", "size", "u64"],
    result: "errno",
    fn: getName,
  },
  [BPF_FUNC_sysctl_get_current_value]: {
    name: "bpf_sysctl_get_current_value",
    since: "5.2",
    gplOnly: false,
    args: ["ctx", "memOut", "size"],
    result: "errno",
    fn: getCurrent,
  },
  [BPF_FUNC_sysctl_get_new_value]: {
    name: "bpf_sysctl_get_new_value",
    since: "5.2",
    gplOnly: false,
    args: ["ctx", "memOut", "size"],
    result: "errno",
    fn: getNew,
  },
  [BPF_FUNC_sysctl_set_new_value]: {
    name: "bpf_sysctl_set_new_value",
    since: "5.2",
    gplOnly: false,
    args: ["ctx", "mem", "size"],
    result: "errno",
    fn: setNew,
  },
};
