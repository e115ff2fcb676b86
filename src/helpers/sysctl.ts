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

const { write: writeField } = bpf_sysctl.fields;

function writes(kernel: Kernel): boolean {
  const { u32 } = kernel.mem;
  return u32[(u32[(kernel.run + RUN_CTX) >>> 2]! + writeField.offset) >>> 2] !== 0;
}

/** As much as fits before a NUL; the rest of the memory is zero. The length, or -E2BIG. */
function giveText(kernel: Kernel, text: Uint8Array, to: number, room: number): number {
  const { mem } = kernel;
  const copied = Math.min(text.length, room - 1);
  mem.u8.set(text.subarray(0, copied), to);
  mem.zero(to + copied, room - copied);
  return text.length < room ? text.length : -E2BIG;
}

/** Where there is none, the memory is zeroed. */
function giveValue(kernel: Kernel, value: string | undefined, to: number, size: number): number {
  if (value !== undefined && value !== "") return giveText(kernel, encode(value), to >>> 0, size >>> 0);
  kernel.mem.zero(to >>> 0, size >>> 0);
  return -EINVAL;
}

/** The kernel leaves what lies behind the NUL of a name alone. */
function getName(kernel: Kernel, _ctx: number, to: number, size: number, flags: number): number {
  const { name } = sysctlOf(kernel);
  const text = encode((flags & BPF_F_SYSCTL_BASE_NAME) === 0 ? name : name.slice(name.lastIndexOf("/") + 1));
  return giveText(kernel, text, to >>> 0, Math.min(size >>> 0, text.length + 1));
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
  if (!writes(kernel) || !sysctl.newValue) return -EINVAL;
  if (size >>> 0 > PAGE_SIZE - 1) return -E2BIG;
  const newValue = new TextDecoder().decode(mem.u8.slice(from >>> 0, (from >>> 0) + (size >>> 0)));
  scene.attachment.sysctl = { ...sysctl, newValue };
  noteEvent(scene, { kind: "sysctl_set_new_value", value: newValue });
  return 0;
}

function sysctlOf(kernel: Kernel): Sysctl {
  return kernel.scene.attachment.sysctl;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
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
