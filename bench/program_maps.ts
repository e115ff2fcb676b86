/** Operations on maps from programs: a loop of 1,000 of them a run, the same instructions on every host. */
import type { BpfHost } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { firstOf, indices, type KeySet, randomKeys } from "./keys.ts";
import {
  agree,
  deleteAndInsertOp,
  lookupOp,
  MapProgram,
  noOp,
  OPS,
  outputOp,
  type ProgramMap,
  type ProgramOperation,
  peekOp,
  pushOp,
  pushPopOp,
  reserveAndSubmitOp,
  updateOp,
} from "./map_program.ts";
import type { ProgramBench } from "./program_bench.ts";
import { createFd, type MapShape, RawMap } from "./raw_map.ts";
import { routeTable } from "./routes.ts";

const ENTRIES = 100_000;
const HOT = 1_000;
const RECORD = 32;
const RING = 1 << 20;
/** Records, each with its header, that a ring certainly holds. */
const RING_ROOM = Math.floor(RING / (RECORD + 8)) - 1;
/** Of 100 addresses that are looked up in a routing table, these lie under a route. */
const HITS = 90;

/** What an operation may take on the JIT, as a ratio to the kernel's time; without: no budget was set. */
interface Operation {
  readonly name: string;
  readonly op: ProgramOperation;
  readonly limit?: number;
}

const operation = (name: string, op: ProgramOperation, limit?: number): Operation =>
  limit === undefined ? { name, op } : { name, op, limit };
const lookup = (limit?: number): Operation => operation("lookup", lookupOp, limit);
const update = (limit?: number): Operation => operation("update", updateOp, limit);
const replace = (limit?: number): Operation => operation("delete+insert", deleteAndInsertOp, limit);

/** Budgets of design contract 10 and of issue 5. */
const ARRAY = 1.5;
const KEYED = 1;
const LPM = 0.5;
const EVICTING = 0.5;

interface Kind {
  readonly name: string;
  readonly shape: MapShape;
  /** What is in the map before anything is measured; none: it begins empty. */
  readonly filled: KeySet | undefined;
  /** What programs look for, or put in. */
  readonly keys: KeySet;
  /** Bytes of a key in MAP_CREATE. */
  readonly keySize: number;
  readonly percpu: boolean;
  readonly operations: readonly Operation[];
  /** Working sets: so many keys, again and again. */
  readonly counts: readonly number[];
}

function kindsOf(): readonly Kind[] {
  const keys = randomKeys(ENTRIES, 1);
  const hash = { keys, filled: keys, keySize: 4, percpu: false, counts: [HOT, ENTRIES] };
  const order = indices(ENTRIES);
  const array = { ...hash, keys: order, filled: order };
  /** Of a queue or ring one operation is as the other. */
  const keyless = { ...hash, filled: undefined, keySize: 0, counts: [HOT] };
  const shape = { flags: 0, valueSize: 8, maxEntries: ENTRIES };
  const routes = (family: "IPv4" | "IPv6", count: number): Kind => {
    const table = routeTable(family, count);
    const { stride } = table.routes;
    return {
      ...hash,
      name: `LPM_TRIE, ${count} ${family} routes`,
      shape: { type: u.BPF_MAP_TYPE_LPM_TRIE, valueSize: 4, maxEntries: 2 * ENTRIES, flags: u.BPF_F_NO_PREALLOC },
      filled: table.routes,
      keys: table.lookups(ENTRIES, HITS),
      keySize: stride * 4,
      operations: [lookup(LPM)],
    };
  };
  return [
    {
      ...keyless,
      name: "The loop",
      shape: { ...shape, type: u.BPF_MAP_TYPE_ARRAY },
      keySize: 4,
      counts: [HOT, ENTRIES],
      operations: [operation("without an operation", noOp)],
    },
    {
      ...array,
      name: "ARRAY",
      shape: { ...shape, type: u.BPF_MAP_TYPE_ARRAY },
      operations: [lookup(ARRAY), update(ARRAY)],
    },
    {
      ...array,
      name: "PERCPU_ARRAY",
      shape: { ...shape, type: u.BPF_MAP_TYPE_PERCPU_ARRAY },
      percpu: true,
      operations: [lookup()],
    },
    {
      ...hash,
      name: "HASH",
      shape: { ...shape, type: u.BPF_MAP_TYPE_HASH },
      operations: [lookup(KEYED), update(KEYED), replace(KEYED)],
    },
    {
      ...hash,
      name: "PERCPU_HASH",
      shape: { ...shape, type: u.BPF_MAP_TYPE_PERCPU_HASH },
      percpu: true,
      operations: [lookup(KEYED), update(KEYED), replace(KEYED)],
    },
    {
      ...hash,
      name: "LRU_HASH with room",
      // Each CPU keeps some elements to itself: with room for all keys only, some would be evicted.
      shape: { ...shape, type: u.BPF_MAP_TYPE_LRU_HASH, maxEntries: 2 * ENTRIES },
      operations: [lookup(), update()],
    },
    {
      ...hash,
      name: `LRU_HASH of ${ENTRIES / 10}, each update evicts`,
      shape: { ...shape, type: u.BPF_MAP_TYPE_LRU_HASH, maxEntries: ENTRIES / 10 },
      counts: [ENTRIES],
      operations: [update(EVICTING)],
    },
    routes("IPv4", ENTRIES),
    routes("IPv6", ENTRIES / 2),
    {
      ...keyless,
      name: "BLOOM_FILTER, 4-byte values",
      shape: { ...shape, type: u.BPF_MAP_TYPE_BLOOM_FILTER, valueSize: 4 },
      counts: [HOT, ENTRIES],
      // In this order: what is asked for has been put in.
      operations: [operation("push", pushOp, KEYED), operation("peek", peekOp, KEYED)],
    },
    {
      ...keyless,
      name: "QUEUE",
      shape: { ...shape, type: u.BPF_MAP_TYPE_QUEUE },
      operations: [operation("push+pop", pushPopOp, KEYED)],
    },
    {
      ...keyless,
      name: "STACK",
      shape: { ...shape, type: u.BPF_MAP_TYPE_STACK },
      operations: [operation("push+pop", pushPopOp, KEYED)],
    },
    {
      ...keyless,
      name: `RINGBUF, records of ${RECORD} bytes`,
      shape: { type: u.BPF_MAP_TYPE_RINGBUF, flags: 0, valueSize: 0, maxEntries: RING },
      operations: [
        operation("reserve+submit", reserveAndSubmitOp(RECORD), KEYED),
        operation("output", outputOp(RECORD), KEYED),
      ],
    },
  ];
}

interface OpenMap extends ProgramMap {
  close(): void;
}

/** The consumer of a ring that reads nothing, and says that it has read all. */
function emptying(name: string, host: BpfHost, fd: number): NonNullable<ProgramMap["emptying"]> {
  const length = host.pageSize;
  const consumer = host.mmap(fd, { offset: 0, length, prot: 3 });
  const producer = host.mmap(fd, { offset: length, length, prot: 1 });
  if (typeof consumer === "number" || typeof producer === "number") throw new Error(`${name}: the ring has no mapping`);
  return { operations: RING_ROOM, empty: () => consumer.set(producer.subarray(0, 8)) };
}

function open(name: string, host: BpfHost, { shape, filled, keySize, percpu }: Kind): OpenMap {
  const { valueSize } = shape;
  if (filled !== undefined) {
    const map = new RawMap(name, host, shape, filled, percpu);
    return { fd: map.fd, valueSize, close: () => map.close() };
  }
  const fd = createFd(name, host, shape, keySize);
  const map = { fd, valueSize, close: () => void host.close(fd) };
  return shape.type === u.BPF_MAP_TYPE_RINGBUF ? { ...map, emptying: emptying(name, host, fd) } : map;
}

function benchKind(bench: ProgramBench, kind: Kind): void {
  const maps = bench.hosts.map(({ name, host }) => open(name, host, kind));
  for (const { name, op, limit } of kind.operations) {
    for (const count of kind.counts) {
      const keys = firstOf(kind.keys, count);
      const sides = bench.hosts.map((on, i) => new MapProgram(on, keys, op, maps[i]!));
      const label = kind.counts.length === 1 ? name : `${name}, ${count} of ${kind.keys.count} keys`;
      agree(`${kind.name}: ${label}`, sides);
      bench.compare(kind.name, label, sides, limit);
      for (const side of sides) side.close();
    }
  }
  for (const map of maps) map.close();
}

export function benchMapPrograms(bench: ProgramBench): void {
  const kinds = kindsOf().filter((kind) => bench.wants(kind.name));
  if (kinds.length === 0) return;
  bench.report.note(
    `Operations on maps: a run is a loop of ${OPS.toLocaleString("en")} of them over keys in a global array; each key is copied to the stack, the result is tested and summed up. The loop without an operation stands first; nothing is subtracted. All hosts come to the same sums.`,
  );
  for (const kind of kinds) benchKind(bench, kind);
}
