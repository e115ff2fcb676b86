/** What random sequences do with each map type: one plan a type. A new type, or a new kind of call, is weights here. */
import { mapRegistry } from "../../../src/maps/registry.ts";
import type { BpfMapType } from "../../../src/uapi/index.ts";
import * as u from "../../../src/uapi/index.ts";
import type { KeyForm } from "./bytes.ts";
import type { BtfUse, ElementCommand, OpKind, ProgramCall, RandomAttr } from "./op.ts";

/** How often, compared with the others of the list. */
export type Weights<K extends string> = Readonly<Partial<Record<K, number>>>;

export interface TypePlan {
  readonly name: string;
  readonly type: number;
  readonly keySizes: readonly number[];
  readonly valueSizes: readonly number[];
  readonly maxEntries: readonly number[];
  /** One of these sets of flags. Order and bloom bits must not depend on a seed. */
  readonly flags: readonly number[];
  readonly mapExtra?: readonly number[];
  readonly keys: KeyForm;
  readonly percpu?: true;
  /** A lookup asks about the value that is given. */
  readonly lookupReadsValue?: true;
  readonly ops: Weights<OpKind>;
  readonly elements: Weights<ElementCommand>;
  readonly runs: Weights<ProgramCall>;
  /** Values begin with one of these, as a number. */
  readonly values?: readonly number[];
  /** Values are fds of these, and are read as their ids. */
  readonly holds?: Held;
  /** Every mapping is where the first one was, one at a time. */
  readonly oneMapping?: true;
  /** What of a map with these attributes can be mapped; undefined: nothing. */
  readonly mmap?: (attr: RandomAttr) => Mappable | undefined;
  /** BTF that fits these sizes; others do not. */
  readonly btf?: readonly BtfFit[];
}

interface BtfFit {
  readonly keySize: number;
  readonly valueSize: number;
  readonly use: BtfUse;
}

/** Bytes of a map's mapping, from its beginning. */
export interface Mappable {
  readonly size: number;
  /** Where the part begins and ends that may be written. */
  readonly writable: readonly [from: number, to: number];
  /** Where the part ends that is compared and written. */
  readonly comparable: number;
}

import type { Held } from "./objects.ts";

const PAGE = 4096;
const Z = u.BPF_F_ZERO_SEED;
const hashSizes = {
  keySizes: [1, 2, 3, 4, 4, 5, 7, 8, 12, 13, 16, 24, 33],
  valueSizes: [1, 4, 5, 8, 8, 12, 16, 64, 100],
};
const sizes = [1, 2, 3, 4, 5, 8, 13, 32, 100];
const lruEntries = [1, 2, 3, 5, 8, 20, 100, 300];
const queueValues = [1, 3, 4, 8, 17];

/** Every kind of call, most of them rare. */
const common: Weights<OpKind> = {
  element: 2400,
  batch: 200,
  try: 60,
  open: 40,
  close: 30,
  drop: 1,
  freeze: 1,
  next_id: 18,
  info: 30,
  poll: 9,
  mmap: 6,
  munmap: 3,
  read: 3,
  store: 3,
  pin: 9,
  get: 9,
  unlink: 5,
  rename: 3,
  run: 100,
};
const elements: Weights<ElementCommand> = { update: 42, lookup: 28, delete: 9, take: 7, next: 14 };
const runs: Weights<ProgramCall> = { lookup: 5, update: 4, delete: 1 };
const mapped: Weights<OpKind> = { ...common, mmap: 40, munmap: 12, read: 200, store: 200 };
/** Nothing can be deleted. */
const arrayElements: Weights<ElementCommand> = { update: 42, lookup: 38, delete: 1, take: 1, next: 16 };
const arrayRuns: Weights<ProgramCall> = { lookup: 5, update: 4, delete: 1 };
/** A push, a peek and a pop. */
const queueElements: Weights<ElementCommand> = { update: 45, lookup: 20, take: 35, delete: 1, next: 1 };
const queueRuns: Weights<ProgramCall> = { push: 5, pop: 3, peek: 2 };
/** Nothing but memory to map. */
const memory: Weights<OpKind> = {
  ...common,
  element: 120,
  batch: 15,
  read: 500,
  store: 400,
  mmap: 200,
  munmap: 60,
  poll: 300,
  run: 0,
};
/** Programs do not see what these maps hold. */
const holding: Weights<OpKind> = { ...common, run: 0 };
/** The kernel waits for its readers after each change, for milliseconds: changes are rare, and several at a time. */
const outer: Weights<OpKind> = { ...holding, batch: 40 };
const outerElements: Weights<ElementCommand> = { update: 10, lookup: 600, delete: 3, take: 30, next: 357 };
const keyless: Weights<OpKind> = { ...common, batch: 12 };
const pairBtf: readonly BtfFit[] = [{ keySize: 4, valueSize: 16, use: { key: "u32", value: "pair" } }];
/** With a bpf_spin_lock in the value, for BPF_F_LOCK. */
const lockedBtf: readonly BtfFit[] = [
  ...pairBtf,
  { keySize: 4, valueSize: 16, use: { key: "u32", value: "locked" } },
  { keySize: 4, valueSize: 16, use: { key: "u32", value: "locked" } },
];

function plainMemory(bytes: number): Mappable {
  const size = Math.ceil(bytes / PAGE) * PAGE;
  return { size, writable: [0, size], comparable: size };
}

/** Of all types that there are sequences for. */
export const allPlans: readonly TypePlan[] = [
  {
    name: "HASH",
    type: u.BPF_MAP_TYPE_HASH,
    ...hashSizes,
    maxEntries: sizes,
    flags: [Z, Z, Z | u.BPF_F_NO_PREALLOC],
    keys: "bytes",
    ops: common,
    elements,
    runs,
    btf: lockedBtf,
  },
  {
    name: "ARRAY",
    type: u.BPF_MAP_TYPE_ARRAY,
    keySizes: [4],
    valueSizes: [1, 4, 5, 8, 12, 16, 100],
    maxEntries: sizes,
    flags: [0, 0, u.BPF_F_MMAPABLE, u.BPF_F_MMAPABLE, u.BPF_F_MMAPABLE | u.BPF_F_RDONLY_PROG, u.BPF_F_INNER_MAP],
    keys: "index",
    ops: mapped,
    mmap: ({ map_flags, max_entries, value_size }) =>
      Number(map_flags) & u.BPF_F_MMAPABLE
        ? plainMemory(Number(max_entries) * Math.ceil(Number(value_size) / 8) * 8)
        : undefined,
    elements: arrayElements,
    runs: arrayRuns,
    btf: lockedBtf,
  },
  {
    name: "PERCPU_HASH",
    type: u.BPF_MAP_TYPE_PERCPU_HASH,
    ...hashSizes,
    maxEntries: sizes,
    flags: [Z, Z | u.BPF_F_NO_PREALLOC],
    keys: "bytes",
    percpu: true,
    ops: common,
    elements,
    runs,
    btf: pairBtf,
  },
  {
    name: "PERCPU_ARRAY",
    type: u.BPF_MAP_TYPE_PERCPU_ARRAY,
    keySizes: [4],
    valueSizes: [1, 4, 5, 8, 12, 16, 100],
    maxEntries: sizes,
    flags: [0, 0, u.BPF_F_WRONLY_PROG],
    keys: "index",
    percpu: true,
    ops: common,
    elements: arrayElements,
    runs: arrayRuns,
    btf: pairBtf,
  },
  {
    name: "LRU_HASH",
    type: u.BPF_MAP_TYPE_LRU_HASH,
    ...hashSizes,
    maxEntries: lruEntries,
    flags: [Z, Z, Z | u.BPF_F_NO_COMMON_LRU],
    keys: "bytes",
    ops: { ...common, run: 300 },
    elements,
    runs,
    btf: pairBtf,
  },
  {
    name: "LRU_PERCPU_HASH",
    type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH,
    ...hashSizes,
    maxEntries: lruEntries,
    flags: [Z, Z, Z | u.BPF_F_NO_COMMON_LRU],
    keys: "bytes",
    percpu: true,
    ops: { ...common, run: 300 },
    elements,
    runs,
    btf: pairBtf,
  },
  {
    name: "LPM_TRIE",
    type: u.BPF_MAP_TYPE_LPM_TRIE,
    keySizes: [5, 6, 7, 8, 8, 12, 20],
    valueSizes: [1, 4, 8, 12, 16],
    maxEntries: [1, 2, 5, 16, 64],
    flags: [u.BPF_F_NO_PREALLOC],
    keys: "prefix",
    ops: common,
    elements,
    runs,
    btf: [{ keySize: 8, valueSize: 16, use: { key: "prefix", value: "pair" } }],
  },
  {
    name: "QUEUE",
    type: u.BPF_MAP_TYPE_QUEUE,
    keySizes: [0],
    valueSizes: queueValues,
    maxEntries: sizes,
    flags: [0, 0, u.BPF_F_RDONLY_PROG],
    keys: "none",
    ops: keyless,
    elements: queueElements,
    runs: queueRuns,
  },
  {
    name: "STACK",
    type: u.BPF_MAP_TYPE_STACK,
    keySizes: [0],
    valueSizes: queueValues,
    maxEntries: sizes,
    flags: [0, 0, u.BPF_F_WRONLY_PROG],
    keys: "none",
    ops: keyless,
    elements: queueElements,
    runs: queueRuns,
  },
  {
    name: "RINGBUF",
    type: u.BPF_MAP_TYPE_RINGBUF,
    keySizes: [0],
    valueSizes: [0],
    maxEntries: [4096, 8192, 65536],
    flags: [0],
    keys: "none",
    ops: { ...memory, run: 1300, consume: 600 },
    elements,
    runs: { output: 1 },
    mmap: ({ max_entries }) => ({
      size: 2 * PAGE + 2 * Number(max_entries),
      writable: [0, PAGE],
      // The data's second half mirrors the first on the kernel only (known gap): `consume` reads records as libbpf does.
      comparable: 2 * PAGE,
    }),
  },
  {
    name: "PROG_ARRAY",
    type: u.BPF_MAP_TYPE_PROG_ARRAY,
    keySizes: [4],
    valueSizes: [4],
    maxEntries: sizes,
    flags: [0],
    keys: "index",
    // Without fds and pins it is emptied, and freed, by a worker thread of the kernel: nothing to compare.
    ops: { ...holding, drop: 0 },
    elements,
    runs: {},
    holds: "programs",
  },
  {
    name: "ARRAY_OF_MAPS",
    type: u.BPF_MAP_TYPE_ARRAY_OF_MAPS,
    keySizes: [4],
    valueSizes: [4],
    maxEntries: sizes,
    flags: [0],
    keys: "index",
    ops: outer,
    elements: outerElements,
    runs: {},
    holds: "maps",
  },
  {
    name: "HASH_OF_MAPS",
    type: u.BPF_MAP_TYPE_HASH_OF_MAPS,
    keySizes: hashSizes.keySizes,
    valueSizes: [4],
    maxEntries: sizes,
    flags: [Z, Z, Z | u.BPF_F_NO_PREALLOC],
    keys: "bytes",
    ops: outer,
    elements: outerElements,
    runs: {},
    holds: "maps",
  },
  {
    name: "USER_RINGBUF",
    type: u.BPF_MAP_TYPE_USER_RINGBUF,
    keySizes: [0],
    valueSizes: [0],
    maxEntries: [4096, 8192, 65536],
    flags: [0],
    keys: "none",
    ops: memory,
    elements,
    runs: {},
    mmap: ({ max_entries }) => ({
      size: 2 * PAGE + 2 * Number(max_entries),
      writable: [PAGE, 2 * PAGE + 2 * Number(max_entries)],
      comparable: 2 * PAGE + Number(max_entries),
    }),
  },
  {
    name: "ARENA",
    type: u.BPF_MAP_TYPE_ARENA,
    keySizes: [0],
    valueSizes: [0],
    maxEntries: [1, 2, 3, 8],
    flags: [u.BPF_F_MMAPABLE, u.BPF_F_MMAPABLE, u.BPF_F_MMAPABLE | u.BPF_F_NO_USER_CONV],
    keys: "none",
    ops: memory,
    elements,
    runs: {},
    mmap: ({ max_entries }) => plainMemory(Number(max_entries) * PAGE),
    oneMapping: true,
  },
  ...(["DEVMAP", "DEVMAP_HASH"] as const).map(
    (name): TypePlan => ({
      name,
      type: name === "DEVMAP" ? u.BPF_MAP_TYPE_DEVMAP : u.BPF_MAP_TYPE_DEVMAP_HASH,
      keySizes: [4],
      valueSizes: [4],
      maxEntries: sizes,
      flags: [0],
      keys: "index",
      values: name === "DEVMAP" ? [1, 1, 1, 0, 0x7fff_fff0] : [1, 1, 1, 1, 1, 0, 0x7fff_fff0],
      // Programs only read it.
      ops: { ...common, drop: 0 },
      elements,
      runs: { lookup: 1 },
    }),
  ),
  {
    name: "CPUMAP",
    type: u.BPF_MAP_TYPE_CPUMAP,
    keySizes: [4],
    valueSizes: [4],
    maxEntries: [1, 2, 3, 8],
    flags: [0],
    keys: "index",
    values: [0, 0, 16385, 99_999],
    ops: holding,
    elements,
    runs: {},
  },
  {
    name: "STACK_TRACE",
    type: u.BPF_MAP_TYPE_STACK_TRACE,
    keySizes: [4],
    valueSizes: [8, 16, 32, 1016],
    maxEntries: sizes,
    flags: [0],
    keys: "index",
    // Only programs at probes fill it, with stacks that differ from run to run.
    ops: holding,
    elements,
    runs: {},
  },
  {
    name: "PERF_EVENT_ARRAY",
    type: u.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    keySizes: [4],
    valueSizes: [4],
    maxEntries: sizes,
    flags: [0],
    keys: "index",
    // What lies there is no perf event's fd.
    values: [3, 4, 9999],
    ops: holding,
    elements,
    runs: {},
  },
  {
    name: "BLOOM_FILTER",
    type: u.BPF_MAP_TYPE_BLOOM_FILTER,
    keySizes: [0],
    valueSizes: [1, 2, 3, 4, 5, 8, 12, 13, 16],
    maxEntries: [1, 3, 10, 50, 200],
    flags: [Z],
    mapExtra: [0, 0, 1, 2, 3, 7, 15],
    keys: "none",
    lookupReadsValue: true,
    ops: keyless,
    elements: { update: 30, lookup: 60, delete: 1, take: 1, next: 1 },
    runs: { push: 1, peek: 2 },
  },
];

/** Of the types that the embedded host has. */
export const plans: readonly TypePlan[] = allPlans.filter((plan) => mapRegistry[plan.type as BpfMapType] !== undefined);

export function planOf(name: string): TypePlan | undefined {
  return plans.find((plan) => plan.name === name.toUpperCase());
}
