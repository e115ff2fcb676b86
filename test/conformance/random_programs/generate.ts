/**
 * Random programs that the kernel takes, most of them: arithmetic on numbers, memory that was checked, helpers with
 * arguments as they must be, loops that end, functions and callbacks. The same seed and number give the same program.
 */

import type { AsmItem } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { randomOf } from "../../random.ts";
import { alu, condition, fill } from "./arithmetic.ts";
import { mapPiece } from "./map_pieces.ts";
import { type MapName, maps } from "./maps.ts";
import { baseAccess, globalAccess, spill, stackAccess } from "./memory.ts";
import { contextField, packetAccess, packetHelper, tailCall } from "./packet_pieces.ts";
import { packetLoad, skbHelper } from "./skb_pieces.ts";
import { type Base, type Callee, Draft, type Items, type Kind, SCALARS, Writer } from "./writer.ts";

export interface RandomProgram {
  readonly kind: Kind;
  readonly main: Items;
  readonly callees: readonly Callee[];
  readonly used: ReadonlySet<MapName>;
}

/** How many turns of loops, one in the other, the verifier is made to follow. */
const TURNS_MAX = 24;
/** How many it may have to follow in a loop, or a callback, whose turns it does not know. */
const LONG_LOOP = 8;
const CALLEES_MAX = 4;
const LEVELS_MAX = 3;

const MAIN_STACK = 64;
const CALLEE_STACK = 32;
/** Bytes of the caller's stack that a function is given. */
const ARGUMENT = 16;

/** Number `index` of a seed. */
export function generateProgram(seed: number, index: number, kinds: readonly Kind[]): RandomProgram {
  const rnd = randomOf(seed * 0x9e37_79b1 + index * 0x85eb_ca6b);
  const draft = new Draft(kinds[rnd(kinds.length)]!, rnd);
  const w = new Writer(draft, "ctx", MAIN_STACK, 0, 1);
  const main = [prologue(w), pieces(w, 3 + w.rnd(14)), epilogue(w)];
  return { kind: draft.kind, main, callees: draft.callees, used: draft.used };
}

/** The instructions, with the functions that are still called. A map's number stands for its fd. */
export function insnsOf({ main, callees }: RandomProgram): asm.Insn[] {
  return asm.assemble([main, ...reachable(main, callees).map(({ label, items }) => [asm.label(label), items])]);
}

/** Where each function begins, and of which type it is. */
export function functionsOf({ main, callees }: RandomProgram): { readonly at: number; readonly type: string }[] {
  let at = sizeOf(main);
  const functions = [{ at: 0, type: "main" }];
  for (const { items, type } of reachable(main, callees)) {
    functions.push({ at, type });
    at += sizeOf(items);
  }
  return functions;
}

function sizeOf(item: AsmItem): number {
  if (Array.isArray(item)) return item.reduce((sum: number, each: AsmItem) => sum + sizeOf(each), 0);
  return "at" in item ? 0 : 1;
}

/** In the order of their labels in the program. */
export function reachable(main: Items, callees: readonly Callee[]): Callee[] {
  const found = new Set<Callee>();
  const visit = (item: AsmItem): void => {
    if (Array.isArray(item)) for (const each of item) visit(each);
    else if ("label" in item) {
      const callee = callees.find((each) => each.label === item.label);
      if (callee === undefined || found.has(callee)) return;
      found.add(callee);
      visit(callee.items);
    }
  };
  visit(main);
  return [...found];
}

function prologue(w: Writer): Items {
  const items: Items = [asm.mov64(6, 1)];
  const filled = (at: number): AsmItem => asm.st("u64", 10, at, w.imm());
  for (let at = -w.stack; at < 0; at += 8) items.push(filled(at));
  items.push(fill(w, 0));
  return [...items, loadGlobals(w)];
}

/** Numbers that the verifier knows nothing about. */
function loadGlobals(w: Writer): Items {
  const items = w.value(1, "globals", 0);
  for (const reg of [2, 3, 4, 5, 7, 8, 9] as const) {
    if (!w.chance(60)) continue;
    const size = w.pick(["u64", "u64", "u64", "u32", "s32", "s8"] as const);
    items.push(asm.ldx(size, reg, 1, w.rnd(maps.globals.valueSize / 8) * 8));
    w.set(reg);
  }
  return items;
}

/** What main is compared by: all registers and the stack go into `results`, and r0 back to the caller. */
function epilogue(w: Writer): Items {
  const items: Items = [];
  let at = -MAIN_STACK;
  for (const reg of [0, 1, 2, 3, 4, 5, 7, 8, 9] as const) {
    at -= 8;
    items.push(w.isLive(reg) ? asm.stx("u64", 10, reg, at) : asm.st("u64", 10, at, 0));
  }
  at -= 8;
  return [
    ...items,
    asm.st("u64", 10, at, 0),
    ...w.map(1, "results"),
    asm.mov64(2, 10),
    asm.alu64Imm("add", 2, at),
    asm.mov64(3, 2),
    asm.mov64Imm(4, 0),
    asm.call(u.BPF_FUNC_map_update_elem),
    asm.ldx("u64", 0, 10, -MAIN_STACK - 8),
    asm.exit(),
  ];
}

/** Of a function: everything in one number. */
function end(w: Writer): Items {
  const items: Items = [];
  for (const reg of [1, 2, 3, 4, 5, 7, 8, 9] as const) if (w.isLive(reg)) items.push(asm.alu64("xor", 0, reg));
  if (w.callback) items.push(asm.alu64Imm("and", 0, 1));
  return [...items, asm.exit()];
}

function pieces(w: Writer, count: number): Items {
  const items: Items = [];
  for (let i = 0; i < count; i++) items.push(piece(w));
  return items;
}

function piece(w: Writer): Items {
  const kind = w.rnd(100);
  const ctx = w.base === "ctx";
  if (kind < 34) return alu(w);
  if (kind < 40) return stackAccess(w);
  if (kind < 44) return spill(w);
  if (kind < 50) return globalAccess(w);
  if (kind < 60) return w.turns < LONG_LOOP || w.chance(30) ? branch(w) : alu(w);
  if (kind < 65) return loop(w);
  if (kind < 67) return longLoop(w);
  if (kind < 80) return mapPiece(w);
  if (kind < 86) return ctx ? packetAccess(w) : baseAccess(w);
  if (kind < 89) return ctx ? packetHelper(w) : baseAccess(w);
  if (kind < 91) return ctx ? contextField(w) : alu(w);
  if (kind < 94 && ctx && w.draft.kind === "sched_cls")
    return w.chance(30) && w.level === 0 ? packetLoad(w) : skbHelper(w);
  if (kind < 95) return callLocal(w);
  if (kind < 97) return callback(w);
  if (kind < 98) return ctx ? tailCall(w) : alu(w);
  if (kind < 99) return earlyExit(w);
  return spillBase(w);
}

/** A part that is run or not, or one of two. */
function branch(w: Writer): Items {
  const [skip, done] = [w.label(), w.label()];
  const head = condition(w, skip);
  const before = w.live;
  const first = pieces(w, 1 + w.rnd(3));
  if (w.chance(60)) {
    w.join(before);
    return [head, first, asm.label(skip)];
  }
  const after = w.live;
  w.live = before;
  const second = pieces(w, 1 + w.rnd(3));
  w.join(after);
  const jump = w.chance(50) ? asm.ja(done) : asm.jal(done);
  return [head, first, jump, asm.label(skip), second, asm.label(done)];
}

/** A register that calls keep, for a counter. */
function counter(w: Writer): asm.Reg | undefined {
  return ([9, 8, 7] as const).find((reg) => (w.locked & (1 << reg)) === 0);
}

function loop(w: Writer): Items {
  const turns = 2 + w.rnd(4);
  const reg = counter(w);
  if (reg === undefined || w.turns * turns > TURNS_MAX) return alu(w);
  return counted(w, reg, turns, (again) => {
    const up = w.chance(50);
    return up
      ? [asm.mov64Imm(reg, 0), asm.alu64Imm("add", reg, 1), asm.jmpImm("jlt", reg, turns, again)]
      : [asm.mov64Imm(reg, turns), asm.alu64Imm("sub", reg, 1), asm.jmpImm("jne", reg, 0, again)];
  });
}

/** The body with its counter. What runs again finds what the end of the turn before has left. */
function counted(
  w: Writer,
  reg: asm.Reg,
  turns: number,
  write: (again: string) => readonly [AsmItem, AsmItem, AsmItem],
): Items {
  const again = w.label();
  const [start, next, back] = write(again);
  const { locked, turns: outer } = w;
  w.locked |= 1 << reg;
  w.turns *= turns;
  w.calling();
  w.set(reg);
  const before = w.live;
  const body = pieces(w, 1 + w.rnd(turns === LONG_LOOP ? 2 : 3));
  const lost = SCALARS.filter((each) => (before & ~w.live & (1 << each)) !== 0);
  w.locked = locked;
  w.turns = outer;
  return [start, asm.label(again), body, lost.map((each) => fill(w, each)), next, back];
}

/** Many turns, as many as a number says that nobody knows before: the verifier stops to follow where it may go on for ever. */
function longLoop(w: Writer): Items {
  const reg = counter(w);
  if (reg === undefined || w.turns * LONG_LOOP > TURNS_MAX) return alu(w);
  const done = w.label();
  const from = w.operand();
  const before = w.live;
  const items = counted(w, reg, LONG_LOOP, (again) => [
    [asm.mov64(reg, from), asm.alu64Imm("and", reg, w.pick([3, 15, 63]))],
    [asm.alu64Imm("sub", reg, 1), asm.jmpImm("jsle", reg, 0, done)],
    asm.ja(again),
  ]);
  w.join(before | (1 << reg));
  const [start, again, ...rest] = items;
  return [start!, again!, asm.mayGoto(done), ...rest, asm.label(done)];
}

/** Leaves the function. */
function earlyExit(w: Writer): Items {
  const skip = w.label();
  const cut = w.callback ? [asm.alu64Imm("and", 0, 1)] : [];
  return [condition(w, skip), [asm.mov64(0, w.source()), ...cut, asm.exit()], asm.label(skip)];
}

/** r6 goes to the stack, where the verifier must remember what it is. */
function spillBase(w: Writer): Items {
  if (w.base === "number") return alu(w);
  const at = w.slot(8, 8);
  return [
    asm.stx("u64", 10, 6, at),
    asm.mov64Imm(6, w.imm()),
    alu(w),
    asm.ldx("u64", 6, 10, at),
    // A number again, so that no pointer stays.
    asm.st("u64", 10, at, w.imm()),
  ];
}

function newCallee(w: Writer, base: Base, type: Callee["type"]): Callee | undefined {
  const { draft } = w;
  if (
    draft.callees.length >= CALLEES_MAX ||
    w.level >= LEVELS_MAX ||
    w.turns * (type === "static" ? 2 : LONG_LOOP) > TURNS_MAX
  )
    return undefined;
  const callee = { label: draft.label(), items: [], base, level: w.level + 1, type };
  draft.callees.push(callee);
  return callee;
}

/** A function: numbers from its arguments, what it does with them, and everything in one number at the end. */
function writeCallee(w: Writer, callee: Callee, start: Items, args: readonly asm.Reg[]): void {
  const { draft, turns } = w;
  const again = callee.type === "static" ? 1 : LONG_LOOP;
  const inner = new Writer(draft, callee.base, CALLEE_STACK, callee.level, turns * again);
  inner.callback = callee.type !== "static";
  const filled: Items = [];
  for (let at = -CALLEE_STACK; at < 0; at += 8) filled.push(asm.st("u64", 10, at, inner.imm()));
  for (const reg of args) inner.set(reg);
  const zero = fill(inner, 0);
  callee.items.push([...start, filled, zero], pieces(inner, 2 + w.rnd(5)), end(inner));
}

function callLocal(w: Writer): Items {
  const callee = knownCallee(w) ?? staticCallee(w);
  if (callee === undefined) return alu(w);
  w.calling();
  const items: Items = [];
  for (const reg of [2, 3, 4, 5] as const) items.push(asm.mov64(reg, w.source()));
  if (callee.base === "number") items.push(asm.mov64(1, w.source()));
  else if (callee.base === "ctx") items.push(asm.mov64(1, 6));
  else items.push([asm.mov64(1, 10), asm.alu64Imm("add", 1, w.slot(ARGUMENT, 8))]);
  w.called();
  return [...items, asm.callRel(callee.label)];
}

/** One that is there already, and does not call who calls it. */
function knownCallee(w: Writer): Callee | undefined {
  if (w.turns * 2 > TURNS_MAX || w.chance(60)) return undefined;
  const fits = ({ type, level, base }: Callee): boolean =>
    type === "static" && level > w.level && (base !== "ctx" || w.base === "ctx");
  const known = w.draft.callees.filter(fits);
  return known.length > 0 ? w.pick(known) : undefined;
}

function staticCallee(w: Writer): Callee | undefined {
  const base = w.base === "ctx" && w.chance(40) ? "ctx" : w.chance(60) ? { memory: ARGUMENT } : "number";
  const callee = newCallee(w, base, "static");
  if (callee === undefined) return undefined;
  if (base === "number") writeCallee(w, callee, [], [1, 2, 3, 4, 5]);
  else writeCallee(w, callee, [asm.mov64(6, 1)], [2, 3, 4, 5]);
  return callee;
}

const WALKED = ["array", "hash", "percpu_array", "percpu_hash"] as const;

/**
 * r1 = how often bpf_loop is to go round: few times, or too often. Not 0 as an immediate: the kernel then takes the
 * function away, cannot find it, and calls that a bug of its verifier.
 */
function turns(w: Writer): Items {
  if (w.chance(50)) return [asm.mov64Imm(1, w.pick([1, 2, 5, 9, 0x80_0001]))];
  return w.chance(10) ? asm.ldImm64(1, 0x1_0000_0003n) : [asm.mov64(1, w.source()), asm.alu64Imm("and", 1, 15)];
}

/** bpf_loop, or bpf_for_each_map_elem. */
function callback(w: Writer): Items {
  const name = w.pick(WALKED);
  const loops = w.chance(50);
  const memory = loops ? ARGUMENT : maps[name].valueSize;
  const callee = newCallee(w, { memory }, loops ? "loop" : "element");
  if (callee === undefined) return alu(w);
  if (loops) writeCallee(w, callee, [asm.mov64(6, 2)], [1]);
  else writeCallee(w, callee, [asm.mov64(6, 3)], []);
  w.calling();
  const context = [asm.mov64(3, 10), asm.alu64Imm("add", 3, w.slot(ARGUMENT, 8))];
  const first = loops ? turns(w) : w.map(1, name);
  w.called();
  return [
    ...first,
    asm.ldFunc(2, callee.label),
    ...context,
    asm.mov64Imm(4, w.pick([0, 0, 0, 0, 1])),
    asm.call(loops ? u.BPF_FUNC_loop : u.BPF_FUNC_for_each_map_elem),
  ];
}
