/**
 * Watches a host's runs, instruction by instruction, and holds them against what the prover says of the program: every
 * register and place of the stack lies in what is known of it, and what is proved the interpreter's exact check takes.
 */

import type { Facts } from "../../src/jit/facts.ts";
import { type JitProgram, type Op, readProgram } from "../../src/jit/program.ts";
import { prove } from "../../src/jit/prove/prove.ts";
import type { State } from "../../src/jit/prove/state.ts";
import * as v from "../../src/jit/prove/value.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import type { ObservedRun, RunObserver } from "../../src/kern/observer.ts";
import {
  FRAME_RETURN,
  FRAME_SIZE,
  holdsReference,
  RUN_CTX,
  RUN_CTX_SIZE,
  RUN_DATA,
  RUN_DATA_END,
  RUN_DEPTH,
  RUN_FRAMES,
  RUN_META,
} from "../../src/kern/run_record.ts";
import { OBJ_ID } from "../../src/mem/layout.ts";
import { MAP_INNER, mapField } from "../../src/struct/map.ts";
import { accessAt, alignedAt, argumentOk } from "../../src/vm/access.ts";
import { Machine } from "../../src/vm/machine.ts";

interface Known {
  readonly program: JitProgram;
  readonly proof: Facts;
  /** By instruction: what holds before it. */
  readonly states: readonly (State | undefined)[];
  readonly ops: readonly (Op | undefined)[];
  /** By instruction: the lowest offset of its function's frame. */
  readonly depth: readonly number[];
}

export interface Tally {
  steps: number;
  accesses: number;
  proved: number;
  programs: number;
}

/** Sizes that helpers might be asked about. */
const SIZES = [1, 4, 8, 16];

class Checker implements RunObserver {
  readonly tally: Tally = { steps: 0, accesses: 0, proved: 0, programs: 0 };
  readonly #kernel: Kernel;
  readonly #known = new Map<number, Known | undefined>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  before(run: ObservedRun): void {
    const kernel = this.#kernel;
    const m = new Machine(kernel, kernel.run);
    const known = this.#knownOf(m.prog);
    if (known === undefined) return;
    const { index } = run;
    this.tally.steps++;
    const state = known.states[index];
    const op = known.ops[index]!;
    if (state === undefined) throw new Error(`instruction ${index} is reached, and the prover says that it is not`);
    new Look(m, index).state(state);
    this.#access(m, known, op);
    if (op.row.kind === "call") this.#arguments(m, known, index);
  }

  #knownOf(prog: number): Known | undefined {
    const id = this.#kernel.mem.u32[(prog + OBJ_ID) >>> 2]!;
    if (!this.#known.has(id)) this.#known.set(id, knownOf(this.#kernel, prog));
    return this.#known.get(id);
  }

  #access(m: Machine, { proof, depth }: Known, op: Op): void {
    const { kind } = op.row;
    if (kind !== "load" && kind !== "store" && kind !== "atomic") return;
    this.tally.accesses++;
    const loads = kind === "load" || op.variant?.op === "loadAcq";
    const reg = m.regs + (loads ? op.src : op.dst) * 2;
    const [low, high] = [m.u32[reg]!, m.i32[reg + 1]!];
    const access = proof.access[op.index];
    const size = op.row.size;
    if (access === undefined) throw new Error(`instruction ${op.index} has no access`);
    const address = (low + op.off) >>> 0;
    this.#depth(m, depth, op.index, address);
    const there = access.how === "context" && access.size! <= m.u32[(m.run + RUN_CTX_SIZE) >>> 2]!;
    if (access.how !== "proved" && !there) return;
    this.tally.proved++;
    const check = kind === "atomic" ? alignedAt : accessAt;
    const at = check(m, low, high, op.off, size, !loads);
    const also = kind !== "atomic" || loads ? at : check(m, low, high, op.off, size, false);
    if (at !== address || also !== address) {
      throw new Error(`instruction ${op.index}: ${size} bytes at ${high}:${low} + ${op.off} are proved, and refused`);
    }
  }

  /** No access lies deeper in a frame than the prover says of its function. */
  #depth(m: Machine, depth: readonly number[], index: number, address: number): void {
    if (address < m.stackLow || address >= m.stackTop) return;
    const up = Math.floor((address - m.stackLow) / 512);
    let at = index;
    for (let i = 0; i < up; i++) {
      const frame = m.run + RUN_FRAMES + (m.u32[(m.run + RUN_DEPTH) >>> 2]! - i) * FRAME_SIZE;
      at = m.u32[(frame + FRAME_RETURN) >>> 2]! - 1;
    }
    const offset = address - m.stackLow - up * 512 - 512;
    if (offset < depth[at]!)
      throw new Error(`instruction ${index}: byte ${offset} of a frame, said to be ${depth[at]} deep`);
  }

  #arguments(m: Machine, { proof }: Known, index: number): void {
    for (let argument = 1; argument <= 5; argument++) {
      const [low, high] = [m.u32[m.regs + argument * 2]!, m.i32[m.regs + argument * 2 + 1]!];
      for (const size of SIZES) {
        for (const write of [false, true]) {
          if (proof.calls[index]?.memory(argument, size, write) !== true) continue;
          if (!argumentOk(m, low, high, size, write, argument)) {
            throw new Error(`instruction ${index}: ${size} bytes at r${argument} are proved, and refused`);
          }
        }
      }
    }
  }
}

function knownOf(kernel: Kernel, prog: number): Known | undefined {
  const program = readProgram(kernel.mem, prog);
  if (typeof program === "string") return undefined;
  const states: (State | undefined)[] = [];
  const ops: (Op | undefined)[] = [];
  const depth: number[] = [];
  const proof = prove(kernel, prog, program, (op, state) => {
    states[op.index] = state.copy();
  });
  for (const [i, { blocks, start, end }] of program.functions.entries()) {
    for (const block of blocks) for (const op of block.ops) ops[op.index] = op;
    depth.fill(0, start, end);
    for (let at = start; at < end; at++) depth[at] = proof.stackDepth[i]!;
  }
  return { program, proof, states, ops, depth };
}

/** One state of a run. */
class Look {
  readonly #m: Machine;
  readonly #index: number;
  readonly #same = new Map<v.Val, string>();
  readonly #bases = new Map<number, number>();
  /** By id of linked numbers: the one they are relative to. */
  readonly #links = new Map<number, bigint>();

  constructor(m: Machine, index: number) {
    this.#m = m;
    this.#index = index;
  }

  state(state: State): void {
    const { u32, regs } = this.#m;
    for (let r = 0; r <= 10; r++) this.#value(state.regs[r]!, u32[regs + r * 2]!, u32[regs + r * 2 + 1]!, `r${r}`);
    const top = u32[regs + 20]!;
    for (let at = -512; at < 0; at += 4) {
      const word = (top + at) >>> 2;
      const four = state.get(at, 4);
      if (four !== undefined) this.#value(four, u32[word]!, 0, `4 bytes at r10 ${at}`);
      const eight = at % 8 === 0 ? state.get(at, 8) : undefined;
      if (eight !== undefined) this.#value(eight, u32[word]!, u32[word + 1]!, `8 bytes at r10 ${at}`);
    }
  }

  #value(known: v.Val, low: number, high: number, where: string): void {
    if (known === v.UNKNOWN) return;
    const text = `${high}:${low}`;
    const wrong = (): never => {
      const { kind, min, max, step, id, off, room, size, flags } = known;
      throw new Error(
        `instruction ${this.#index}: ${where} is ${text}, known: ${JSON.stringify({ kind, min, max, step, id, off, room, size, flags })}`,
      );
    };
    if ((this.#same.get(known) ?? text) !== text) wrong();
    this.#same.set(known, text);
    const value = (high | 0) * 2 ** 32 + low;
    if (!this.#holds(known, value)) wrong();
    if (!v.isNumeric(known) || known.id === 0) return;
    const from = BigInt.asUintN(64, ((BigInt(high) << 32n) | BigInt(low)) - BigInt(known.off));
    if ((this.#links.get(known.id) ?? from) !== from) wrong();
    this.#links.set(known.id, from);
  }

  #holds(known: v.Val, value: number): boolean {
    const m = this.#m;
    const word = (field: number): number => m.u32[(m.run + field) >>> 2]!;
    switch (known.kind) {
      case v.K_NUMBER:
        return ranged(known, value);
      case v.K_STACK:
        return !v.isNear(known) || ranged(known, value - m.u32[m.regs + 20]!);
      case v.K_CTX:
        return value === word(RUN_CTX) + known.min;
      case v.K_PACKET: {
        const from = word((known.flags & v.F_META) !== 0 ? RUN_META : RUN_DATA);
        const base = value - known.off;
        if ((this.#bases.get(known.id) ?? base) !== base) return false;
        this.#bases.set(known.id, base);
        return value - from >= known.min && value - from <= known.max && base + known.room <= word(RUN_DATA_END);
      }
      case v.K_PACKET_END:
        return value === word(RUN_DATA_END);
      case v.K_INNER: {
        if (value === 0) return (known.flags & v.F_NULL) !== 0;
        const template = mapField(m.mem, known.id, MAP_INNER);
        return holdsReference(m.mem, m.run, value) && m.kernel.metaEqual(template, value) === 0;
      }
      case v.K_MAP:
        return value === known.id;
      case v.K_REGION:
        if (!v.isNear(known) || (value === 0 && (known.flags & v.F_NULL) !== 0)) return true;
        if (known.id < 0) return ranged(known, value + 1 + known.id);
        return this.#region(known, value);
      default:
        return true;
    }
  }

  /** All of the region is there, as far as the offset is one number. */
  #region(known: v.Val, value: number): boolean {
    const m = this.#m;
    if (known.min !== known.max || known.size === 0) return true;
    const base = value - known.min;
    return argumentOk(m, base, 0, known.size, (known.flags & v.F_WRITE) !== 0, 0);
  }
}

function ranged({ min, max, step }: v.Val, value: number): boolean {
  return value >= min && value <= max && (step === 0 || (value - min) % step === 0);
}

/** From now on all runs of this kernel are held against the prover. What is wrong is thrown where the run was started. */
export function checkRuns(kernel: Kernel): Tally {
  const checker = new Checker(kernel);
  kernel.observer = checker;
  return checker.tally;
}
