/**
 * The example on both hosts: the same packets through the same program must leave the same maps, byte for byte. Per-CPU
 * values are summed and times are left out. cli.test.ts runs it as a program.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { kernelHost, pinThread } from "../kernel.ts";
import { bpfmaps } from "./in_process.ts";

interface Report {
  readonly host: string;
  readonly engine: string;
  readonly program: unknown;
  readonly runs: number;
  readonly returns: Readonly<Record<string, number>>;
  readonly dataOut: string;
  readonly maps: readonly {
    readonly name: string;
    readonly type: string;
    readonly entries: readonly { readonly key?: string; readonly value: string | readonly string[] }[];
  }[];
}

const root = join(import.meta.dirname, "../..");
const example = (file: string): string => join(root, "examples/traffic", file);

/** Bytes of values that are times: they differ from run to run. */
const times: Readonly<Record<string, readonly [number, number]>> = {
  flows: [16, 32],
  last_rejected: [0, 8],
  new_flows: [40, 48],
};

async function run(...more: string[]): Promise<Report> {
  const args = ["run", example("traffic.bpf.o"), "--pcap", example("traffic.pcap"), "--fill", example("networks.json")];
  const { code, out, err } = await bpfmaps(...args, "--json", ...more);
  expect([code, err]).toEqual([0, ""]);
  return JSON.parse(out) as Report;
}

/** A value as it is compared: per-CPU slots added up as u64 words, times blanked. */
function comparable(name: string, value: string | readonly string[]): unknown {
  if (typeof value !== "string") {
    const words = value.map((hex) => hex.match(/.{16}/g)!.map((w) => Buffer.from(w, "hex").readBigUInt64LE()));
    return words[0]!.map((_, i) => words.reduce((sum, w) => sum + w[i]!, 0n).toString());
  }
  const [from, to] = times[name] ?? [0, 0];
  return value.slice(0, from * 2) + "--".repeat(to - from) + value.slice(to * 2);
}

function mapsOf(report: Report): unknown {
  return report.maps.map(({ name, type, entries }) => ({
    name,
    type,
    entries: entries.map(({ key, value }) => ({ key, value: comparable(name, value) })),
  }));
}

const kernelSide = kernelHost();
const cpus = kernelSide?.possibleCpus;
kernelSide?.dispose();

const engines = ["jit", "interp"] as const;

test.each(engines)("the embedded host, %s: counts that were checked against tcpdump", async (engine) => {
  const report = await run("--engine", engine);
  expect(report).toMatchObject({ host: "embedded", engine, runs: 1465, returns: { 1: 21, 2: 1419, 3: 25 } });
  const sizes = Object.fromEntries(report.maps.map((m) => [m.name, m.entries.length]));
  expect(sizes).toMatchObject({
    flows: 398,
    protocols: 10,
    networks: 12,
    new_flows: 398,
    last_dns: 32,
    last_rejected: 21,
  });
});

test.runIf(cpus !== undefined)(
  "embedded and kernel: equal return values, packet, and all maps byte for byte",
  async () => {
    // The LRU evicts by CPU: what it keeps can be compared when all runs are on one.
    pinThread(0);
    const kernel = await run("--host", "kernel").finally(() => pinThread(-1));
    for (const engine of engines) {
      const embedded = await run("--cpus", String(cpus), "--engine", engine);
      expect(embedded.returns, engine).toEqual(kernel.returns);
      expect(embedded.dataOut, engine).toBe(kernel.dataOut);
      expect(mapsOf(embedded), engine).toEqual(mapsOf(kernel));
    }
    const entries = kernel.maps.reduce((n, m) => n + m.entries.length, 0);
    console.log(
      `traffic: ${kernel.runs} runs and ${entries} entries of ${kernel.maps.length} maps compared with the kernel`,
    );
  },
);

test("--repeat runs each packet N times, and counts them", async () => {
  const report = await run("--repeat", "2");
  expect(report.runs).toBe(2930);
  expect(Object.values(report.returns).reduce((a, b) => a + b, 0)).toBe(2930);
});
