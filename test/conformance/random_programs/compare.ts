/** One random program on both engines and the kernel: what differs, and which parts of it are needed to show it. */

import type { AsmItem } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import type { Engine } from "../../../src/kern/compiled.ts";
import { ETIMEDOUT } from "../../../src/uapi/index.ts";
import { mayFallBack } from "../../compiled.ts";
import { randomOf } from "../../random.ts";
import { insnsOf, type RandomProgram, reachable } from "./generate.ts";
import { type Run, randomPacket, type World } from "./world.ts";

/** Packets that each program runs on, one after the other on the same maps. */
const RUNS = 3;

/** The embedded hosts that a program runs on: one of each engine. */
export type EngineWorlds = Readonly<Record<Engine, World>>;

/** What came of a program: `refused` by the kernel, `same`, or text that says what differs. */
export type Verdict =
  | { readonly kind: "refused" }
  /** `fellBack`: why it was interpreted on the host that compiles; undefined: it was not. */
  | { readonly kind: "same"; readonly fellBack: string | undefined }
  /** `endless`: a loop that has lost its end; the kernel stops it after a time. */
  | { readonly kind: "different"; readonly what: string; readonly endless: boolean };

/** All that a program leaves. */
interface Left {
  readonly runs: readonly Run[];
  readonly maps: Uint8Array;
}

/** `input` gives what maps and packets start as. */
export function compareProgram(program: RandomProgram, embedded: EngineWorlds, kernel: World, input: number): Verdict {
  const wanted = leftBy(program, kernel, input);
  if (typeof wanted === "number") return { kind: "refused" };
  const differences: string[] = [];
  let [endless, fellBack]: [boolean, string | undefined] = [false, undefined];
  for (const engine of ["jit", "interp"] as const) {
    const world = embedded[engine];
    const found = leftBy(program, world, input);
    if (typeof found === "number") {
      differences.push(`the kernel takes it, ${world.name} answers ${found}: ${world.log(program).trim()}`);
      continue;
    }
    endless ||= found.runs.some(({ ret }) => ret === -ETIMEDOUT);
    const other = found.runs.find(({ ranBy }) => ranBy?.engine !== engine)?.ranBy;
    if (other !== undefined) fellBack = other.why ?? `by ${other.engine}`;
    if (fellBack !== undefined && !mayFallBack(fellBack))
      differences.push(`${world.name} does not run it: ${fellBack}`);
    const what = differenceOf(program, world, found, wanted);
    if (what !== undefined) differences.push(what);
  }
  if (differences.length === 0) return { kind: "same", fellBack };
  return { kind: "different", what: differences.join("\n"), endless };
}

/** An errno: the host refuses it. */
function leftBy(program: RandomProgram, world: World, input: number): Left | number {
  world.reset(program.used, randomOf(input));
  const fd = world.load(program);
  if (fd < 0) return fd;
  const rnd = randomOf(input ^ 0x5bd1_e995);
  const runs = Array.from({ length: RUNS }, () => world.run(fd, randomPacket(rnd)));
  const maps = world.contents(program.used);
  world.close(fd);
  return { runs, maps };
}

function differenceOf({ used }: RandomProgram, { name }: World, found: Left, wanted: Left): string | undefined {
  const n = found.runs.findIndex((run, i) => !sameRun(run, wanted.runs[i]!));
  if (n >= 0)
    return `run ${n + 1}: ${name} ${showRun(found.runs[n]!)}; ${differentRun(found.runs[n]!, wanted.runs[n]!)}`;
  if (sameBytes(found.maps, wanted.maps)) return undefined;
  return `maps ${[...used].join(", ")}: ${name} ${firstDifference(found.maps, wanted.maps)}`;
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

function showRun({ ret, retval, data }: Run): string {
  return `${ret}, retval 0x${retval.toString(16)}, ${data.length} bytes`;
}

function differentRun(found: Run, wanted: Run): string {
  const bytes = sameBytes(found.data, wanted.data) ? "" : `; packet: ${firstDifference(found.data, wanted.data)}`;
  return `kernel ${showRun(wanted)}${bytes}`;
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
export function shrinkProgram(
  program: RandomProgram,
  embedded: EngineWorlds,
  kernel: World,
  input: number,
): RandomProgram {
  const differs = (candidate: RandomProgram): boolean => {
    try {
      const verdict = compareProgram(candidate, embedded, kernel, input);
      return verdict.kind === "different" && !verdict.endless;
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
