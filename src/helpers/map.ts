/** Helpers for maps: the program path to a type's operations. The map is one of the program's, and goes with the helper. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { RUN_TAIL_CALLS } from "../kern/run_record.ts";
import { countRefused } from "../struct/map.ts";
import { keepSlot } from "../struct/slots.ts";
import {
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_peek_elem,
  BPF_FUNC_map_pop_elem,
  BPF_FUNC_map_push_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_tail_call,
} from "../uapi/index.ts";
import { genTailCall } from "./tail_call_gen.ts";
import type { Helper } from "./types.ts";

/** Flags are a u64; a number holds it well enough, since all that types know is small. */
function wide(low: number, high: number): number {
  return (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
}

function lookup(kernel: Kernel, map: number, key: number): number {
  return entryOfMap(kernel, map >>> 0).ops.map_lookup_elem(kernel, map >>> 0, key >>> 0);
}

function update(kernel: Kernel, map: number, key: number, value: number, low: number, high: number): number {
  const { ops } = entryOfMap(kernel, map >>> 0);
  const ret = ops.map_update_elem(kernel, map >>> 0, key >>> 0, value >>> 0, wide(low, high));
  return countRefused(kernel.mem, map >>> 0, ret);
}

function remove(kernel: Kernel, map: number, key: number): number {
  return entryOfMap(kernel, map >>> 0).ops.map_delete_elem(kernel, map >>> 0, key >>> 0);
}

function push(kernel: Kernel, map: number, value: number, low: number, high: number): number {
  const { ops } = entryOfMap(kernel, map >>> 0);
  return countRefused(kernel.mem, map >>> 0, ops.map_push_elem(kernel, map >>> 0, value >>> 0, wide(low, high)));
}

function pop(kernel: Kernel, map: number, value: number): number {
  return entryOfMap(kernel, map >>> 0).ops.map_pop_elem(kernel, map >>> 0, value >>> 0);
}

function peek(kernel: Kernel, map: number, value: number): number {
  return entryOfMap(kernel, map >>> 0).ops.map_peek_elem(kernel, map >>> 0, value >>> 0);
}

function lookupPercpu(kernel: Kernel, map: number, key: number, cpu: number): number {
  return entryOfMap(kernel, map >>> 0).ops.map_lookup_percpu_elem(kernel, map >>> 0, key >>> 0, cpu >>> 0);
}

/** Tail calls of one run; the program that is run comes on top. */
const MAX_TAIL_CALLS = 33;

/** An empty slot does not count. */
function tailCall(kernel: Kernel, _ctx: number, map: number, index: number): number {
  const { u32 } = kernel.mem;
  const calls = (kernel.run + RUN_TAIL_CALLS) >>> 2;
  if (u32[calls]! >= MAX_TAIL_CALLS) return 0;
  const prog = keepSlot(kernel, map >>> 0, index >>> 0);
  if (prog !== 0) u32[calls]!++;
  return prog;
}

export const mapHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_map_lookup_elem]: {
    name: "bpf_map_lookup_elem",
    since: "3.19",
    gplOnly: false,
    args: ["map", "key"],
    result: "pointer",
    fn: lookup,
  },
  [BPF_FUNC_map_update_elem]: {
    name: "bpf_map_update_elem",
    since: "3.19",
    gplOnly: false,
    args: ["map", "key", "value", "u64"],
    result: "errno",
    fn: update,
  },
  [BPF_FUNC_map_delete_elem]: {
    name: "bpf_map_delete_elem",
    since: "3.19",
    gplOnly: false,
    args: ["map", "key"],
    result: "errno",
    fn: remove,
  },
  [BPF_FUNC_tail_call]: {
    name: "bpf_tail_call",
    since: "4.2",
    gplOnly: false,
    args: ["ctx", "map", "u32"],
    result: "program",
    fn: tailCall,
    gen: genTailCall(MAX_TAIL_CALLS),
  },
  [BPF_FUNC_map_push_elem]: {
    name: "bpf_map_push_elem",
    since: "4.20",
    gplOnly: false,
    args: ["map", "value", "u64"],
    result: "errno",
    fn: push,
  },
  [BPF_FUNC_map_pop_elem]: {
    name: "bpf_map_pop_elem",
    since: "4.20",
    gplOnly: false,
    args: ["map", "valueOut"],
    result: "errno",
    fn: pop,
  },
  [BPF_FUNC_map_peek_elem]: {
    name: "bpf_map_peek_elem",
    since: "4.20",
    gplOnly: false,
    args: ["map", "valueOut"],
    result: "errno",
    fn: peek,
  },
  [BPF_FUNC_map_lookup_percpu_elem]: {
    name: "bpf_map_lookup_percpu_elem",
    since: "5.18",
    gplOnly: false,
    args: ["map", "key", "u32"],
    result: "pointer",
    fn: lookupPercpu,
  },
};
