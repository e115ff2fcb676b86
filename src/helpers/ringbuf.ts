/** Helpers for ring buffers. What a run has reserved stands in its run record: submit finds the ring there. */
import type { Kernel } from "../kern/kernel.ts";
import { findHeld, HELD_RING, RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { ringOutput, ringQuery } from "../struct/ring.ts";
import {
  BPF_FUNC_ringbuf_discard,
  BPF_FUNC_ringbuf_output,
  BPF_FUNC_ringbuf_query,
  BPF_FUNC_ringbuf_reserve,
  BPF_FUNC_ringbuf_submit,
  EINVAL,
} from "../uapi/index.ts";
import { commitRecord, reserveRecord } from "./ring_records.ts";
import { attemptDiscard, attemptSubmit, genOutput, genReserve, knownDiscard, knownSubmit } from "./ringbuf_gen.ts";
import type { Helper } from "./types.ts";

function output(kernel: Kernel, map: number, data: number, size: number, low: number, high: number): number {
  if (high !== 0) return -EINVAL;
  return ringOutput(kernel, map >>> 0, data >>> 0, size >>> 0, low >>> 0);
}

/** Takes no flags. A size beyond 32 bits is too large for any ring. */
function reserve(kernel: Kernel, map: number, low: number, high: number, flagsLow: number, flagsHigh: number): number {
  if ((flagsLow | flagsHigh | high) !== 0) return 0;
  return Math.max(reserveRecord(kernel, map >>> 0, low >>> 0, HELD_RING), 0);
}

function submit(kernel: Kernel, sample: number, flags: number): number {
  return commitRecord(kernel, findHeld(kernel.mem, kernel.run, HELD_RING, sample >>> 0), flags, false);
}

function discard(kernel: Kernel, sample: number, flags: number): number {
  return commitRecord(kernel, findHeld(kernel.mem, kernel.run, HELD_RING, sample >>> 0), flags, true);
}

/** What is unknown is 0. */
function query(kernel: Kernel, map: number, low: number, high: number): number {
  const highAt = kernel.run + RUN_RESULT_HIGH;
  kernel.mem.u32[highAt >>> 2] = 0;
  return high === 0 ? ringQuery(kernel, map >>> 0, low >>> 0, highAt) : 0;
}

export const ringbufHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_ringbuf_output]: {
    name: "bpf_ringbuf_output",
    since: "5.8",
    gplOnly: false,
    args: ["map", "mem", "sizeOrZero", "u64"],
    result: "errno",
    fn: output,
    gen: genOutput,
  },
  [BPF_FUNC_ringbuf_reserve]: {
    name: "bpf_ringbuf_reserve",
    since: "5.8",
    gplOnly: false,
    args: ["map", "u64", "u64"],
    result: "pointer",
    fn: reserve,
    gen: genReserve,
  },
  [BPF_FUNC_ringbuf_submit]: {
    name: "bpf_ringbuf_submit",
    since: "5.8",
    gplOnly: false,
    args: ["record", "u64"],
    result: "void",
    fn: submit,
    known: knownSubmit,
    attempt: attemptSubmit,
  },
  [BPF_FUNC_ringbuf_discard]: {
    name: "bpf_ringbuf_discard",
    since: "5.8",
    gplOnly: false,
    args: ["record", "u64"],
    result: "void",
    fn: discard,
    known: knownDiscard,
    attempt: attemptDiscard,
  },
  [BPF_FUNC_ringbuf_query]: {
    name: "bpf_ringbuf_query",
    since: "5.8",
    gplOnly: false,
    args: ["map", "u64"],
    result: "u64",
    fn: query,
  },
};
