/** Bytes of an element: embedded beside the kernel's memlock, with all elements in. */
import { readFileSync } from "node:fs";
import { createEmbeddedHost, type EmbeddedHost } from "../src/host/embedded.ts";
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { kernelOrNone } from "./hosts.ts";
import { indices, type KeySet, randomKeys } from "./keys.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";
import { routeTable } from "./routes.ts";

const ENTRIES = 100_000;

interface Case {
  readonly name: string;
  readonly type: number;
  readonly keys: KeySet;
  readonly valueSize: number;
  readonly flags?: number;
  readonly percpu?: boolean;
  /** The budget holds for it. */
  readonly hash?: boolean;
}

const key4 = randomKeys(ENTRIES, 1);
const key8 = randomKeys(ENTRIES, 2);
const key16 = randomKeys(ENTRIES, 4);
const NO_PREALLOC = { flags: u.BPF_F_NO_PREALLOC };
const cases: readonly Case[] = [
  { name: "HASH 4/8", type: u.BPF_MAP_TYPE_HASH, keys: key4, valueSize: 8, hash: true },
  { name: "HASH 8/8", type: u.BPF_MAP_TYPE_HASH, keys: key8, valueSize: 8, hash: true },
  { name: "HASH 16/64", type: u.BPF_MAP_TYPE_HASH, keys: key16, valueSize: 64, hash: true },
  { name: "HASH 4/8, no prealloc", type: u.BPF_MAP_TYPE_HASH, keys: key4, valueSize: 8, hash: true, ...NO_PREALLOC },
  {
    name: "HASH 16/64, no prealloc",
    type: u.BPF_MAP_TYPE_HASH,
    keys: key16,
    valueSize: 64,
    hash: true,
    ...NO_PREALLOC,
  },
  { name: "PERCPU_HASH 4/8", type: u.BPF_MAP_TYPE_PERCPU_HASH, keys: key4, valueSize: 8, percpu: true, hash: true },
  { name: "LRU_HASH 4/8", type: u.BPF_MAP_TYPE_LRU_HASH, keys: key4, valueSize: 8, hash: true },
  { name: "ARRAY 4/8", type: u.BPF_MAP_TYPE_ARRAY, keys: indices(ENTRIES), valueSize: 8 },
  { name: "PERCPU_ARRAY 4/8", type: u.BPF_MAP_TYPE_PERCPU_ARRAY, keys: indices(ENTRIES), valueSize: 8, percpu: true },
  {
    name: "LPM_TRIE, IPv4 routes, 4",
    type: u.BPF_MAP_TYPE_LPM_TRIE,
    keys: routeTable("IPv4", ENTRIES).routes,
    valueSize: 4,
    ...NO_PREALLOC,
  },
  {
    name: "LPM_TRIE, IPv6 routes, 4",
    type: u.BPF_MAP_TYPE_LPM_TRIE,
    keys: routeTable("IPv6", ENTRIES).routes,
    valueSize: 4,
    ...NO_PREALLOC,
  },
];

/** What /proc tells of a map's fd of this process. */
export function memlock(fd: number): number {
  return Number(/^memlock:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1]);
}

function embeddedBytes(host: EmbeddedHost, shape: Case): number {
  const before = host.memory();
  const map = rawMap(host, shape);
  const after = host.memory();
  // Blocks of the slabs are counted by the block, areas by the granule.
  const areas = host.mapBytes(map.fd);
  map.close();
  return areas + after.metadata - before.metadata;
}

function rawMap(host: Host, { name, type, valueSize, flags = 0, keys, percpu = false }: Case): RawMap {
  return new RawMap(name, host, { type, valueSize, flags, maxEntries: ENTRIES }, keys, percpu);
}

export function benchMemory(report: Report): void {
  const kernel = kernelOrNone((line) => report.note(line));
  const host = createEmbeddedHost({ cpus: kernel?.possibleCpus ?? 1, seed: 1, memory: 256 << 20 });
  const rows = cases.map((shape) => {
    const own = embeddedBytes(host, shape) / ENTRIES;
    const map = kernel && rawMap(kernel, shape);
    const theirs = map && memlock(map.fd) / ENTRIES;
    map?.close();
    if (theirs !== undefined && shape.hash === true) {
      report.budget({
        what: `bytes of an element, ${shape.name}, against the kernel's memlock`,
        limit: 1,
        got: own / theirs,
        unit: "x",
      });
    }
    const cell = (bytes: number | undefined): string => (bytes === undefined ? "" : bytes.toFixed(1));
    return [shape.name, cell(own), cell(theirs), theirs === undefined ? "" : (own / theirs).toFixed(2)];
  });
  report.note(
    "Bytes of an element of maps that hold as many as max_entries allows (100,000), all that a map takes divided by that.",
  );
  report.table({
    title: "key/value bytes",
    columns: ["", "embedded", "kernel, memlock", "x memlock"],
    rows,
  });
  host.dispose();
  kernel?.dispose();
}
