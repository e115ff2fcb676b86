/** Which entry serves which map type. A type without a line here is refused as one that the kernel does not know. */
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
  BPF_MAP_TYPE_INSN_ARRAY,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RHASH,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_TYPE_USER_RINGBUF,
  type BpfMapType,
} from "../uapi/index.ts";
import { arenaMap } from "./arena.ts";
import { arrayMap } from "./array.ts";
import { arrayOfMapsMap } from "./array_of_maps.ts";
import { bloomFilterMap } from "./bloom_filter.ts";
import { cpumapMap } from "./cpumap.ts";
import { devmapMap } from "./devmap.ts";
import { devmapHashMap } from "./devmap_hash.ts";
import { hashMap } from "./hash.ts";
import { hashOfMapsMap } from "./hash_of_maps.ts";
import { lpmTrieMap } from "./lpm_trie.ts";
import { lruHashMap } from "./lru_hash.ts";
import { lruPercpuHashMap } from "./lru_percpu_hash.ts";
import type { MapTraits, MapTypeEntry } from "./ops.ts";
import { percpuArrayMap } from "./percpu_array.ts";
import { percpuHashMap } from "./percpu_hash.ts";
import { perfEventArrayMap } from "./perf_event_array.ts";
import { progArrayMap } from "./prog_array.ts";
import { queueMap } from "./queue.ts";
import { ringbufMap } from "./ringbuf.ts";
import { stackMap } from "./stack.ts";
import { stackTraceMap } from "./stack_trace.ts";
import { userRingbufMap } from "./user_ringbuf.ts";

export const mapRegistry: Readonly<Partial<Record<BpfMapType, MapTypeEntry>>> = {
  [BPF_MAP_TYPE_HASH]: hashMap,
  [BPF_MAP_TYPE_ARRAY]: arrayMap,
  [BPF_MAP_TYPE_PERCPU_HASH]: percpuHashMap,
  [BPF_MAP_TYPE_PERCPU_ARRAY]: percpuArrayMap,
  [BPF_MAP_TYPE_QUEUE]: queueMap,
  [BPF_MAP_TYPE_STACK]: stackMap,
  [BPF_MAP_TYPE_RINGBUF]: ringbufMap,
  [BPF_MAP_TYPE_BLOOM_FILTER]: bloomFilterMap,
  [BPF_MAP_TYPE_LRU_HASH]: lruHashMap,
  [BPF_MAP_TYPE_LRU_PERCPU_HASH]: lruPercpuHashMap,
  [BPF_MAP_TYPE_LPM_TRIE]: lpmTrieMap,
  [BPF_MAP_TYPE_USER_RINGBUF]: userRingbufMap,
  [BPF_MAP_TYPE_ARENA]: arenaMap,
  [BPF_MAP_TYPE_PROG_ARRAY]: progArrayMap,
  [BPF_MAP_TYPE_ARRAY_OF_MAPS]: arrayOfMapsMap,
  [BPF_MAP_TYPE_HASH_OF_MAPS]: hashOfMapsMap,
  [BPF_MAP_TYPE_DEVMAP]: devmapMap,
  [BPF_MAP_TYPE_DEVMAP_HASH]: devmapHashMap,
  [BPF_MAP_TYPE_CPUMAP]: cpumapMap,
  [BPF_MAP_TYPE_STACK_TRACE]: stackTraceMap,
  [BPF_MAP_TYPE_PERF_EVENT_ARRAY]: perfEventArrayMap,
};

/** Types of later kernels, which this host answers as Linux 6.18 does: a number that it does not know, -EINVAL. */
export const laterTypes: Readonly<Partial<Record<BpfMapType, { readonly since: string }>>> = {
  [BPF_MAP_TYPE_INSN_ARRAY]: { since: "6.19" },
  [BPF_MAP_TYPE_RHASH]: { since: "7.2" },
};

/** Traits that an entry may leave out. With them all entries have one shape, which commands read without a detour. */
const unsaid = { lookupReadsValue: false, mmap: false, offload: false };

export type RegisteredType = MapTypeEntry & { readonly traits: MapTraits & typeof unsaid };

/** Dense by number: every command looks here. */
const byNumber: readonly (RegisteredType | undefined)[] = Array.from(
  { length: 1 + Math.max(...Object.keys(mapRegistry).map(Number)) },
  (_, type) => {
    const entry = mapRegistry[type as BpfMapType];
    return entry && { ...entry, traits: { ...unsaid, ...entry.traits } };
  },
);

/** The entry of a map type's number, as it stands in a map's descriptor or comes from a caller. */
export function mapEntry(type: number): RegisteredType | undefined {
  return byNumber[type];
}
