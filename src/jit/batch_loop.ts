/**
 * The loop of `batch.ts` as a WebAssembly module: the same for all programs that are run on a record. What is always the
 * same there is in the code, since whatever lives longer than the call of a program has to be kept in memory by V8.
 */

import { ETH_HLEN, XDP_HEADROOM } from "../helpers/xdp.ts";
import { PACKET_ROOM } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  RUN_BATCH_AT,
  RUN_CASTS,
  RUN_CTX,
  RUN_CURRENT,
  RUN_DATA,
  RUN_DATA_END,
  RUN_HELD_COUNT,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_MOVED,
  RUN_PROG,
  RUN_STACK_TOP,
  RUN_TAIL_CALLS,
} from "../kern/run_record.ts";
import { xdp_md } from "../uapi/index.ts";
import { Code, I32, type ValueType } from "../wasm/code.ts";
import { block, const32, type Expr32, Local32, local32, local64, loop, when } from "../wasm/expr.ts";
import { ModuleBuilder } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { emitPacketCopy } from "./packet_copy.ts";
import { TAIL_ENTRY } from "./tail_calls.ts";

/** Names of what it imports beside the memory: where the program starts, and what undoes all that the run holds. */
export const START = "start";
export const DROP = "drop";
/** Name of what it exports. */
export const LOOP = "loop";

/**
 * Parameters, i32 all of them, in their order. `at` and `last`: where in the column of ends the first packet's is, and where
 * the column is over; `from` and `limit`: where that packet begins, and where the bytes end; `data`: what ends are added
 * to; `retvals`: how far the column of what programs return is behind that of the ends.
 */
const PARAMETERS = ["at", "last", "from", "limit", "data", "retvals"] as const;
/** Where packets are wanted back: where the first goes and the last may, what their ends are counted from, and that column. */
const WANTED = ["to", "toLast", "out", "outEnds"] as const;
type Parameters = Readonly<Record<(typeof PARAMETERS)[number] | (typeof WANTED)[number], Local32>>;

/** Returns where in the column of ends that of the first packet is that it has not done. */
export type Loop = (...parameters: readonly number[]) => number;

/** Lengths of packets that can be run. */
const SHORTEST = ETH_HLEN;
const LONGEST: number = PACKET_ROOM - XDP_HEADROOM;
const U32 = 4;
const WORD = 8;

/** For runs on this record, which has begun. */
export function loopModule(kernel: Kernel, run: number, wanted: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const start = module.importFunction(START, TAIL_ENTRY);
  const drop = module.importFunction(DROP, { params: [], results: [] });
  const names = [...PARAMETERS, ...(wanted ? WANTED : [])];
  const params = names.map((): ValueType => I32);
  const func = module.declare({ params, results: [I32] });
  const code = new Code(params.length);
  const given = Object.fromEntries(names.map((name, i) => [name, new Local32(code, i)])) as Parameters;
  emitLoop(new Place(kernel, run, code), given, wanted, start, drop);
  module.define(func, code);
  module.exportFunction(LOOP, func);
  return module.bytes(kernel.mem.sharedPages);
}

/** What is at the same addresses in all of the record's runs. */
class Place {
  readonly code: Code;
  readonly budget: number;
  readonly run: Expr32;
  readonly fp: Expr32;
  readonly ctx: Expr32;
  /** The packet's headroom, and where packets begin unless the program moves that. */
  readonly room: Expr32;
  readonly begins: Expr32;

  constructor({ mem: { u32 }, runBudget }: Kernel, run: number, code: Code) {
    const at = (field: number, offset = 0): Expr32 => const32(code, u32[(run + field) >>> 2]! + offset);
    this.code = code;
    this.budget = runBudget;
    this.run = const32(code, run);
    this.fp = at(RUN_STACK_TOP);
    this.ctx = at(RUN_CTX);
    this.room = at(RUN_PACKET);
    this.begins = at(RUN_PACKET, XDP_HEADROOM);
  }
}

function emitLoop(place: Place, given: Parameters, wanted: boolean, start: number, drop: number): void {
  const { code, run, fp, begins, budget } = place;
  const { at, last, from, limit, data, retvals, to, toLast } = given;
  const r0 = local64(code);
  const end = local32(code);
  const length = local32(code);
  const source = local32(code);
  const target = local32(code);
  block(code, (done) => {
    loop(code, (again) => {
      done.when(at.geU(last));
      end.set(at.load().add(data));
      // The ends are anybody's: neither beyond the bytes nor, as there is a least length, in front of where it begins.
      done.when(end.gtU(limit));
      length.set(end.sub(from));
      done.when(length.sub(SHORTEST).gtU(LONGEST - SHORTEST));
      if (wanted) done.when(to.gtU(toLast));
      open(place, at, length);
      source.set(from);
      from.set(end);
      target.set(begins);
      emitPacketCopy(target, source, length);
      for (const argument of [run, fp]) argument.push();
      code.i64(budget | 0, Math.floor(budget / 2 ** 32));
      code.call(start);
      // What is left of the budget: who has spent it does not come back.
      code.op(w.DROP);
      code.set(r0.index);
      at.add(retvals).store(0, r0.wrap());
      if (wanted) giveBack(place, given, source, target, length);
      when(run.load(RUN_HELD_COUNT), () => code.call(drop));
      at.set(at.add(U32));
      again.go();
    });
  });
  at.push();
}

/** Packet, context and counts, as a run alone begins with them: what the run before may have changed. */
function open({ run, ctx, room, begins }: Place, at: Expr32, length: Expr32): void {
  const { data, data_end, data_meta } = xdp_md.fields;
  when(run.load(RUN_PACKET_MOVED), () => {
    // It may have written in front of its packet.
    for (let word = 0; word < XDP_HEADROOM; word += WORD) room.store64(word, 0);
    for (const field of [RUN_META, RUN_DATA]) run.store(field, begins);
    for (const field of [data, data_meta]) ctx.store(field.offset, begins);
    run.store(RUN_PACKET_MOVED, 0);
  });
  const end = local32(at.code, length.add(begins));
  run.store(RUN_DATA_END, end);
  ctx.store(data_end.offset, end);
  run.store(RUN_BATCH_AT, at);
  for (const field of [RUN_TAIL_CALLS, RUN_CASTS]) run.store(field, 0);
  run.store(RUN_CURRENT, run.load(RUN_PROG));
}

/** The packet as the run has left it goes behind the others. */
function giveBack(
  { run }: Place,
  { at, to, out, outEnds }: Parameters,
  source: Local32,
  target: Local32,
  length: Local32,
): void {
  source.set(run.load(RUN_META));
  length.set(run.load(RUN_DATA_END).sub(source));
  target.set(to);
  to.set(to.add(length));
  emitPacketCopy(target, source, length);
  at.add(outEnds).store(0, to.sub(out));
}
