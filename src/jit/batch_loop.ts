/**
 * The loop of `batch.ts` as a WebAssembly module: the same for all programs that are run on a record. What is always the
 * same there is in the code, since whatever lives longer than the call of a program has to be kept in memory by V8.
 */

import { ETH_HLEN } from "../helpers/xdp.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  RUN_BATCH_AT,
  RUN_CASTS,
  RUN_CURRENT,
  RUN_HELD_COUNT,
  RUN_PROG,
  RUN_REGS,
  RUN_TAIL_CALLS,
} from "../kern/run_record.ts";
import { Code, I32, type ValueType } from "../wasm/code.ts";
import { block, const32, Local32, local32, local64, loop, when } from "../wasm/expr.ts";
import { ModuleBuilder } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import type { PacketCode, Packets } from "./packet_code.ts";
import { emitPacketCopy } from "./packet_copy.ts";
import { emitStart, TAIL_ENTRY } from "./tail_calls.ts";

/** Names of what it imports beside the memory: where the program starts, and what undoes what the run holds but for the oldest. */
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

/**
 * Returns where in the column of ends that of the first packet is that it has not done; with OPEN the program has come to
 * its end there, with r0 in the record, and the packet is to be given back.
 */
export type Loop = (...parameters: readonly number[]) => number;
/** Columns are of words. */
export const OPEN = 1;

const SHORTEST = ETH_HLEN;
const U32 = 4;

/** For runs on this record, which has begun on a packet of which nothing is known yet. */
export function loopModule(kernel: Kernel, run: number, packets: Packets, wanted: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const start = module.importFunction(START, TAIL_ENTRY);
  const drop = module.importFunction(DROP, { params: [I32], results: [] });
  const names = [...PARAMETERS, ...(wanted ? WANTED : [])];
  const params = names.map((): ValueType => I32);
  const func = module.declare({ params, results: [I32] });
  const code = new Code(params.length);
  const given = Object.fromEntries(names.map((name, i) => [name, new Local32(code, i)])) as Parameters;
  emitLoop(code, { kernel, run, packets, wanted, start, drop }, given);
  module.define(func, code);
  module.exportFunction(LOOP, func);
  return module.bytes(kernel.mem.sharedPages);
}

interface Given {
  readonly kernel: Kernel;
  readonly run: number;
  readonly packets: Packets;
  readonly wanted: boolean;
  readonly start: number;
  readonly drop: number;
}

function emitLoop(code: Code, { kernel, run, packets, wanted, start, drop }: Given, given: Parameters): void {
  const { u32 } = kernel.mem;
  const { at, last, from, limit, data, retvals, to, toLast } = given;
  const record = const32(code, run);
  const packet = packets.code(kernel, run, code);
  // What lies around the context is held by all runs.
  const around = u32[(run + RUN_HELD_COUNT) >>> 2]!;
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
      done.when(length.sub(SHORTEST).gtU(packets.longest - SHORTEST));
      if (wanted) done.when(to.gtU(toLast));
      packet.refuse(from, length, done);
      source.set(from);
      from.set(end);
      target.set(packet.place);
      emitPacketCopy(target, source, length);
      packet.renew();
      packet.open(length);
      record.store(RUN_BATCH_AT, at);
      for (const field of [RUN_TAIL_CALLS, RUN_CASTS]) record.store(field, 0);
      record.store(RUN_CURRENT, record.load(RUN_PROG));
      emitStart(kernel, run, r0, start);
      packet.close(() => {
        record.store64(RUN_REGS, r0);
        at.or(OPEN).push();
        code.op(w.RETURN);
      });
      at.add(retvals).store(0, r0.wrap());
      if (wanted) giveBack(packet, given, target);
      when(record.load(RUN_HELD_COUNT).ne(around), () => {
        code.i32(around);
        code.call(drop);
      });
      at.set(at.add(U32));
      again.go();
    });
  });
  at.push();
}

/** The packet as the run has left it goes behind the others. */
function giveBack(packet: PacketCode, { at, to, out, outEnds }: Parameters, target: Local32): void {
  const { from, length } = packet.after();
  target.set(to);
  to.set(to.add(length));
  emitPacketCopy(target, from, length);
  at.add(outEnds).store(0, to.sub(out));
}
