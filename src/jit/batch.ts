/**
 * Batches of packets: a compiled XDP program is called in a loop of WebAssembly, so that nothing crosses to JavaScript for
 * a packet. Each is a run of its own: its budget, its packet's room and what it holds are those of a run alone.
 */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_BATCH_INDEX, RUN_CTX, RUN_EXITED, RUN_HELD_COUNT } from "../kern/run_record.ts";
import { begin, type Machine, save } from "../vm/machine.ts";
import { IMPORTS, MEMORY } from "../wasm/module.ts";
import { DROP, LOOP, type Loop, loopModule, START } from "./batch_loop.ts";
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
  /** Where the first goes, counted from `out`, and the last place where there is room for any packet. */
  readonly outAt: number;
  readonly outLast: number;
  /** Lengths of packets that can be run. */
  readonly shortest: number;
  readonly longest: number;
}

/** How a batch goes. */
export interface BatchEnd {
  /** The first packet that was not run to its end. */
  readonly next: number;
  /** RUN_EXITED: it was not begun, for its length or as there is no room for it behind the others. Else how it ended. */
  readonly status: number;
}

/** Runs packets from the batch's first on, until one is stopped or cannot be run so. The machine has begun. */
export function runBatch(m: Machine, start: WebAssembly.ExportValue, batch: Batch): BatchEnd {
  const { kernel, run, u32 } = m;
  const { data, bytes, ends, count, retvals, out, outLast, outEnds, shortest, longest } = batch;
  const { budget } = m;
  const loop = loopOf(kernel, start);
  const around = u32[(run + RUN_HELD_COUNT) >>> 2]!;
  const ctx = u32[(run + RUN_CTX) >>> 2]!;
  let { first, from, outAt } = batch;
  let thrown = 0;
  for (;;) {
    let next = first;
    try {
      enter(m, (record, fp) => {
        const packets = [data, bytes, ends, first, from, count, shortest, longest - shortest] as const;
        const results = [retvals, out, outLast, outAt, outEnds] as const;
        next = loop(record, fp, ctx, ...packets, ...results, around, thrown, BigInt(budget));
      });
      m.status = RUN_EXITED;
      save(m);
      return { next, status: RUN_EXITED };
    } catch (error) {
      if (error !== UNWIND) throw error;
    }
    const index = u32[(run + RUN_BATCH_INDEX) >>> 2]!;
    if (m.status !== RUN_EXITED) {
      save(m);
      return { next: index, status: m.status };
    }
    // The program has left by an exception of its own, with r0: the loop goes on behind its call.
    const [low, high] = [u32[m.regs]!, u32[m.regs + 1]!];
    begin(m, budget);
    u32[m.regs] = low;
    u32[m.regs + 1] = high;
    if (index > first) {
      // The program may have changed it since: nothing begins in front of the batch, nor behind its bytes.
      from = Math.min(Math.max(u32[(ends >>> 2) + index - 1]!, batch.from), bytes);
      outAt = out === 0 ? 0 : u32[(outEnds >>> 2) + index - 1]!;
    }
    first = index;
    thrown = 1;
  }
}

/** Of each client: the loop's module, and by a program's start the loop that calls it. */
const loops = new WeakMap<
  Kernel,
  { readonly module: WebAssembly.Module; readonly of: WeakMap<WebAssembly.ExportValue, Loop> }
>();

function loopOf(kernel: Kernel, start: WebAssembly.ExportValue): Loop {
  const { mem } = kernel;
  let known = loops.get(kernel);
  if (known === undefined) {
    const bytes = loopModule(mem.sharedPages);
    known = { module: new WebAssembly.Module(bytes), of: new WeakMap() };
    loops.set(kernel, known);
  }
  let loop = known.of.get(start);
  if (loop === undefined) {
    const drop = (_run: number, around: number): void => letGo(around);
    const imports = { [MEMORY]: mem.wasm, [START]: start, [DROP]: drop };
    loop = new WebAssembly.Instance(known.module, { [IMPORTS]: imports }).exports[LOOP] as Loop;
    known.of.set(start, loop);
  }
  return loop;
}
