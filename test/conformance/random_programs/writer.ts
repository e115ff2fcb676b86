/**
 * What is known of a random program while it is written: which registers hold numbers, which are taken, and what r6
 * points to. Pointers live inside one piece only, so nothing that differs between hosts can get out.
 */

import type { AsmItem, Reg } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import { type MapName, mapNames, maps } from "./maps.ts";

export type Items = AsmItem[];
export type Kind = "xdp" | "sched_cls";

/** What r6 is: the context, memory of so many bytes (of the caller's stack, or a map's value), or a number. */
export type Base = "ctx" | "number" | { readonly memory: number };

/** A function of the program that main, or another function, calls. */
export interface Callee {
  readonly label: string;
  readonly items: Items;
  /** What it must be called with. */
  readonly base: Base;
  /** Loop bodies, and what calls from it count in addition. */
  readonly level: number;
  /** For callbacks: a name of `callbackTypes` in btf.ts. */
  readonly type: "static" | "loop" | "element";
}

/** What all functions of one program share. */
export class Draft {
  readonly rnd: (n: number) => number;
  readonly kind: Kind;
  readonly used: Set<MapName> = new Set();
  readonly callees: Callee[] = [];
  #labels = 0;

  constructor(kind: Kind, rnd: (n: number) => number) {
    this.kind = kind;
    this.rnd = rnd;
  }

  label(): string {
    return `L${this.#labels++}`;
  }
}

/** Registers for numbers; r6 is the base, r10 the stack. */
export const SCALARS: readonly Reg[] = [0, 1, 2, 3, 4, 5, 7, 8, 9];
/** r0 always holds a number between two pieces, so pointers go elsewhere. */
const POINTERS: readonly Reg[] = [1, 2, 3, 4, 5, 7, 8, 9];
const CALLER_SAVED = 0b11_1110;

const EDGES: readonly number[] = [
  0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff,
  -1, -2, -3, -7, -8, -0x7f, -0x80, -0x81, -0x8000, -0x8001, -0x7fff_ffff, -0x8000_0000,
];

export class Writer {
  readonly draft: Draft;
  readonly base: Base;
  /** Bytes below r10 that hold numbers. */
  readonly stack: number;
  /** Nesting of functions. */
  readonly level: number;
  /** How many times what is written now runs, for the verifier: it follows each turn of a loop. */
  turns: number;
  /** Whether it is a callback: what it returns says whether to go on. */
  callback = false;
  /** Bits of registers that hold numbers. */
  live = 0;
  /** Bits of registers that must keep what they hold. */
  locked = 0;

  constructor(draft: Draft, base: Base, stack: number, level: number, turns: number) {
    this.draft = draft;
    this.base = base;
    this.stack = stack;
    this.level = level;
    this.turns = turns;
  }

  rnd(n: number): number {
    return this.draft.rnd(n);
  }

  chance(percent: number): boolean {
    return this.rnd(100) < percent;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.rnd(all.length)]!;
  }

  label(): string {
    return this.draft.label();
  }

  /** A number that fits an immediate: edges more often than others. */
  imm(): number {
    switch (this.rnd(4)) {
      case 0:
        return (this.rnd(0x1_0000) * 0x1_0000 + this.rnd(0x1_0000)) | 0;
      case 1:
        return this.rnd(256) - 128;
      default:
        return this.pick(EDGES);
    }
  }

  /** 64 bits likewise. */
  wide(): bigint {
    const half = (): bigint => BigInt(this.imm());
    const kind = this.rnd(10);
    if (kind < 2) return half();
    if (kind < 4) return BigInt.asIntN(64, half() << 32n);
    return BigInt.asIntN(64, (half() << 32n) | BigInt.asUintN(32, half()));
  }

  isLive(reg: Reg): boolean {
    return (this.live & (1 << reg)) !== 0;
  }

  /** A register that holds a number. */
  source(): Reg {
    return this.pick(SCALARS.filter((reg) => this.isLive(reg)));
  }

  /** A register that may be overwritten. */
  target(): Reg {
    return this.pick(SCALARS.filter((reg) => (this.locked & (1 << reg)) === 0));
  }

  hasOperand(): boolean {
    return (this.live & ~this.locked) !== 0;
  }

  /** A register that holds a number and may be overwritten: between two pieces there always is one. */
  operand(): Reg {
    return this.pick(SCALARS.filter((reg) => this.isLive(reg) && (this.locked & (1 << reg)) === 0));
  }

  set(reg: Reg): void {
    this.live |= 1 << reg;
  }

  /** Registers for pointers; they hold no number afterwards, unless the piece puts one there. */
  scratch(count: number): Reg[] {
    const free = POINTERS.filter((reg) => (this.locked & (1 << reg)) === 0);
    const taken: Reg[] = [];
    for (let i = 0; i < count; i++) {
      const dead = free.filter((reg) => !this.isLive(reg));
      const reg = this.pick(dead.length > 0 && this.chance(70) ? dead : free);
      free.splice(free.indexOf(reg), 1);
      taken.push(reg);
    }
    for (const reg of taken) this.live &= ~(1 << reg);
    return taken;
  }

  /** Before arguments are put into r1 to r5: operands for them come from elsewhere. */
  calling(): void {
    this.live &= ~CALLER_SAVED;
  }

  /** After a call r1 to r5 hold nothing, and r0 a number. */
  called(): void {
    this.live = (this.live & ~CALLER_SAVED) | 1;
  }

  /** What holds on both ways around a part of the program. */
  join(before: number): void {
    this.live &= before;
  }

  /** An offset from r10 of `size` bytes that hold numbers, aligned to `align`. */
  slot(size: number, align: number): number {
    return -this.stack + this.rnd(Math.floor((this.stack - size) / align) + 1) * align;
  }

  /** reg = map. */
  map(reg: Reg, name: MapName): Items {
    this.draft.used.add(name);
    return asm.ldMapFd(reg, mapNames.indexOf(name));
  }

  /** reg = address of a byte of the map's first value. */
  value(reg: Reg, name: MapName, offset: number): Items {
    this.draft.used.add(name);
    return asm.ldMapValue(reg, mapNames.indexOf(name), offset);
  }

  /** reg = address of `size` bytes that hold numbers, for a helper to read; to be written as well with `write`. */
  memory(reg: Reg, size: number, write = false): Items {
    const { base } = this;
    const room = typeof base === "object" ? base.memory : 0;
    const where = this.rnd(10);
    if (where < 2 && room >= size)
      return [asm.mov64(reg, 6), asm.alu64Imm("add", reg, this.rnd((room - size) / 4 + 1) * 4)];
    if ((where < 5 && !write) || this.stack < size)
      return this.value(reg, "globals", this.rnd((maps.globals.valueSize - size) / 4 + 1) * 4);
    return [asm.mov64(reg, 10), asm.alu64Imm("add", reg, this.slot(size, 4))];
  }

  /** reg = a number: one of another register's, or an immediate. */
  number(reg: Reg, among: readonly number[]): Items {
    return this.chance(80) ? [asm.mov64Imm(reg, this.pick(among))] : [asm.mov64(reg, this.source())];
  }
}
