/** Kernel functions that every kind of program has: a program's own streams, elements counted, memory seen as read-only. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { progStream } from "../kern/prog.ts";
import { textLength } from "../kern/reach.ts";
import { RUN_CASTS, RUN_CURRENT, RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { writeStream } from "../kern/stream.ts";
import { MAP_TYPE } from "../struct/map.ts";
import {
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_STDERR,
  BPF_STDOUT,
  EINVAL,
  ENOENT,
  ENOSPC,
} from "../uapi/index.ts";
import { formatArgs, formatInto } from "./text.ts";
import type { Kfunc } from "./types.ts";

/** Bytes of one text on a stream at most, as of a line of bpf_trace_printk. */
const TEXT_ROOM = 1024;

/** A text to a stream of the program that calls. 0, or an errno. */
function streamPrint(kernel: Kernel, stream: number, format: number, data: number, size: number): number {
  const { mem, run } = kernel;
  if (stream !== BPF_STDOUT && stream !== BPF_STDERR) return -ENOENT;
  const args = formatArgs(kernel, data, size);
  if (args === undefined) return -EINVAL;
  const text = new Uint8Array(TEXT_ROOM - 1);
  const length = formatInto(kernel, format, textLength(kernel, format >>> 0, 0) + 1, args, text);
  if (length < 0) return length;
  const prog = mem.u32[(run + RUN_CURRENT) >>> 2]!;
  return writeStream(mem, progStream(prog, stream), text.subarray(0, length)) ? 0 : -ENOSPC;
}

/** Types that count their elements as they come and go. */
const counted: readonly number[] = [
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
];

/** Maps of all other types have none, by this function. */
function sumElements(kernel: Kernel, map: number): number {
  const { u32 } = kernel.mem;
  u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  if (!counted.includes(u32[(map + MAP_TYPE) >>> 2]!)) return 0;
  return entryOfMap(kernel, map).ops.map_count(kernel, map);
}

/**
 * The address as it is: accesses are judged by where they go, whatever type the program gives them. Through what lies
 * nowhere the program reads zero from now on.
 */
function cast({ mem: { u32 }, run }: Kernel, low: number, high: number): number {
  u32[(run + RUN_CASTS) >>> 2] = 1;
  u32[(run + RUN_RESULT_HIGH) >>> 2] = high;
  return low;
}

export const commonKfuncs: readonly Kfunc[] = [
  {
    name: "bpf_stream_vprintk_impl",
    since: "6.18",
    args: ["u32", "cstring", "mem", "sizeOrZero", "u64"],
    result: "errno",
    fn: streamPrint,
  },
  { name: "bpf_map_sum_elem_count", since: "6.6", args: ["map"], result: "u64", fn: sumElements },
  { name: "bpf_rdonly_cast", since: "6.2", args: ["u64", "u32"], result: "u64", fn: cast },
];
