/** Checks of MAP_CREATE and of update flags that several types share. */
import {
  BPF_EXIST,
  BPF_F_LOCK,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  EINVAL,
} from "../uapi/index.ts";
import type { MapCreateAttr } from "./env.ts";

/** RDONLY, WRONLY and their _PROG twins. */
export const ACCESS_FLAGS: number = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const PROG_FLAGS: number = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;

/** Largest value that goes into one CPU's share of per-CPU memory. */
export const PERCPU_UNIT_MAX = 32768;
/** Largest block that the kernel allocates in one piece. */
export const KMALLOC_MAX: number = 4 * 1024 * 1024;

/** Flags beyond `allowed`, or contradictory ones: -EINVAL. */
export function checkFlags(attr: MapCreateAttr, allowed: number): number {
  if (attr.map_flags & ~allowed) return -EINVAL;
  return (attr.map_flags & PROG_FLAGS) === PROG_FLAGS ? -EINVAL : 0;
}

/** numa_node that stands for none. */
const NO_NODE = 0xffff_ffff;

/** A NUMA node is asked for; the flag alone, with the node that stands for none, asks for nothing. */
export function onNode(attr: MapCreateAttr): boolean {
  return (attr.map_flags & BPF_F_NUMA_NODE) !== 0 && attr.numa_node !== NO_NODE;
}

export const NUMA_AND_ACCESS: number = BPF_F_NUMA_NODE | ACCESS_FLAGS;

/**
 * Flags of an update: BPF_ANY, NOEXIST or EXIST, with BPF_F_LOCK where a type takes it. The command layer has refused
 * BPF_F_LOCK already for maps without a bpf_spin_lock. `flags` is a whole u64, exact below 2^53.
 */
export function updateFlagsBad(flags: number): boolean {
  return flags > 7 || (flags & ~BPF_F_LOCK) > BPF_EXIST;
}
