/** The loop of `batch.ts` as a WebAssembly module: the same for all programs of a host. */

import { XDP_HEADROOM } from "../helpers/xdp.ts";
import {
  RUN_BATCH_INDEX,
  RUN_CASTS,
  RUN_CURRENT,
  RUN_DATA,
  RUN_DATA_END,
  RUN_HELD_COUNT,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_MOVED,
  RUN_PROG,
  RUN_REGS,
  RUN_TAIL_CALLS,
} from "../kern/run_record.ts";
import { xdp_md } from "../uapi/index.ts";
import { Code, I32, I64 } from "../wasm/code.ts";
import { block, type Expr32, Local32, Local64, local32, local64, loop, when } from "../wasm/expr.ts";
import { ModuleBuilder, type Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { emitPacketCopy } from "./packet_copy.ts";
import { TAIL_ENTRY } from "./tail_calls.ts";

/** Names of what it imports beside the memory: where the program starts, and `dropHeld`, (run, kept). */
export const START = "start";
export const DROP = "drop";
/** Name of what it exports. */
export const LOOP = "loop";

/** Parameters that are i32, in their order; behind them comes the budget, an i64. See `Batch`. */
const PARAMETERS = [
  "run",
  "fp",
  "ctx",
  "data",
  "bytes",
  "ends",
  "index",
  "from",
  "count",
  "shortest",
  "span",
  "retvals",
  "out",
  "outLast",
  "outAt",
  "outEnds",
  "around",
  "thrown",
] as const;
type Parameters = Readonly<Record<(typeof PARAMETERS)[number], Local32>>;
const BUDGET = PARAMETERS.length;
const SIGNATURE: Signature = { params: [...PARAMETERS.map(() => I32), I64], results: [I32] };

/** Returns the index of the first packet that it has not done. */
export type Loop = (...parameters: readonly (number | bigint)[]) => number;

const WORD = 8;

/** `pages`: the largest size of the shared memory; undefined: it is not shared. */
export function loopModule(pages: number | undefined): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const start = module.importFunction(START, TAIL_ENTRY);
  const drop = module.importFunction(DROP, { params: [I32, I32], results: [] });
  const func = module.declare(SIGNATURE);
  module.define(func, loopCode(start, drop));
  module.exportFunction(LOOP, func);
  return module.bytes(pages);
}

function loopCode(start: number, drop: number): Code {
  const code = new Code(SIGNATURE.params.length);
  const given = Object.fromEntries(PARAMETERS.map((name, i) => [name, new Local32(code, i)])) as Parameters;
  const { run, fp, data, bytes, ends, index, from, count, shortest, span } = given;
  const { retvals, out, outLast, outAt, around, thrown } = given;
  const r0 = local64(code);
  /** Where all packets begin, unless the program moves that. */
  const begins = local32(code, run.load(RUN_PACKET).add(XDP_HEADROOM));
  /** Where this one ends, and how long it is. */
  const end = local32(code);
  const length = local32(code);
  const source = local32(code);
  const target = local32(code);
  block(code, (done) => {
    loop(code, (again) => {
      done.when(index.geU(count));
      end.set(inColumn(ends, index).load());
      // The ends are anybody's: neither beyond the bytes nor, as there is a least length, in front of where it begins.
      done.when(end.gtU(bytes));
      length.set(end.sub(from));
      done.when(length.sub(shortest).gtU(span));
      when(out, () => done.when(outAt.gtU(outLast)));
      when(
        thrown,
        () => {
          // It has left by an exception: the run is over.
          r0.set(run.load64(RUN_REGS));
          thrown.set(0);
        },
        () => {
          open(given, begins, length);
          source.set(data.add(from));
          target.set(begins);
          emitPacketCopy(target, source, length);
          for (const argument of [run, fp, new Local64(code, BUDGET)]) argument.push();
          code.call(start);
          // What is left of the budget: who has spent it does not come back.
          code.op(w.DROP);
          code.set(r0.index);
        },
      );
      inColumn(retvals, index).store(0, r0.wrap());
      when(out, () => giveBack(given, source, target, length));
      when(run.load(RUN_HELD_COUNT).ne(around), () => {
        for (const argument of [run, around]) argument.push();
        code.call(drop);
      });
      from.set(end);
      index.set(index.add(1));
      again.go();
    });
  });
  index.push();
  return code;
}

/** A u32 of this packet's. */
const inColumn = (column: Expr32, index: Expr32): Expr32 => column.add(index.shl(2));

/** Packet, context and counts, as a run alone begins with them: what the run before may have changed. */
function open({ run, ctx, index }: Parameters, begins: Expr32, length: Expr32): void {
  const { data, data_end, data_meta } = xdp_md.fields;
  when(run.load(RUN_PACKET_MOVED), () => {
    const room = run.load(RUN_PACKET);
    // It may have written in front of its packet.
    for (let at = 0; at < XDP_HEADROOM; at += WORD) room.store64(at, 0);
    for (const field of [RUN_META, RUN_DATA]) run.store(field, begins);
    for (const field of [data, data_meta]) ctx.store(field.offset, begins);
    run.store(RUN_PACKET_MOVED, 0);
  });
  run.store(RUN_DATA_END, begins.add(length));
  ctx.store(data_end.offset, begins.add(length));
  run.store(RUN_BATCH_INDEX, index);
  for (const field of [RUN_TAIL_CALLS, RUN_CASTS]) run.store(field, 0);
  run.store(RUN_CURRENT, run.load(RUN_PROG));
}

/** The packet as the run has left it goes behind the others. */
function giveBack({ run, index, out, outAt, outEnds }: Parameters, from: Local32, to: Local32, length: Local32): void {
  from.set(run.load(RUN_META));
  length.set(run.load(RUN_DATA_END).sub(from));
  to.set(out.add(outAt));
  emitPacketCopy(to, from, length);
  outAt.set(outAt.add(length));
  inColumn(outEnds, index).store(0, outAt);
}
