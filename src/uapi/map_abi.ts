/**
 * What bpf(2) makes of map types: where a value in a command is not value_size bytes, and where a batch's cursor is no
 * key. The one place that knows it.
 */
import {
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_CGROUP_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
} from "./constants.gen.ts";

const perCpuTypes: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
]);
const fdTypes: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_CGROUP_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH_OF_MAPS,
]);
const hashTypes: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
]);
const FD_SIZE = 4;
const SLOT_ALIGN = 8;
const BUCKET_SIZE = 4;

/** Values are one a CPU; commands see all of them. */
export function isPerCpu(mapType: number): boolean {
  return perCpuTypes.has(mapType);
}

/** Bytes of one value in a command: a slot for each possible CPU, or an fd (in a lookup an id), or value_size. */
export function abiValueSize(mapType: number, valueSize: number, possibleCpus: number): number {
  if (perCpuTypes.has(mapType)) return Math.ceil(valueSize / SLOT_ALIGN) * SLOT_ALIGN * possibleCpus;
  return fdTypes.has(mapType) ? FD_SIZE : valueSize;
}

/** Bytes of in_batch and out_batch: a bucket's number for hash types, a key for the others. */
export function abiCursorSize(mapType: number, keySize: number): number {
  return hashTypes.has(mapType) ? BUCKET_SIZE : keySize;
}
