/** One random program on two worlds: what differs, and which parts of it are needed to show it. */

import type { AsmItem } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import { ETIMEDOUT } from "../../../src/uapi/index.ts";
import { randomOf } from "../../random.ts";
import { insnsOf, type RandomProgram, reachable } from "./generate.ts";
import type { MapName } from "./maps.ts";
import { type Run, randomPacket, type World } from "./world.ts";

/** Packets that each program runs on, one after the other on the same maps. */
const RUNS = 3;

/** What came of a program: `refused` by the kernel, `same`, or text that says what differs. */
export type Verdict = { readonly kind: "same" | "refused" } | { readonly kind: "different"; readonly what: string };

/** A loop that has lost its end: the kernel stops it after a time. */
const ENDLESS = `embedded ${-ETIMEDOUT}`;

const SAME: Verdict = { kind: "same" };
const REFUSED: Verdict = { kind: "refused" };

function different(what: string): Verdict {
  return { kind: "different", what };
}

/** `input` gives what maps and packets start as. */
export function compareProgram(program: RandomProgram, embedded: World, kernel: World, input: number): Verdict {
  const { used } = program;
  for (const world of [embedded, kernel]) world.reset(used, randomOf(input));
  const there = kernel.load(program);
  if (there < 0) return REFUSED;
  const here = embedded.load(program);
  if (here < 0) {
    kernel.close(there);
    return different(`the kernel takes it, ${embedded.name} answers ${here}: ${embedded.log(program).trim()}`);
  }
  const verdict = compareRuns(embedded, here, kernel, there, used, input);
  embedded.close(here);
  kernel.close(there);
  return verdict;
}

function compareRuns(
  embedded: World,
  here: number,
  kernel: World,
  there: number,
  used: ReadonlySet<MapName>,
  input: number,
): Verdict {
  const rnd = randomOf(input ^ 0x5bd1_e995);
  let what: string | undefined;
  for (let n = 0; n < RUNS && what === undefined; n++) {
    const packet = randomPacket(rnd);
    const found = embedded.run(here, packet);
    const wanted = kernel.run(there, packet);
    if (!sameRun(found, wanted)) what = `run ${n + 1}: ${showRuns(found, wanted)}`;
  }
  const [found, wanted] = [embedded.contents(used), kernel.contents(used)];
  if (what === undefined && !sameBytes(found, wanted))
    what = `maps ${[...used].join(", ")}: ${firstDifference(found, wanted)}`;
  return what === undefined ? SAME : different(what);
}

function sameRun(a: Run, b: Run): boolean {
  return a.ret === b.ret && a.retval === b.retval && sameBytes(a.data, b.data);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function firstDifference(found: Uint8Array, wanted: Uint8Array): string {
  let at = 0;
  while (at < found.length && found[at] === wanted[at]) at++;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at & ~7, (at & ~7) + 16)).toString("hex");
  return `${found.length} and ${wanted.length} bytes, at ${at & ~7} ${hex(found)}, on the kernel ${hex(wanted)}`;
}

function showRuns(found: Run, wanted: Run): string {
  const numbers = ({ ret, retval, data }: Run): string =>
    `${ret}, retval 0x${retval.toString(16)}, ${data.length} bytes`;
  const bytes = sameBytes(found.data, wanted.data) ? "" : `; packet: ${firstDifference(found.data, wanted.data)}`;
  return `embedded ${numbers(found)}; kernel ${numbers(wanted)}${bytes}`;
}

/** What the kernel refuses must do no harm here, whatever it does. */
export function runRefused(program: RandomProgram, scratch: World, input: number): void {
  scratch.reset(program.used, randomOf(input));
  const fd = scratch.load(program);
  if (fd < 0) return;
  scratch.run(fd, randomPacket(randomOf(input)));
  scratch.contents(program.used);
  scratch.close(fd);
}

/** Leaves out what is not needed for a difference: whole parts first, then single instructions. */
export function shrinkProgram(program: RandomProgram, embedded: World, kernel: World, input: number): RandomProgram {
  const differs = (candidate: RandomProgram): boolean => {
    try {
      const verdict = compareProgram(candidate, embedded, kernel, input);
      return verdict.kind === "different" && !verdict.what.includes(ENDLESS);
    } catch {
      // A label that is gone.
      return false;
    }
  };
  let best = program;
  for (let again = true; again; ) {
    again = false;
    for (const candidate of shorter(best)) {
      if (!differs(candidate)) continue;
      best = candidate;
      again = true;
      break;
    }
  }
  return best;
}

/** The program without each of its parts, the biggest ones first. What comes before and after a function's body stays. */
function* shorter(program: RandomProgram): Generator<RandomProgram> {
  for (const main of withoutPart(program.main)) yield { ...program, main };
  for (const callee of reachable(program.main, program.callees)) {
    for (const items of withoutPart(callee.items)) {
      yield { ...program, callees: program.callees.map((each) => (each === callee ? { ...callee, items } : each)) };
    }
  }
}

function* withoutPart([start, body, end]: readonly AsmItem[]): Generator<AsmItem[]> {
  for (const items of without(body as AsmItem[])) yield [start!, items, end!];
}

/**
 * Half of them, a quarter, ... one; then what is inside. Whole pieces only: with a single instruction less a piece may leave
 * a pointer behind, or read what was never written, which is different on any two hosts.
 */
function* without(items: readonly AsmItem[]): Generator<AsmItem[]> {
  for (let count = Math.ceil(items.length / 2); count > 0; count = count === 1 ? 0 : Math.ceil(count / 2)) {
    for (let i = 0; i < items.length; i += count) {
      if (items.slice(i, i + count).every(Array.isArray)) yield items.toSpliced(i, count);
    }
  }
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (!Array.isArray(item)) continue;
    for (const inner of without(item)) yield items.toSpliced(i, 1, inner);
  }
}

export function showProgram(program: RandomProgram): string {
  return asm.disassembleAll(insnsOf(program)).join("\n");
}
