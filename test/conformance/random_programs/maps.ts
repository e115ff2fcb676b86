/** The maps that random programs work on: few and small, so that programs meet in their elements. */
import * as u from "../../../src/uapi/index.ts";

export interface MapPlan {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
}

/** An array of maps and what is in it. */
export const INNER: MapPlan = { type: u.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 24, maxEntries: 3 };
/** Its slots that hold a map; the others are empty. */
export const INNER_MAPS = 2;
/** Slots of `programs` that hold a program; the others are empty. */
export const TARGETS = 2;

export type MapName =
  | "globals"
  | "results"
  | "array"
  | "hash"
  | "percpu_array"
  | "percpu_hash"
  | "lpm"
  | "queue"
  | "stack"
  | "bloom"
  | "ring"
  | "outer"
  | "programs";

/** `globals` is filled with numbers before a run: where programs get operands that the verifier does not know. */
export const maps: Readonly<Record<MapName, MapPlan>> = {
  globals: { type: u.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 128, maxEntries: 1 },
  results: { type: u.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 144, maxEntries: 1 },
  array: { type: u.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 40, maxEntries: 5 },
  hash: { type: u.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 24, maxEntries: 6, flags: u.BPF_F_ZERO_SEED },
  percpu_array: { type: u.BPF_MAP_TYPE_PERCPU_ARRAY, keySize: 4, valueSize: 16, maxEntries: 3 },
  percpu_hash: {
    type: u.BPF_MAP_TYPE_PERCPU_HASH,
    keySize: 8,
    valueSize: 16,
    maxEntries: 4,
    flags: u.BPF_F_ZERO_SEED,
  },
  lpm: { type: u.BPF_MAP_TYPE_LPM_TRIE, keySize: 8, valueSize: 16, maxEntries: 6, flags: u.BPF_F_NO_PREALLOC },
  queue: { type: u.BPF_MAP_TYPE_QUEUE, keySize: 0, valueSize: 8, maxEntries: 4 },
  stack: { type: u.BPF_MAP_TYPE_STACK, keySize: 0, valueSize: 16, maxEntries: 3 },
  bloom: { type: u.BPF_MAP_TYPE_BLOOM_FILTER, keySize: 0, valueSize: 8, maxEntries: 8, flags: u.BPF_F_ZERO_SEED },
  ring: { type: u.BPF_MAP_TYPE_RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096 },
  outer: { type: u.BPF_MAP_TYPE_ARRAY_OF_MAPS, keySize: 4, valueSize: 4, maxEntries: INNER_MAPS + 1 },
  programs: { type: u.BPF_MAP_TYPE_PROG_ARRAY, keySize: 4, valueSize: 4, maxEntries: TARGETS + 1 },
};

/** A map's number stands in a program for its fd, which each host has its own of. */
export const mapNames: readonly MapName[] = Object.keys(maps) as MapName[];
