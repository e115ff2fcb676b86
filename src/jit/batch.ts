/**
 * Batches of packets: a compiled XDP program is called in a loop of WebAssembly, so that nothing crosses to JavaScript for
 * a packet. Each is a run of its own: its budget, its packet's room and what it holds are those of a run alone.
 */
import type { Kernel } from "../kern/kernel.ts";
import { dropHeld, RUN_BATCH_AT, RUN_DATA_END, RUN_EXITED, RUN_META } from "../kern/run_record.ts";
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
  /** The last place, counted from `out`, where there is room for any packet. */
  readonly outLast: number;
}

/** How a batch goes. */
export interface BatchEnd {
  /** The first packet that was not run to its end. */
  readonly next: number;
  /** RUN_EXITED: it was not begun, for its length or as there is no room for it behind the others. Else how it ended. */
  readonly status: number;
}

const U32 = 4;

/** Which packet's end it is. */
const indexOf = (at: number, ends: number): number => ((at - ends) >>> 0) / U32;

/** Runs packets from the batch's first on, until one is stopped or cannot be run so. The machine has begun. */
export function runBatch(m: Machine, start: WebAssembly.ExportValue, batch: Batch): BatchEnd {
  const { kernel, run, u32, budget } = m;
  const { data, bytes, ends, count, retvals, out, outLast, outEnds } = batch;
  const wanted = out !== 0;
  const loop = loopOf(kernel, run, wanted, start);
  let { first, from } = batch;
  let outAt = 0;
  for (;;) {
    const packets = [ends + U32 * first, ends + U32 * count, data + from, data + bytes, data, retvals - ends];
    const results = wanted ? [out + outAt, out + outLast, out, outEnds - ends] : [];
    try {
      let next = 0;
      enter(m, () => {
        next = indexOf(loop(...packets, ...results), ends);
      });
      m.status = RUN_EXITED;
      save(m);
      return { next, status: RUN_EXITED };
    } catch (error) {
      if (error !== UNWIND) throw error;
    }
    const index = indexOf(u32[(run + RUN_BATCH_AT) >>> 2]!, ends);
    if (m.status !== RUN_EXITED) {
      save(m);
      return { next: index, status: m.status };
    }
    // The program has left by an exception of its own, with r0. It may have changed the columns: nothing begins in front
    // of the batch, nor behind its bytes, nor where there is no room.
    const of = (column: number, packet: number): number => (column >>> 2) + packet;
    u32[of(retvals, index)] = u32[m.regs]!;
    if (wanted) {
      if (index > first) outAt = Math.min(u32[of(outEnds, index - 1)]!, outLast);
      const packet = u32[(run + RUN_META) >>> 2]!;
      const length = u32[(run + RUN_DATA_END) >>> 2]! - packet;
      m.mem.copy(out + outAt, packet, length);
      outAt += length;
      u32[of(outEnds, index)] = outAt;
    }
    dropHeld(kernel, run);
    begin(m, budget);
    first = index + 1;
    from = Math.min(Math.max(u32[of(ends, index)]!, batch.from), bytes);
  }
}

/** Of each client, by the record that runs are on, without and with packets that are wanted: the loops. */
const loops = new WeakMap<Kernel, Map<number, Loops>>();

/** The loop's module, and by a program's start the loop that calls it. */
interface Loops {
  readonly module: WebAssembly.Module;
  readonly of: WeakMap<WebAssembly.ExportValue, Loop>;
}

function loopOf(kernel: Kernel, run: number, wanted: boolean, start: WebAssembly.ExportValue): Loop {
  let known = loops.get(kernel);
  if (known === undefined) {
    known = new Map();
    loops.set(kernel, known);
  }
  // Records have even addresses.
  const key = run + (wanted ? 1 : 0);
  let made = known.get(key);
  if (made === undefined) {
    made = { module: new WebAssembly.Module(loopModule(kernel, run, wanted)), of: new WeakMap() };
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
