/**
 * What programs do: the kernel's, on its JIT, beside the same operations of embedded maps, called as a helper calls them.
 * What running a program costs is in the kernel's figures, not in the embedded ones.
 */
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { kernelOrNone } from "./hosts.ts";
import {
  deleteAndInsertOp,
  type Emptying,
  KernelProgram,
  lookupOp,
  outputOp,
  type ProgramOperation,
  peekOp,
  pushOp,
  pushPopOp,
  updateOp,
} from "./kernel_program.ts";
import { firstOf, indices, type KeySet, randomKeys } from "./keys.ts";
import { measure, type Side } from "./measure.ts";
import { OpsMap, opsKernel } from "./ops_map.ts";
import { createFd, type MapShape, RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";

const ENTRIES = 100_000;
const HOT = 1_000;
const RECORD = 32;
const RING = 1 << 18;
/** Records, each with its header, that a ring certainly holds. */
const RING_ROOM = 6_000;

interface Operation {
  readonly name: string;
  own(map: OpsMap, keys: KeySet): Side;
  program(fd: number): ProgramOperation;
}

const lookup: Operation = { name: "lookup", own: (m, keys) => m.lookup(keys), program: lookupOp };
const update: Operation = { name: "update", own: (m, keys) => m.update(keys), program: updateOp };
const replace: Operation = {
  name: "delete+insert",
  own: (m, keys) => m.deleteAndInsert(keys),
  program: deleteAndInsertOp,
};
const push: Operation = { name: "push", own: (m, keys) => m.push(keys), program: pushOp };
const peek: Operation = { name: "peek", own: (m, keys) => m.peek(keys), program: peekOp };
const pushPop: Operation = { name: "push+pop", own: (m) => m.pushPop(), program: pushPopOp };
const output: Operation = {
  name: `output of ${RECORD} bytes`,
  own: (m) => m.output(RECORD, RING_ROOM),
  program: outputOp(RECORD),
};

interface Kind {
  readonly name: string;
  readonly shape: MapShape;
  readonly keys: KeySet;
  /** Bytes of a key in MAP_CREATE. */
  readonly keySize: number;
  /** All keys are in before anything is measured. */
  readonly filled: boolean;
  readonly percpu: boolean;
  readonly operations: readonly Operation[];
  readonly counts: readonly number[];
}

const keys = randomKeys(ENTRIES, 1);
const plain = { keys, keySize: 4, filled: true, percpu: false, counts: [HOT, ENTRIES] };
/** Without keys: of a queue or ring one operation is as the other. */
const keyless = { ...plain, keySize: 0, filled: false, counts: [HOT] };
const shape = { flags: 0, valueSize: 8, maxEntries: ENTRIES };

const kinds: readonly Kind[] = [
  { ...plain, name: "HASH", shape: { ...shape, type: u.BPF_MAP_TYPE_HASH }, operations: [lookup, update, replace] },
  {
    ...plain,
    name: "PERCPU_HASH",
    shape: { ...shape, type: u.BPF_MAP_TYPE_PERCPU_HASH },
    percpu: true,
    operations: [lookup, update, replace],
  },
  {
    ...plain,
    name: "LRU_HASH with room",
    // Each CPU keeps some elements to itself: with room for all keys only, some would be evicted.
    shape: { ...shape, type: u.BPF_MAP_TYPE_LRU_HASH, maxEntries: 2 * ENTRIES },
    operations: [lookup, update, replace],
  },
  {
    ...plain,
    name: `LRU_HASH of ${ENTRIES / 10}, each update evicts`,
    shape: { ...shape, type: u.BPF_MAP_TYPE_LRU_HASH, maxEntries: ENTRIES / 10 },
    counts: [ENTRIES],
    operations: [update],
  },
  {
    ...plain,
    name: "ARRAY",
    shape: { ...shape, type: u.BPF_MAP_TYPE_ARRAY },
    keys: indices(ENTRIES),
    operations: [lookup, update],
  },
  {
    ...plain,
    name: "PERCPU_ARRAY",
    shape: { ...shape, type: u.BPF_MAP_TYPE_PERCPU_ARRAY },
    keys: indices(ENTRIES),
    percpu: true,
    operations: [lookup],
  },
  { ...keyless, name: "QUEUE", shape: { ...shape, type: u.BPF_MAP_TYPE_QUEUE }, operations: [pushPop] },
  { ...keyless, name: "STACK", shape: { ...shape, type: u.BPF_MAP_TYPE_STACK }, operations: [pushPop] },
  {
    ...keyless,
    name: "BLOOM_FILTER, 4-byte values",
    shape: { ...shape, type: u.BPF_MAP_TYPE_BLOOM_FILTER, valueSize: 4 },
    counts: [HOT, ENTRIES],
    // In this order: what is asked for has been put in.
    operations: [push, peek],
  },
  {
    ...keyless,
    name: "RINGBUF",
    shape: { type: u.BPF_MAP_TYPE_RINGBUF, flags: 0, valueSize: 0, maxEntries: RING },
    operations: [output],
  },
];

const KERNEL = "kernel, program";

interface KernelMap {
  readonly fd: number;
  readonly emptying?: Emptying;
  close(): void;
}

/** The consumer of a ring that reads nothing, and says that it has read all. */
function emptying(host: Host, fd: number): Emptying {
  const length = host.pageSize;
  const consumer = host.mmap(fd, { offset: 0, length, prot: 3 });
  const producer = host.mmap(fd, { offset: length, length, prot: 1 });
  if (typeof consumer === "number" || typeof producer === "number")
    throw new Error(`${KERNEL}: the ring has no mapping`);
  return { operations: RING_ROOM, empty: () => consumer.set(producer.subarray(0, 8)) };
}

function kernelMap(host: Host, kind: Kind): KernelMap {
  if (kind.filled) return new RawMap(KERNEL, host, kind.shape, kind.keys, kind.percpu);
  const fd = createFd(KERNEL, host, kind.shape, kind.keySize);
  const close = (): void => void host.close(fd);
  return kind.operations.includes(output) ? { fd, close, emptying: emptying(host, fd) } : { fd, close };
}

function benchKind(report: Report, kind: Kind, own: readonly OpsMap[], host: Host | undefined): void {
  if (kind.filled) for (const map of own) map.fill(kind.keys);
  const map = host && kernelMap(host, kind);
  for (const operation of kind.operations) {
    for (const count of kind.counts) {
      const some = firstOf(kind.keys, count);
      const program = host && map && new KernelProgram(KERNEL, host, some, operation.program(map.fd), map.emptying);
      const rows = measure([...(program ? [program] : []), ...own.map((m) => operation.own(m, some))]);
      program?.close();
      const set = kind.keySize === 0 && kind.counts.length === 1 ? "" : `, ${count} of ${ENTRIES} keys`;
      report.measured(kind.name, `${operation.name}${set}`, rows);
    }
  }
  map?.close();
}

export function benchPrograms(report: Report): void {
  const host = kernelOrNone((line) => report.note(line));
  report.note(
    "The kernel's figures are of a program on its JIT; the embedded ones of the map's operation alone, called as a helper calls it.",
  );
  const kernels = [false, true].map((shared) => opsKernel(shared, host?.possibleCpus ?? 1));
  for (const kind of kinds) {
    const own = kernels.map(
      (k, i) => new OpsMap(i === 0 ? "embedded, exclusive" : "embedded, shared", k, kind.shape, kind.keySize),
    );
    benchKind(report, kind, own, host);
    for (const map of own) map.close();
  }
  host?.dispose();
}
