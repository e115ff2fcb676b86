/** Runs one case on one host, and says what came of it. */
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import {
  BpfError,
  type BpfHost,
  EmbeddedBpfHost,
  type EmbeddedOptions,
  type LoadedObject,
  type RunResult,
} from "../../src/index.ts";
import { createTestEmbedded } from "../compiled.ts";
import type { CaseScene, Expected, ProgramCase } from "./cases.ts";
import { allContents, contents } from "./contents.ts";

/** Programs of this folder that have cases. */
export const programNames: readonly string[] = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".cases.ts"))
  .map((file) => file.slice(0, -".cases.ts".length))
  .sort();

/** An object's bytes: this folder's, or another build's. */
export function readProgram(name: string, folder: string = import.meta.dirname): Uint8Array {
  return new Uint8Array(readFileSync(`${folder}/${name}.bpf.o`));
}

export async function casesOf(name: string): Promise<readonly ProgramCase[]> {
  const { cases } = (await import(`./${name}.cases.ts`)) as { readonly cases: readonly ProgramCase[] };
  return cases;
}

/** A host is made for each case: what it reserves counts for the garbage collector, which is to let tests be. */
const MEMORY = 4 * 1024 * 1024;

/** The embedded host that a case wants. Types of a kernel need room. */
export function createHostOf({ kernelBtf, memory = MEMORY }: ProgramCase, options: EmbeddedOptions): EmbeddedBpfHost {
  const types = kernelBtf === undefined ? { memory } : { memory: 8 * MEMORY, kernelBtf };
  return createTestEmbedded({ seed: 1, clock: "virtual", ...types, ...options });
}

/** What one case left on one host. */
export interface Outcome {
  readonly retvals: readonly number[];
  readonly data: readonly (Uint8Array | undefined)[];
  readonly ctx: readonly (Uint8Array | undefined)[];
  readonly errno: number | undefined;
  readonly maps: Readonly<Record<string, readonly string[]>>;
}

export function load(host: BpfHost, name: string, bytes: Uint8Array, each: ProgramCase): LoadedObject {
  return host.loadObject(bytes, { name, ...each.load });
}

function sceneOf(host: BpfHost, object: LoadedObject): CaseScene {
  const sleep = (milliseconds: number, done: () => boolean = () => true): void => {
    if (host instanceof EmbeddedBpfHost) {
      host.advance(BigInt(milliseconds) * 1_000_000n);
      return;
    }
    const word = new Int32Array(new SharedArrayBuffer(4));
    Atomics.wait(word, 0, 0, milliseconds);
    for (let more = 0; more < 500 && !done(); more++) Atomics.wait(word, 0, 0, 10);
  };
  return { host, object, sleep };
}

/** Loads, runs, looks at what is expected, and gives back everything for a comparison between hosts. */
export function play(host: BpfHost, name: string, bytes: Uint8Array, each: ProgramCase): Outcome {
  const object = load(host, name, bytes, each);
  try {
    const scene = sceneOf(host, object);
    each.before?.(scene);
    const { results, errno } = runAll(object, each);
    each.expect.after?.(scene, results);
    judge(object, results, errno, each.expect);
    // What `judge` has emptied is empty on all hosts then, and was compared with what was expected.
    const maps = allContents(host, object, each.skip ?? {});
    return {
      retvals: results.map((result) => result.retval),
      data: results.map((result) => result.data),
      ctx: results.map((result) => result.ctx),
      errno,
      maps,
    };
  } finally {
    object.close();
  }
}

function runAll(object: LoadedObject, each: ProgramCase): { results: RunResult[]; errno: number | undefined } {
  const program = object.program(each.program);
  const results: RunResult[] = [];
  try {
    for (const options of each.runs ?? [{}]) results.push(program.run(options));
    return { results, errno: undefined };
  } catch (error) {
    if (!(error instanceof BpfError) || each.expect.errno === undefined) throw error;
    return { results, errno: error.errno };
  }
}

/** Elements of keyed maps come in no order. */
function sorted(values: readonly unknown[]): readonly unknown[] {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString().padStart(20, "0") : v));
  return values.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

const ordered: ReadonlySet<string> = new Set(["array", "percpu_array", "queue", "stack", "ringbuf"]);

function judge(object: LoadedObject, results: readonly RunResult[], errno: number | undefined, wanted: Expected): void {
  const { retval, data, ctx, maps = {}, globals = {} } = wanted;
  expect(errno, "errno of the last run").toBe(wanted.errno);
  const last = results.at(-1);
  if (retval !== undefined) {
    const all = results.map((result) => result.retval);
    expect(all, "return values").toEqual(typeof retval === "number" ? all.map(() => retval) : retval);
  }
  if (data !== undefined) expect(last?.data, "packet").toEqual(data);
  if (ctx !== undefined) expect(last?.ctx, "context").toEqual(ctx);
  for (const [name, value] of Object.entries(globals))
    expect(object.globals.get(name), `variable ${name}`).toEqual(value);
  for (const [name, values] of Object.entries(maps)) {
    const map = object.map(name);
    const found = contents(map);
    if (ordered.has(map.type)) expect(found, `map ${name}`).toEqual(values);
    else expect(sorted(found), `map ${name}`).toEqual(sorted(values));
  }
}
