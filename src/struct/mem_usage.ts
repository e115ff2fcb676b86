/**
 * How much memory maps take here: what their `map_alloc` and their elements take, in whole granules. `kernel_memory.ts` has
 * the same for Linux. Descriptors and lists of LRU maps, some hundred bytes of metadata, do not count.
 */
import { areaSpan } from "../mem/alloc.ts";
import { PAGE_SIZE, roundUpPow2, rup8 } from "../mem/layout.ts";
import { BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC } from "../uapi/index.ts";
import { bitsOf } from "./bloom.ts";
import { DEVICE_NODE } from "./devmap_hash.ts";
import { BUCKET_SIZE, GROW_BYTES, nodeBytes } from "./hashtab.ts";
import type { MapSize } from "./kernel_memory.ts";
import { DATA, KEY_DATA } from "./lpm_node.ts";
import { valueStride } from "./lpm_trie.ts";
import { LRU_LINKS } from "./lru_list.ts";
import { blocksPerChunk } from "./pool.ts";
import { REDIRECT_SIZE } from "./redirect_slots.ts";
import { mappingSize } from "./ring_map.ts";
import { SLOT_SIZE } from "./slots.ts";
import { stackTraceSizes } from "./stack_traces.ts";

/** Bytes of the areas of a map with these attributes, valid ones. `elements`: how many there are. */
export type MemUsage = (size: MapSize, cpus: number, elements: number) => number;

/** Values of hash tables: one an element, one a CPU, or none of their own. */
type Values = "one" | "percpu" | "none";

export function hashUsage(values: Values): MemUsage {
  return tableUsage(values, false);
}

export function lruUsage(values: Values): MemUsage {
  return tableUsage(values, true);
}

function tableUsage(values: Values, evicts: boolean): MemUsage {
  return ({ key_size, value_size, max_entries, map_flags }, cpus, elements) => {
    const entries = map_flags & BPF_F_NO_COMMON_LRU ? Math.ceil(max_entries / cpus) * cpus : max_entries;
    const node = nodeBytes(evicts ? LRU_LINKS : 0, key_size);
    const stride = rup8(value_size);
    const valueAreas = values === "percpu" ? cpus : values === "one" ? 1 : 0;
    const chunk = (count: number): number => areaSpan(count * node) + areaSpan(count * stride) * valueAreas;
    const table = areaSpan(roundUpPow2(entries) * BUCKET_SIZE);
    if ((map_flags & BPF_F_NO_PREALLOC) === 0) return table + chunk(entries + (evicts ? 0 : cpus));
    const perChunk = Math.max(1, Math.floor(GROW_BYTES / Math.max(stride, node)));
    return table + Math.ceil(elements / perChunk) * chunk(perChunk);
  };
}

export const arrayUsage: MemUsage = ({ value_size, max_entries }) => areaSpan(max_entries * rup8(value_size));
export const percpuArrayUsage: MemUsage = (size, cpus, elements) => cpus * arrayUsage(size, cpus, elements);

export const slotsUsage: MemUsage = ({ max_entries }) => areaSpan(max_entries * SLOT_SIZE);

export const stackTraceUsage: MemUsage = ({ value_size, max_entries, map_flags }) => {
  const [buckets, records] = stackTraceSizes(value_size, max_entries, map_flags);
  return areaSpan(buckets) + areaSpan(records);
};

/** A value and what belongs to it, for each slot or entry. */
export const redirectUsage: MemUsage = ({ max_entries }) => 2 * areaSpan(max_entries * REDIRECT_SIZE);
export const devmapHashUsage: MemUsage = ({ max_entries }) =>
  areaSpan(max_entries * REDIRECT_SIZE) + areaSpan(max_entries * DEVICE_NODE) + areaSpan(roundUpPow2(max_entries) * 4);

function pool(blocks: number, stride: number): number {
  const perChunk = blocksPerChunk(stride);
  return Math.ceil(blocks / perChunk) * areaSpan(perChunk * stride);
}

/** At most: how many forks there are follows from the prefixes, and so does what tables and lists take of the metadata. */
export const lpmTrieUsage: MemUsage = ({ key_size, value_size }, _cpus, elements) =>
  elements === 0
    ? 0
    : pool(elements, valueStride(value_size)) + pool(2 * elements - 1, rup8(DATA + key_size - KEY_DATA));

export const queueStackUsage: MemUsage = ({ value_size, max_entries }) => areaSpan((max_entries + 1) * value_size);
export const bloomFilterUsage: MemUsage = ({ max_entries, map_extra }) => areaSpan(bitsOf(max_entries, map_extra) / 8);
export const ringUsage: MemUsage = ({ max_entries }) => areaSpan(mappingSize(max_entries));
export const arenaUsage: MemUsage = ({ max_entries }) => areaSpan(max_entries * PAGE_SIZE);
