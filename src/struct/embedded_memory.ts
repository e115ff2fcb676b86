/**
 * How much memory a map takes here: what its `map_alloc` and its elements take, in whole granules. `kernel_memory.ts` has
 * the same for Linux. Descriptors and lists of LRU maps, some hundred bytes of metadata, do not count.
 */
import { areaSpan } from "../mem/alloc.ts";
import { PAGE_SIZE, roundUpPow2, rup8 } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, type BpfMapType } from "../uapi/index.ts";
import { bitsOf } from "./bloom.ts";
import { BUCKET_SIZE, GROW_BYTES, NODE_HEAD } from "./hashtab.ts";
import type { MapSize } from "./kernel_memory.ts";
import { DATA, KEY_DATA } from "./lpm_node.ts";
import { valueStride } from "./lpm_trie.ts";
import { LRU_LINKS } from "./lru_list.ts";
import { blocksPerChunk } from "./pool.ts";
import { mappingSize } from "./ring_map.ts";
import { SLOT_SIZE } from "./slots.ts";

type Usage = (size: MapSize, cpus: number, elements: number) => number;

/** `values`: one an element, one a CPU, or none of their own. */
function hash(values: "one" | "percpu" | "none", evicts: boolean): Usage {
  return ({ key_size, value_size, max_entries, map_flags }, cpus, elements) => {
    const entries = map_flags & BPF_F_NO_COMMON_LRU ? Math.ceil(max_entries / cpus) * cpus : max_entries;
    const node = NODE_HEAD + (evicts ? LRU_LINKS : 0) + rup8(key_size);
    const stride = rup8(value_size);
    const valueAreas = values === "percpu" ? cpus : values === "one" ? 1 : 0;
    const chunk = (count: number): number => areaSpan(count * node) + areaSpan(count * stride) * valueAreas;
    const table = areaSpan(roundUpPow2(entries) * BUCKET_SIZE);
    if ((map_flags & BPF_F_NO_PREALLOC) === 0) return table + chunk(entries + (evicts ? 0 : cpus));
    const perChunk = Math.max(1, Math.floor(GROW_BYTES / Math.max(stride, node)));
    return table + Math.ceil(elements / perChunk) * chunk(perChunk);
  };
}

function array(percpu: boolean): Usage {
  return ({ value_size, max_entries }, cpus) => areaSpan(max_entries * rup8(value_size)) * (percpu ? cpus : 1);
}

const slots: Usage = ({ max_entries }) => areaSpan(max_entries * SLOT_SIZE);

function pool(blocks: number, stride: number): number {
  const perChunk = blocksPerChunk(stride);
  return Math.ceil(blocks / perChunk) * areaSpan(perChunk * stride);
}

/** At most: how many forks there are follows from the prefixes, and so does what tables take of the metadata. */
const lpmTrie: Usage = ({ key_size, value_size }, _cpus, elements) =>
  elements === 0
    ? 0
    : pool(elements, valueStride(value_size)) + pool(2 * elements - 1, rup8(DATA + key_size - KEY_DATA));

const queueStack: Usage = ({ value_size, max_entries }) => areaSpan((max_entries + 1) * value_size);
const bloomFilter: Usage = ({ max_entries, map_extra }) => areaSpan(bitsOf(max_entries, map_extra) / 8);
const ring: Usage = ({ max_entries }) => areaSpan(mappingSize(max_entries));

const usages: Readonly<Partial<Record<BpfMapType, Usage>>> = {
  [u.BPF_MAP_TYPE_HASH]: hash("one", false),
  [u.BPF_MAP_TYPE_PERCPU_HASH]: hash("percpu", false),
  [u.BPF_MAP_TYPE_LRU_HASH]: hash("one", true),
  [u.BPF_MAP_TYPE_LRU_PERCPU_HASH]: hash("percpu", true),
  [u.BPF_MAP_TYPE_ARRAY]: array(false),
  [u.BPF_MAP_TYPE_PERCPU_ARRAY]: array(true),
  [u.BPF_MAP_TYPE_HASH_OF_MAPS]: hash("none", false),
  [u.BPF_MAP_TYPE_ARRAY_OF_MAPS]: slots,
  [u.BPF_MAP_TYPE_PROG_ARRAY]: slots,
  [u.BPF_MAP_TYPE_LPM_TRIE]: lpmTrie,
  [u.BPF_MAP_TYPE_QUEUE]: queueStack,
  [u.BPF_MAP_TYPE_STACK]: queueStack,
  [u.BPF_MAP_TYPE_BLOOM_FILTER]: bloomFilter,
  [u.BPF_MAP_TYPE_RINGBUF]: ring,
  [u.BPF_MAP_TYPE_USER_RINGBUF]: ring,
  [u.BPF_MAP_TYPE_ARENA]: ({ max_entries }) => areaSpan(max_entries * PAGE_SIZE),
};

/** Bytes of a map's areas with these attributes, valid ones; undefined for types that are not built. */
export function embeddedMapMemory(size: MapSize, cpus: number, elements: number): number | undefined {
  return usages[size.map_type as BpfMapType]?.(size, cpus, elements);
}
