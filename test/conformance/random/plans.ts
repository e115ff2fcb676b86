/** What random sequences do with each map type: one plan a type. A new type, or a new kind of call, is weights here. */
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
  readonly lru?: true;
  /** A lookup asks about the value that is given. */
  readonly lookupReadsValue?: true;
  readonly ops: Weights<OpKind>;
  readonly elements: Weights<ElementCommand>;
  readonly runs: Weights<ProgramCall>;
  /** How many bytes of a map with these attributes can be mapped. */
  readonly mmap?: (attr: RandomAttr) => number;
  /** How many of them may be written, where it is not all. */
  readonly writableBytes?: number;
  /** How many of them are compared, where it is not all. */
  readonly comparableBytes?: number;
  /** BTF that fits these sizes; others do not. */
  readonly btf?: { readonly keySize: number; readonly valueSize: number; readonly use: BtfUse };
}

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
const keyless: Weights<OpKind> = { ...common, batch: 12 };
const pairBtf = { keySize: 4, valueSize: 16, use: { key: "u32", value: "pair" } } as const;

export const plans: readonly TypePlan[] = [
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
    btf: pairBtf,
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
    mmap: (attr) =>
      Number(attr.map_flags) & u.BPF_F_MMAPABLE
        ? Number(attr.max_entries) * Math.ceil(Number(attr.value_size) / 8) * 8
        : 0,
    elements: arrayElements,
    runs: arrayRuns,
    btf: pairBtf,
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
    lru: true,
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
    btf: { keySize: 8, valueSize: 16, use: { key: "prefix", value: "pair" } },
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
    ops: {
      run: 1300,
      poll: 400,
      read: 300,
      store: 50,
      consume: 600,
      mmap: 150,
      munmap: 30,
      element: 90,
      batch: 15,
      try: 60,
      open: 40,
      close: 20,
      drop: 1,
      freeze: 1,
      next_id: 18,
      info: 40,
    },
    elements,
    runs: { output: 1 },
    mmap: (attr) => 2 * PAGE + 2 * Number(attr.max_entries),
    writableBytes: PAGE,
    // The data's second half mirrors the first on the kernel only (known gap): records are compared as `consume` reads them.
    comparableBytes: 2 * PAGE,
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

export function planOf(name: string): TypePlan | undefined {
  return plans.find((plan) => plan.name === name.toUpperCase());
}
