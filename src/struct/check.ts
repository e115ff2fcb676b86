/** Checks of MAP_CREATE that several types share. */
import type { Btf, BtfType } from "../btf/index.ts";
import {
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

/** The type of a key that MAP_CREATE judges: behind names and qualifiers, and behind a variable of that type. */
export function keyTypeOf(btf: Btf, keyId: number): BtfType {
  const type = btf.type(btf.resolve(keyId));
  return type.kind === "var" ? btf.type(btf.resolve(type.typeId)) : type;
}
