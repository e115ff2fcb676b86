/** `runMany` against `run` for each packet: every test program with packets must do the same, on the same maps. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseObject } from "../../src/elf/index.ts";
import {
  BpfError,
  type EmbeddedBpfHost,
  type LoadedObject,
  PacketList,
  type Program,
  type RunEvent,
  RunFault,
} from "../../src/index.ts";
import { readPcap } from "../../src/pcap/index.ts";
import type { ProgramCase } from "./cases.ts";
import { allContents } from "./contents.ts";
import { casesOf, createHostOf, load, programNames, readProgram } from "./harness.ts";

const capture = readFileSync(join(import.meta.dirname, "../../examples/traffic/traffic.pcap"));
const captured = readPcap(capture).packets.slice(0, 12);
/** Of all lengths that a batch takes and some that it does not; the last two are refused. */
const lengths = [14, 15, 33, 60, 64, 511, 512, 513, 1514, 3520, 3521, 13, 0];
const common = [...captured.map(({ data }) => data), ...lengths.map((length) => new Uint8Array(length).fill(length))];

interface Done {
  readonly retvals: readonly number[];
  readonly data: readonly string[];
  readonly events: readonly (readonly [number, RunEvent])[];
  readonly failures: readonly unknown[];
  readonly maps: Readonly<Record<string, readonly string[]>>;
}

const textOf = (data: Uint8Array): string => Buffer.from(data).toString("base64");
const failureOf = (packet: number, error: BpfError): unknown => ({
  packet,
  message: error.message,
  stopped: error instanceof RunFault ? error.stopped : undefined,
  events: error instanceof RunFault ? error.events : undefined,
});

function oneByOne(program: Program, packets: readonly Uint8Array[]): Omit<Done, "maps"> {
  const done = {
    retvals: [] as number[],
    data: [] as string[],
    events: [] as [number, RunEvent][],
    failures: [] as unknown[],
  };
  for (const [packet, data] of packets.entries()) {
    try {
      const result = program.run({ data });
      done.retvals.push(result.retval);
      done.data.push(textOf(result.data!));
      done.events.push(...result.events.map((event): [number, RunEvent] => [packet, event]));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      done.retvals.push(0);
      done.data.push("");
      done.failures.push(failureOf(packet, error));
    }
  }
  return done;
}

function many(program: Program, packets: Iterable<Uint8Array>): Omit<Done, "maps"> {
  const result = program.runMany(packets, { packets: true });
  expect([...result.counts.values()].reduce((a, b) => a + b, 0)).toBe(result.count - result.failures.length);
  return {
    retvals: [...result.retvals],
    data: [...result.packets!].map(textOf),
    events: result.events.map(({ packet, event }) => [packet, event]),
    failures: result.failures.map(({ packet, error }) => failureOf(packet, error)),
  };
}

function on(name: string, each: ProgramCase, runs: (program: Program) => Omit<Done, "maps">): Done {
  const host: EmbeddedBpfHost = createHostOf(each, { cpus: 2, shared: false });
  const object: LoadedObject = load(host, name, readProgram(name), each);
  try {
    each.before?.({ host, object, sleep: (milliseconds) => host.advance(BigInt(milliseconds) * 1_000_000n) });
    return { ...runs(object.program(each.program)), maps: allContents(host, object, {}) };
  } finally {
    host.close();
  }
}

/** Of each object the first program with packets; of types that run one by one as well, one of each. */
const seenTypes = new Set<string>();
for (const name of programNames) {
  const types = new Map(
    parseObject(readProgram(name), { name }).programs.map((p) => [p.name, p.section.split("/")[0]!]),
  );
  let done = false;
  for (const each of await casesOf(name)) {
    const own = (each.runs ?? []).flatMap(({ data, ctx }) => (data === undefined || ctx !== undefined ? [] : [data]));
    const type = types.get(each.program)!;
    if (done || own.length === 0 || seenTypes.has(type)) continue;
    done = true;
    if (!type.startsWith("xdp")) seenTypes.add(type);
    test(`${name}: ${each.program}`, () => {
      // Twice, as what the first time left in maps, headroom and stack must not matter.
      const packets = [...own, ...common, ...own];
      const one = on(name, each, (program) => oneByOne(program, packets));
      expect(on(name, each, (program) => many(program, PacketList.of(packets)))).toEqual(one);
    });
  }
}
