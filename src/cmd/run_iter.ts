/**
 * Iterator programs over the elements of a map (`iter/bpf_map_elem`): called for each element, then once more without one.
 * Kernel counterparts: kernel/bpf/map_iter.c, kernel/bpf/bpf_iter.c.
 */
import { SEQ_HIGH, SEQ_LOW } from "../helpers/seq.ts";
import { placeBytes, placeContext } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { PROG_ATTACH_TYPE } from "../kern/prog.ts";
import { HELD_READABLE, hold, keepReference } from "../kern/run_record.ts";
import type { RunEvent } from "../kern/scene.ts";
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_MAP, OBJ_PROG } from "../mem/layout.ts";
import { MAP_ABI_VALUE_SIZE, MAP_KEY_SIZE, MAP_VALUE_SIZE } from "../struct/map.ts";
import { BPF_FUNC_for_each_map_elem, BPF_TRACE_ITER, EAGAIN, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import { runProgram } from "./prog_test_data.ts";

export interface IterResult {
  /** What the program wrote with bpf_seq_write and bpf_seq_printf. */
  readonly output: Uint8Array;
  readonly events: readonly RunEvent[];
}

/** struct bpf_iter__bpf_map_elem: meta, map, key, value; struct bpf_iter_meta: seq, session_id, seq_num. */
const CTX_SIZE = 32;
const META_SIZE = 24;

interface Walk {
  readonly kernel: Kernel;
  readonly prog: number;
  readonly map: number;
  /** The key that the program is called with, in a block of this walk's own. */
  readonly key: number;
  count: number;
}

/**
 * -EINVAL: no iterator program, or no map that can be iterated; -EAGAIN: the program asked to be called again for the
 * same element, which ends the walk here.
 */
export function runIter(kernel: Kernel, progFd: number, mapFd: number): IterResult | number {
  const prog = kernel.get(progFd, OBJ_PROG);
  if (prog < 0) return prog;
  const map = kernel.get(mapFd, OBJ_MAP);
  try {
    if (map < 0) return map;
    const iterates = kernel.mem.u32[(prog + PROG_ATTACH_TYPE) >>> 2] === BPF_TRACE_ITER;
    if (!iterates || !entryOfMap(kernel, map).traits.helpers.includes(BPF_FUNC_for_each_map_elem)) return -EINVAL;
    return walkMap(kernel, prog, map);
  } finally {
    if (map >= 0) kernel.done(map);
    kernel.done(prog);
  }
}

function walkMap(kernel: Kernel, prog: number, map: number): IterResult | number {
  const { mem, scene } = kernel;
  const keySize = mem.u32[(map + MAP_KEY_SIZE) >>> 2]!;
  const key = alloc(mem, keySize);
  if (key === 0) return -ENOMEM;
  const events: RunEvent[] = [];
  const chunks: Uint8Array[] = [];
  const walk: Walk = { kernel, prog, map, key, count: 0 };
  try {
    const { ops } = entryOfMap(kernel, map);
    let ret = ops.map_get_next_key(kernel, map, 0, key);
    while (ret === 0) {
      ret = element(walk, true, chunks, events) || ops.map_get_next_key(kernel, map, key, key);
    }
    const bad = ret === -ENOENT ? element(walk, false, chunks, events) : ret;
    return bad !== 0 ? bad : { output: joined(chunks), events };
  } finally {
    scene.output = undefined;
    free(mem, key, keySize);
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const output = new Uint8Array(chunks.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    output.set(chunk, at);
    at += chunk.length;
  }
  return output;
}

/** Calls the program for the element of the key, or without one. 0 or an errno. */
function element(walk: Walk, there: boolean, chunks: Uint8Array[], events: RunEvent[]): number {
  const { kernel, prog } = walk;
  const { scene } = kernel;
  scene.output = [];
  let retval = 0;
  const ret = runProgram(
    { kernel, prog, cpu: kernel.cpu, repeat: 1 },
    (run) => prepare(walk, run, there),
    (_run, r0) => {
      retval = r0;
      return 0;
    },
  );
  if (there) walk.count++;
  events.push(...scene.events);
  if (ret !== 0) return ret;
  if (retval !== 0) return -EAGAIN;
  chunks.push(...scene.output);
  return 0;
}

function prepare(walk: Walk, run: number, there: boolean): number {
  const { kernel, map, key } = walk;
  const { mem } = kernel;
  const meta = new DataView(new ArrayBuffer(META_SIZE));
  meta.setUint32(0, SEQ_LOW, true);
  meta.setUint32(4, SEQ_HIGH, true);
  // Behind the last element the number is still the last one's.
  meta.setUint32(16, there ? walk.count : Math.max(walk.count - 1, 0), true);
  const ctx = new Uint32Array(CTX_SIZE / 4);
  ctx[0] = readable(kernel, run, new Uint8Array(meta.buffer));
  if (ctx[0] === 0) return -ENOMEM;
  if (there) {
    const keySize = mem.u32[(map + MAP_KEY_SIZE) >>> 2]!;
    ctx[4] = readable(kernel, run, mem.u8.subarray(key, key + keySize));
    ctx[6] = valueFor(kernel, run, map, key);
    if (ctx[4] === 0 || ctx[6] === 0) return -ENOMEM;
  }
  return placeContext(kernel, run, new Uint8Array(ctx.buffer)) ? 0 : -ENOMEM;
}

/** The element's value itself; of a per-CPU map a copy of all CPUs' values. 0: out of memory. */
function valueFor(kernel: Kernel, run: number, map: number, key: number): number {
  const { u32, u8 } = kernel.mem;
  const { ops } = entryOfMap(kernel, map);
  const size = u32[(map + MAP_ABI_VALUE_SIZE) >>> 2]!;
  if (size === u32[(map + MAP_VALUE_SIZE) >>> 2]!) {
    return keepReference(kernel, run, map) === 0 ? 0 : ops.map_lookup_elem(kernel, map, key);
  }
  const values = kernel.scratch(size);
  if (values === 0) return 0;
  ops.map_copy_value(kernel, map, key, values, 0);
  return readable(kernel, run, u8.subarray(values, values + size));
}

function readable(kernel: Kernel, run: number, bytes: Uint8Array): number {
  const block = placeBytes(kernel, run, bytes);
  return block !== 0 && hold(kernel.mem, run, HELD_READABLE, 0, block, bytes.length) ? block : 0;
}
