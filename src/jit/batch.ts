/**
 * Batches of packets: a compiled program is called in a loop of WebAssembly, so that nothing crosses to JavaScript for a
 * packet. Each is a run of its own: its budget, its packet's room and what it holds are those of a run alone.
 */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_BATCH_AT, RUN_EXITED } from "../kern/run_record.ts";
import { type Machine, save } from "../vm/machine.ts";
import { IMPORTS, MEMORY } from "../wasm/module.ts";
import { DROP, LOOP, type Loop, loopModule, OPEN, START } from "./batch_loop.ts";
import type { Packets } from "./packet_code.ts";
import { enter, letGo, UNWIND } from "./runtime.ts";

/** Packets in linear memory, and where the results go. */
export interface Batch {
  /** Where ends are counted from, and how far they go; COPY_STEP more bytes can be read. */
  readonly data: number;
  readonly bytes: number;
  /** u32 of each: where it ends. Nobody vouches for them. */
  readonly ends: number;
  readonly count: number;
  /** The one to begin with, and where that begins. */
  readonly first: number;
  readonly from: number;
  /** u32 of each: what the program returned. */
  readonly retvals: number;
  /** Where packets go as the runs left them, or 0; u32 of each: where it ends, counted from there. */
  readonly out: number;
  readonly outEnds: number;
  /** The last place, counted from `out`, where there is room for any packet. */
  readonly outLast: number;
}

/** How a batch goes. */
export interface BatchEnd {
  /** The first packet that is not done. */
  readonly next: number;
  /** How it ended; RUN_EXITED: not by a fault, nor for its budget. */
  readonly status: number;
  /** It has come to its end, with r0 in the machine's registers, and is open: nothing was written down of it. */
  readonly open: boolean;
}

const U32 = 4;

/** Which packet's end it is. */
const indexOf = (at: number, ends: number): number => ((at - ends) >>> 0) >>> 2;

/**
 * Runs packets from the batch's first on, until one is stopped, cannot be run so (it is of another length, or refused, or
 * there is no room for it behind the others), or is to be closed by the caller. The machine has begun, on `type`'s programs.
 */
export function runBatch(
  m: Machine,
  start: WebAssembly.ExportValue,
  type: number,
  packets: Packets,
  batch: Batch,
): BatchEnd {
  const { kernel, run, u32 } = m;
  const { data, bytes, ends, count, first, from, retvals, out, outLast, outEnds } = batch;
  const wanted = out !== 0;
  const loop = loopOf(kernel, run, type, packets, wanted, start);
  const columns = [ends + U32 * first, ends + U32 * count, data + from, data + bytes, data, retvals - ends];
  const results = wanted ? [out, out + outLast, out, outEnds - ends] : [];
  let end: BatchEnd;
  try {
    let at = 0;
    enter(m, () => {
      at = loop(...columns, ...results);
    });
    m.status = RUN_EXITED;
    end = { next: indexOf(at, ends), status: RUN_EXITED, open: (at & OPEN) !== 0 };
  } catch (error) {
    if (error !== UNWIND) throw error;
    // Stopped, or left by an exception of the program's own, with r0.
    const next = indexOf(u32[(run + RUN_BATCH_AT) >>> 2]!, ends);
    end = { next, status: m.status, open: m.status === RUN_EXITED };
  }
  save(m);
  return end;
}

/** Of each client, by the record that runs are on and what kind they are of: the loops. */
const loops = new WeakMap<Kernel, Map<number, Loops>>();

/** The loop's module, and by a program's start the loop that calls it. */
interface Loops {
  readonly module: WebAssembly.Module;
  readonly of: WeakMap<WebAssembly.ExportValue, Loop>;
}

function loopOf(
  kernel: Kernel,
  run: number,
  type: number,
  packets: Packets,
  wanted: boolean,
  start: WebAssembly.ExportValue,
): Loop {
  let known = loops.get(kernel);
  if (known === undefined) {
    known = new Map();
    loops.set(kernel, known);
  }
  // Records are longer than there are types.
  const key = run + 2 * type + (wanted ? 1 : 0);
  let made = known.get(key);
  if (made === undefined) {
    made = { module: new WebAssembly.Module(loopModule(kernel, run, packets, wanted)), of: new WeakMap() };
    known.set(key, made);
  }
  let loop = made.of.get(start);
  if (loop === undefined) {
    const imports = { [MEMORY]: kernel.mem.wasm, [START]: start, [DROP]: letGo };
    loop = new WebAssembly.Instance(made.module, { [IMPORTS]: imports }).exports[LOOP] as Loop;
    made.of.set(start, loop);
  }
  return loop;
}
