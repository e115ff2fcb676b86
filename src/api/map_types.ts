/** Map types by name. The names are the kernel's in lower case, without BPF_MAP_TYPE_. */
import {
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_CPUMAP,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_DEVMAP_HASH,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_TYPE_USER_RINGBUF,
  bpfMapTypeNames,
} from "../uapi/index.ts";

/** The types that have a class of their own. Maps of any other type can be opened as `OtherMap`. */
export type MapType =
  | "hash"
  | "lru_hash"
  | "percpu_hash"
  | "lru_percpu_hash"
  | "array"
  | "percpu_array"
  | "lpm_trie"
  | "bloom_filter"
  | "queue"
  | "stack"
  | "ringbuf"
  | "user_ringbuf"
  | "arena"
  | "prog_array"
  | "array_of_maps"
  | "hash_of_maps"
  | "devmap"
  | "devmap_hash"
  | "cpumap"
  | "stack_trace"
  | "perf_event_array";

export const mapTypeNumbers: Readonly<Record<MapType, number>> = {
  hash: BPF_MAP_TYPE_HASH,
  lru_hash: BPF_MAP_TYPE_LRU_HASH,
  percpu_hash: BPF_MAP_TYPE_PERCPU_HASH,
  lru_percpu_hash: BPF_MAP_TYPE_LRU_PERCPU_HASH,
  array: BPF_MAP_TYPE_ARRAY,
  percpu_array: BPF_MAP_TYPE_PERCPU_ARRAY,
  lpm_trie: BPF_MAP_TYPE_LPM_TRIE,
  bloom_filter: BPF_MAP_TYPE_BLOOM_FILTER,
  queue: BPF_MAP_TYPE_QUEUE,
  stack: BPF_MAP_TYPE_STACK,
  ringbuf: BPF_MAP_TYPE_RINGBUF,
  user_ringbuf: BPF_MAP_TYPE_USER_RINGBUF,
  arena: BPF_MAP_TYPE_ARENA,
  prog_array: BPF_MAP_TYPE_PROG_ARRAY,
  array_of_maps: BPF_MAP_TYPE_ARRAY_OF_MAPS,
  hash_of_maps: BPF_MAP_TYPE_HASH_OF_MAPS,
  devmap: BPF_MAP_TYPE_DEVMAP,
  devmap_hash: BPF_MAP_TYPE_DEVMAP_HASH,
  cpumap: BPF_MAP_TYPE_CPUMAP,
  stack_trace: BPF_MAP_TYPE_STACK_TRACE,
  perf_event_array: BPF_MAP_TYPE_PERF_EVENT_ARRAY,
};

const PREFIX = "BPF_MAP_TYPE_";

/** `hash` for BPF_MAP_TYPE_HASH; `type 99` for a number that has no name. */
export function mapTypeName(type: number): string {
  const name = bpfMapTypeNames[type];
  return name === undefined ? `type ${type}` : name.slice(PREFIX.length).toLowerCase();
}

/** Whether the type of this name has a class of its own. */
export function isMapType(name: string): name is MapType {
  return Object.hasOwn(mapTypeNumbers, name);
}
