/** The loop of `batch.ts` as a WebAssembly module: the same for all programs of a host. */

import { XDP_HEADROOM } from "../helpers/xdp.ts";
import {
  RUN_BATCH_INDEX,
  RUN_BUDGET,
  RUN_CASTS,
  RUN_DATA,
  RUN_DATA_END,
  RUN_DEPTH,
  RUN_HELD_COUNT,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_MOVED,
  RUN_REGS,
  RUN_TAIL_CALLS,
} from "../kern/run_record.ts";
import { xdp_md } from "../uapi/index.ts";
import { Code, I32, I64 } from "../wasm/code.ts";
import { ModuleBuilder, type Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";

/** Names of what it imports beside the memory: the program, (run, fp), and `dropHeld`, (run, kept). */
export const ENTRY = "entry";
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
const BUDGET = PARAMETERS.length;
const SIGNATURE: Signature = { params: [...PARAMETERS.map(() => I32), I64], results: [I32] };

/** Returns the index of the first packet that it has not done. */
export type Loop = (...parameters: readonly (number | bigint)[]) => number;

/** Copies go by so many bytes: they read and write less than that beyond the end. */
export const COPY_STEP = 16;
/** Longer packets are copied by the instruction for it, which is slow to begin. */
const COPY_BY_STEPS = 512;
const WORD = 8;

/** `pages`: the largest size of the shared memory; undefined: it is not shared. */
export function loopModule(pages: number | undefined): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const entry = module.importFunction(ENTRY, { params: [I32, I32], results: [] });
  const drop = module.importFunction(DROP, { params: [I32, I32], results: [] });
  const loop = module.declare(SIGNATURE);
  module.define(loop, new LoopCode().emit(entry, drop));
  module.exportFunction(LOOP, loop);
  return module.bytes(pages);
}

class LoopCode {
  readonly #code = new Code(SIGNATURE.params.length);
  readonly #at = Object.fromEntries(PARAMETERS.map((name, i) => [name, i])) as Readonly<
    Record<(typeof PARAMETERS)[number], number>
  >;
  /** Where this packet ends, and how long it is. */
  readonly #to = this.#code.local(I32);
  readonly #length = this.#code.local(I32);
  /** The packet's room, then the packet in it. */
  readonly #start = this.#code.local(I32);
  /** Of a copy. */
  readonly #source = this.#code.local(I32);
  readonly #target = this.#code.local(I32);
  readonly #end = this.#code.local(I32);

  emit(entry: number, drop: number): Code {
    const code = this.#code;
    const { run, fp, index, from, count, shortest, span, bytes, out, outAt, outLast, around, thrown } = this.#at;
    const done = code.open();
    const again = code.loop();
    this.#leaveIf(done, w.I32_GE_U, index, count);
    this.#column(this.#at.ends);
    code.memory(w.I32_LOAD);
    code.set(this.#to);
    // The ends are anybody's: neither beyond the bytes nor, as there is a least length, in front of where it begins.
    this.#leaveIf(done, w.I32_GT_U, this.#to, bytes);
    code.get(this.#to);
    code.get(from);
    code.op(w.I32_SUB);
    code.tee(this.#length);
    code.get(shortest);
    code.op(w.I32_SUB);
    code.get(span);
    code.op(w.I32_GT_U);
    code.br(done, true);
    code.get(out);
    code.open(w.IF);
    this.#leaveIf(done, w.I32_GT_U, outAt, outLast);
    code.end();
    // Of a program that has left by an exception the run is over.
    code.get(thrown);
    code.op(w.I32_EQZ);
    code.open(w.IF);
    this.#place();
    code.get(run);
    code.get(fp);
    code.call(entry);
    code.end();
    code.i32(0);
    code.set(thrown);
    this.#load(w.I64_LOAD, RUN_BUDGET);
    code.i64(0, 0);
    code.op(w.I64_LT_S);
    code.br(done, true);
    this.#column(this.#at.retvals);
    this.#load(w.I32_LOAD, RUN_REGS);
    code.memory(w.I32_STORE);
    this.#give();
    this.#load(w.I32_LOAD, RUN_HELD_COUNT);
    code.get(around);
    code.op(w.I32_NE);
    code.open(w.IF);
    code.get(run);
    code.get(around);
    code.call(drop);
    code.end();
    code.get(this.#to);
    code.set(from);
    code.get(index);
    code.i32(1);
    code.op(w.I32_ADD);
    code.set(index);
    code.br(again);
    code.end();
    code.end();
    code.get(index);
    return code;
  }

  #leaveIf(level: number, compare: number, a: number, b: number): void {
    this.#code.get(a);
    this.#code.get(b);
    this.#code.op(compare);
    this.#code.br(level, true);
  }

  /** A field of the run record. */
  #load(opcode: number, field: number): void {
    this.#code.get(this.#at.run);
    this.#code.memory(opcode, field);
  }

  #store(opcode: number, base: number, offset: number, value: () => void): void {
    this.#code.get(base);
    value();
    this.#code.memory(opcode, offset);
  }

  /** The address of this packet's u32 in a column. */
  #column(column: number): void {
    const code = this.#code;
    code.get(column);
    code.get(this.#at.index);
    code.i32(2);
    code.op(w.I32_SHL, w.I32_ADD);
  }

  /** Packet, context and registers, as a run alone begins with them. */
  #place(): void {
    const code = this.#code;
    const { run, ctx, data, from, index } = this.#at;
    this.#load(w.I32_LOAD, RUN_PACKET);
    code.set(this.#start);
    // Where the run before may have written in front of its packet.
    this.#load(w.I32_LOAD, RUN_PACKET_MOVED);
    code.open(w.IF);
    for (let at = 0; at < XDP_HEADROOM; at += WORD) {
      this.#store(w.I64_STORE, this.#start, at, () => code.i64(0, 0));
    }
    this.#store(w.I32_STORE, run, RUN_PACKET_MOVED, () => code.i32(0));
    code.end();
    code.get(this.#start);
    code.i32(XDP_HEADROOM);
    code.op(w.I32_ADD);
    code.set(this.#start);
    const begins = (): void => code.get(this.#start);
    const ends = (): void => {
      code.get(this.#start);
      code.get(this.#length);
      code.op(w.I32_ADD);
    };
    const { data: dataField, data_end, data_meta } = xdp_md.fields;
    for (const field of [RUN_META, RUN_DATA]) this.#store(w.I32_STORE, run, field, begins);
    for (const field of [dataField, data_meta]) this.#store(w.I32_STORE, ctx, field.offset, begins);
    this.#store(w.I32_STORE, run, RUN_DATA_END, ends);
    this.#store(w.I32_STORE, ctx, data_end.offset, ends);
    this.#store(w.I32_STORE, run, RUN_BATCH_INDEX, () => code.get(index));
    for (const field of [RUN_DEPTH, RUN_TAIL_CALLS, RUN_CASTS]) {
      this.#store(w.I32_STORE, run, field, () => code.i32(0));
    }
    this.#store(w.I64_STORE, run, RUN_REGS + WORD, () => {
      code.get(ctx);
      code.op(w.I64_EXTEND_I32_U);
    });
    for (let register = 2; register <= 5; register++) {
      this.#store(w.I64_STORE, run, RUN_REGS + register * WORD, () => code.i64(0, 0));
    }
    this.#store(w.I64_STORE, run, RUN_BUDGET, () => code.get(BUDGET));
    code.get(data);
    code.get(from);
    code.op(w.I32_ADD);
    code.set(this.#source);
    code.get(this.#start);
    code.set(this.#target);
    this.#copy();
  }

  /** The packet as the run has left it, where it is wanted. */
  #give(): void {
    const code = this.#code;
    const { out, outAt, outEnds } = this.#at;
    code.get(out);
    code.open(w.IF);
    this.#load(w.I32_LOAD, RUN_DATA_END);
    this.#load(w.I32_LOAD, RUN_META);
    code.tee(this.#source);
    code.op(w.I32_SUB);
    code.set(this.#length);
    code.get(out);
    code.get(outAt);
    code.op(w.I32_ADD);
    code.set(this.#target);
    this.#copy();
    this.#column(outEnds);
    code.get(outAt);
    code.get(this.#length);
    code.op(w.I32_ADD);
    code.tee(outAt);
    code.memory(w.I32_STORE);
    code.end();
  }

  /** `length` bytes, at least one, from `source` to `target`, which it moves. */
  #copy(): void {
    const code = this.#code;
    code.get(this.#length);
    code.i32(COPY_BY_STEPS);
    code.op(w.I32_GT_U);
    code.open(w.IF);
    code.get(this.#target);
    code.get(this.#source);
    code.get(this.#length);
    code.bulk(w.MEMORY_COPY);
    code.op(w.ELSE);
    code.get(this.#source);
    code.get(this.#length);
    code.op(w.I32_ADD);
    code.set(this.#end);
    const more = code.loop();
    for (const at of [0, WORD]) {
      this.#store(w.I64_STORE, this.#target, at, () => {
        code.get(this.#source);
        code.memory(w.I64_LOAD, at);
      });
    }
    for (const pointer of [this.#target, this.#source]) {
      code.get(pointer);
      code.i32(COPY_STEP);
      code.op(w.I32_ADD);
      code.set(pointer);
    }
    this.#code.get(this.#source);
    this.#code.get(this.#end);
    code.op(w.I32_LT_U);
    code.br(more, true);
    code.end();
    code.end();
  }
}
