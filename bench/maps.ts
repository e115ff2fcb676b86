/** Maps from user space: embedded, the kernel through koffi and from C, and `Map` of JavaScript. */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import { type BpfHost, createEmbedded, type Host, openKernel } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { C_LOOP, type CLoops, compileCLoops, type Operation } from "./c_loop.ts";
import { kernelOrNone } from "./hosts.ts";
import { type JsKey, JsMap } from "./js_map.ts";
import { firstOf, indices, type KeySet, randomKeys } from "./keys.ts";
import { measure } from "./measure.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";
import { type Maps, sidesOf } from "./sides.ts";
import { TypedMap } from "./typed_map.ts";

const ENTRIES = 100_000;
const HOT = 1_000;

interface Kind {
  readonly name: string;
  readonly type: number;
  readonly keys: KeySet;
  readonly flags: number;
  readonly percpu: boolean;
  readonly js: readonly JsKey[];
  readonly typed: boolean;
  readonly operations: readonly Operation[];
  readonly maxEntries: number;
}

const elements: readonly Operation[] = ["lookup", "update", "delete+insert"];
const whole: readonly Operation[] = ["iterate", "batch lookup", "batch update", "batch delete+insert"];
/** Arrays: nothing is deleted. */
const arrayOperations: readonly Operation[] = ["lookup", "update", "iterate", "batch lookup", "batch update"];

/** Prefixes of full length, so that the operations are those of the others; routing tables have their own benchmark. */
function fullPrefixes(): KeySet {
  const { words } = randomKeys(ENTRIES, 1);
  return {
    words: Uint32Array.from({ length: ENTRIES * 2 }, (_, i) => (i % 2 === 0 ? 32 : words[i >> 1]!)),
    stride: 2,
    count: ENTRIES,
  };
}

const common = { flags: 0, percpu: false, typed: false, js: [], maxEntries: ENTRIES };
const kinds: readonly Kind[] = [
  {
    ...common,
    name: "HASH, 4-byte key",
    type: u.BPF_MAP_TYPE_HASH,
    keys: randomKeys(ENTRIES, 1),
    js: ["number"],
    typed: true,
    operations: [...elements, ...whole],
  },
  {
    ...common,
    name: "HASH, 8-byte key",
    type: u.BPF_MAP_TYPE_HASH,
    keys: randomKeys(ENTRIES, 2),
    js: ["bigint", "string"],
    typed: true,
    operations: ["lookup", "update"],
  },
  {
    ...common,
    name: "PERCPU_HASH",
    type: u.BPF_MAP_TYPE_PERCPU_HASH,
    keys: randomKeys(ENTRIES, 1),
    percpu: true,
    operations: [...elements, "batch lookup"],
  },
  {
    ...common,
    name: "LRU_HASH",
    type: u.BPF_MAP_TYPE_LRU_HASH,
    keys: randomKeys(ENTRIES, 1),
    // Each CPU keeps some elements to itself: with room for all keys only, some would be evicted.
    maxEntries: 2 * ENTRIES,
    operations: ["lookup", "update", "batch lookup"],
  },
  {
    ...common,
    name: "ARRAY",
    type: u.BPF_MAP_TYPE_ARRAY,
    keys: indices(ENTRIES),
    js: ["number"],
    operations: arrayOperations,
  },
  {
    ...common,
    name: "PERCPU_ARRAY",
    type: u.BPF_MAP_TYPE_PERCPU_ARRAY,
    keys: indices(ENTRIES),
    percpu: true,
    operations: ["lookup", "update", "batch lookup"],
  },
  {
    ...common,
    name: "LPM_TRIE, 32-bit prefixes",
    type: u.BPF_MAP_TYPE_LPM_TRIE,
    keys: fullPrefixes(),
    flags: u.BPF_F_NO_PREALLOC,
    operations: [...elements, "batch lookup"],
  },
];

const EXCLUSIVE = "embedded, exclusive";
const SHARED = "embedded, shared";
const KERNEL = "kernel, raw";
const typed = (name: string): string => `${name.replace(", raw", "")}, typed`;

interface Hosts {
  readonly exclusive: Host;
  readonly shared: Host;
  readonly kernel: Host | undefined;
  readonly typedEmbedded: BpfHost;
  readonly typedKernel: BpfHost | undefined;
  readonly c: CLoops | undefined;
}

function benchKind(report: Report, hosts: Hosts, kind: Kind): void {
  const { type, flags, keys, percpu, maxEntries } = kind;
  const shape = { type, flags, valueSize: 8, maxEntries };
  const maps: Maps = {
    js: kind.js.map((js) => new JsMap(js, keys)),
    raw: [
      new RawMap(EXCLUSIVE, hosts.exclusive, shape, keys, percpu),
      new RawMap(SHARED, hosts.shared, shape, keys, percpu),
    ],
    typed: kind.typed ? new TypedMap(typed(EXCLUSIVE), hosts.typedEmbedded, keys, ENTRIES) : undefined,
    kernel: hosts.kernel && new RawMap(KERNEL, hosts.kernel, shape, keys, percpu),
    typedKernel:
      kind.typed && hosts.typedKernel ? new TypedMap(typed(KERNEL), hosts.typedKernel, keys, ENTRIES) : undefined,
    c: hosts.c,
  };
  for (const operation of kind.operations) {
    // Operations on the whole map have one working set.
    for (const count of whole.includes(operation) ? [ENTRIES] : [HOT, ENTRIES]) {
      const set = count === ENTRIES ? `all ${ENTRIES} keys` : `${count} of ${ENTRIES} keys`;
      const rows = measure(sidesOf(maps, operation, firstOf(keys, count)));
      report.measured(kind.name, `${operation}, ${set}`, rows);
      if (kind.name === "HASH, 4-byte key") budgets(report, operation, set, rows);
    }
  }
  for (const map of [...maps.raw, maps.typed, maps.kernel, maps.typedKernel]) map?.close();
}

function budgets(report: Report, operation: Operation, set: string, rows: Parameters<Report["judge"]>[2]): void {
  const js = "Map<number, number>";
  if (operation === "lookup") {
    report.judge(`embedded raw lookup against Map.get, ${set}`, 1.5, rows, EXCLUSIVE, js);
    report.judge(`embedded typed lookup (struct of two u64) against Map.get, ${set}`, 3, rows, typed(EXCLUSIVE), js);
  }
  if (operation === "lookup" || operation === "update") {
    report.judge(`kernel host raw ${operation} against C, ${set}`, 1.15, rows, KERNEL, C_LOOP);
  }
  if (operation === "batch lookup")
    report.judge("kernel host, batch lookup of 100,000 entries against C", 1.5, rows, KERNEL, C_LOOP);
}

export function benchMaps(report: Report): void {
  const say = (line: string): void => report.note(line);
  const kernel = kernelOrNone(say);
  const cpus = kernel?.possibleCpus ?? 1;
  const hosts: Hosts = {
    exclusive: createEmbeddedHost({ cpus, seed: 1 }),
    shared: createEmbeddedHost({ cpus, seed: 1, shared: true }),
    kernel,
    typedEmbedded: createEmbedded({ cpus, seed: 1 }),
    typedKernel: kernel && openKernel(),
    c: kernel && compileCLoops(say),
  };
  try {
    for (const kind of kinds) benchKind(report, hosts, kind);
  } finally {
    hosts.c?.close();
    for (const host of [hosts.typedEmbedded, hosts.typedKernel]) host?.close();
    for (const host of [hosts.exclusive, hosts.shared, kernel]) host?.dispose();
  }
}
