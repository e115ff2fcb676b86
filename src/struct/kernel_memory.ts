/**
 * How much memory a map takes in Linux 6.18 on x86-64: `memlock` of /proc/self/fdinfo, to the byte. The heads are the
 * sizes of that kernel's structs (a build with other options can differ by some), the rest is how each type grows.
 * Kernel counterpart: map_mem_usage in struct bpf_map_ops.
 */
import { PAGE_SIZE, roundUpPow2, rup8 } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, type BpfMapType } from "../uapi/index.ts";
import { bitsOf } from "./bloom.ts";

/** What decides a map's size, with the kernel's names: attributes of MAP_CREATE. */
export interface MapSize {
  readonly map_type: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags: number;
  /** Bloom filters: the number of hash functions, or 0. */
  readonly map_extra: number;
}

/** `elements`: how many there are, which counts where elements are not taken in advance. */
type Usage = (size: MapSize, cpus: number, elements: number) => number;

const POINTER = 8;
const pages = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;

/** Buckets have 16 bytes each; elements a head of 48. */
const HASH_HEAD = 896;
const HASH_BUCKET = 16;
const HASH_ELEMENT = 48;
/** What the allocator of elements that come one by one puts before each. */
const LIST_NODE = 8;

interface HashKind {
  readonly percpu?: boolean;
  /** One element more for each CPU, so that an update finds a free one in a full map. */
  readonly spare?: boolean;
  readonly evicts?: boolean;
  /** Values are pointers to inner maps. */
  readonly ofMaps?: boolean;
}

function hash(kind: HashKind): Usage {
  return ({ key_size, value_size, max_entries, map_flags }, cpus, elements) => {
    const entries = map_flags & BPF_F_NO_COMMON_LRU ? Math.ceil(max_entries / cpus) * cpus : max_entries;
    const table = HASH_HEAD + roundUpPow2(entries) * HASH_BUCKET;
    const inside = kind.percpu || kind.ofMaps ? POINTER : rup8(value_size);
    const element = HASH_ELEMENT + rup8(key_size) + inside;
    const values = kind.percpu ? rup8(value_size) * cpus : 0;
    if (map_flags & BPF_F_NO_PREALLOC) {
      const outside = kind.percpu ? LIST_NODE + POINTER + values : 0;
      return table + elements * (element + LIST_NODE + outside);
    }
    const spares = kind.percpu || kind.evicts ? 0 : POINTER * cpus;
    return table + (entries + (kind.spare ? cpus : 0)) * element + entries * values + spares;
  };
}

const ARRAY_HEAD = 312;

const array: Usage = ({ value_size, max_entries, map_flags }) => {
  const values = rup8(value_size) * max_entries;
  return map_flags & BPF_F_MMAPABLE ? pages(ARRAY_HEAD) + pages(values) : ARRAY_HEAD + values;
};

const percpuArray: Usage = ({ value_size, max_entries }, cpus) =>
  ARRAY_HEAD + max_entries * (POINTER + rup8(value_size) * cpus);

/** A pointer for each entry, and what an entry that is there takes itself. */
function slots(head: number, element = 0): Usage {
  return ({ max_entries }, _cpus, elements) => head + max_entries * POINTER + elements * element;
}

const stackTrace: Usage = ({ value_size, max_entries }) =>
  320 + roundUpPow2(max_entries) * POINTER + max_entries * (16 + value_size);

const lpmTrie: Usage = ({ key_size, value_size }, _cpus, elements) => elements * (24 + key_size - 4 + value_size);

const queueStack: Usage = ({ value_size, max_entries }) => 312 + (max_entries + 1) * value_size;

const bloomFilter: Usage = ({ max_entries, map_extra }) => 312 + bitsOf(max_entries, map_extra) / 8;

/** Three pages beside the data, and two pointers to each page of data, which is mapped twice. */
const ring: Usage = ({ max_entries }) => {
  const data = max_entries / PAGE_SIZE;
  return 304 + (3 + data) * PAGE_SIZE + (3 + 2 * data) * POINTER;
};

/** Buckets follow the CPUs; elements lie with the objects that they belong to and are not counted. */
const localStorage: Usage = (_size, cpus) => 448 + Math.max(2, roundUpPow2(cpus)) * 16;
const fixed =
  (bytes: number): Usage =>
  () =>
    bytes;

const usages: Readonly<Partial<Record<BpfMapType, Usage>>> = {
  [u.BPF_MAP_TYPE_HASH]: hash({ spare: true }),
  [u.BPF_MAP_TYPE_ARRAY]: array,
  [u.BPF_MAP_TYPE_PROG_ARRAY]: array,
  [u.BPF_MAP_TYPE_PERF_EVENT_ARRAY]: array,
  [u.BPF_MAP_TYPE_PERCPU_HASH]: hash({ percpu: true }),
  [u.BPF_MAP_TYPE_PERCPU_ARRAY]: percpuArray,
  [u.BPF_MAP_TYPE_STACK_TRACE]: stackTrace,
  [u.BPF_MAP_TYPE_CGROUP_ARRAY]: array,
  [u.BPF_MAP_TYPE_LRU_HASH]: hash({ evicts: true }),
  [u.BPF_MAP_TYPE_LRU_PERCPU_HASH]: hash({ percpu: true, evicts: true }),
  [u.BPF_MAP_TYPE_LPM_TRIE]: lpmTrie,
  [u.BPF_MAP_TYPE_ARRAY_OF_MAPS]: array,
  [u.BPF_MAP_TYPE_HASH_OF_MAPS]: hash({ ofMaps: true }),
  [u.BPF_MAP_TYPE_DEVMAP]: slots(344, 64),
  [u.BPF_MAP_TYPE_SOCKMAP]: slots(376),
  [u.BPF_MAP_TYPE_CPUMAP]: slots(304),
  [u.BPF_MAP_TYPE_XSKMAP]: slots(304),
  [u.BPF_MAP_TYPE_SOCKHASH]: ({ key_size, max_entries }, _cpus, elements) =>
    384 + roundUpPow2(max_entries) * HASH_BUCKET + elements * (48 + rup8(key_size)),
  [u.BPF_MAP_TYPE_CGROUP_STORAGE]: fixed(328),
  [u.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY]: slots(296),
  [u.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]: fixed(328),
  [u.BPF_MAP_TYPE_QUEUE]: queueStack,
  [u.BPF_MAP_TYPE_STACK]: queueStack,
  [u.BPF_MAP_TYPE_SK_STORAGE]: localStorage,
  [u.BPF_MAP_TYPE_DEVMAP_HASH]: ({ max_entries }, _cpus, elements) =>
    344 + roundUpPow2(max_entries) * POINTER + elements * 64,
  [u.BPF_MAP_TYPE_RINGBUF]: ring,
  [u.BPF_MAP_TYPE_INODE_STORAGE]: localStorage,
  [u.BPF_MAP_TYPE_TASK_STORAGE]: localStorage,
  [u.BPF_MAP_TYPE_BLOOM_FILTER]: bloomFilter,
  [u.BPF_MAP_TYPE_USER_RINGBUF]: ring,
  [u.BPF_MAP_TYPE_CGRP_STORAGE]: localStorage,
  [u.BPF_MAP_TYPE_ARENA]: fixed(0),
};

/**
 * Bytes that the kernel counts for a map with these attributes, valid ones, on a machine with so many possible CPUs;
 * undefined for types whose size it takes from a program (STRUCT_OPS) or that it does not know.
 */
export function kernelMapMemory(size: MapSize, cpus: number, elements = 0): number | undefined {
  return usages[size.map_type as BpfMapType]?.(size, cpus, elements);
}
