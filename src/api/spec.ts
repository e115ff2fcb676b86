/** What `createMap` takes: one shape for each map type, told apart by `type`. An option that a type lacks does not compile. */
import type { AnyCodec, LpmKeyCodec } from "./codec/index.ts";
import type { PinOptions } from "./pin.ts";
import type { RecordDecoder } from "./ring_buffer.ts";
import type { RecordEncoder } from "./user_ring_buffer.ts";

interface CommonSpec {
  /** Up to 15 characters: letters, digits, `_` and `.`. */
  readonly name?: string;
  /** False: no BTF is made of the codecs. Default true: `bpftool` and others show keys and values by name. */
  readonly btf?: boolean;
  /**
   * Opens the map that is pinned there if it is what this spec asks for, and otherwise makes and pins one. An absolute
   * path in a bpffs whose directories exist; or `by-name`: /sys/fs/bpf/<name>; or with what to do when it does not fit.
   * Since Linux 4.4.
   */
  readonly pin?: string | PinOptions;
  /** More of map_flags than the options have words for. */
  readonly rawFlags?: number;
}

interface AccessSpec {
  /** What this handle may do through bpf(2): BPF_F_RDONLY, BPF_F_WRONLY. Does not bind programs. Default: both. Since Linux 4.15. */
  readonly access?: Access;
  /** What programs may do: BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG. Default: both. Since Linux 5.2. */
  readonly progAccess?: Access;
}

/** Read only, or write only. */
export type Access = "ro" | "wo";

interface NumaSpec {
  /** Where memory is taken: BPF_F_NUMA_NODE. Since Linux 4.14. */
  readonly numaNode?: number;
}

interface HashLike extends CommonSpec, AccessSpec {
  readonly key: AnyCodec;
  /** Of one CPU for per-CPU types. */
  readonly value: AnyCodec;
  /** Most elements. */
  readonly maxEntries: number;
  /** Hash with seed 0, so that the order of iteration is the same each time: BPF_F_ZERO_SEED. Since Linux 5.0. */
  readonly zeroSeed?: boolean;
}

/** BPF_MAP_TYPE_HASH. Since Linux 3.19. */
export interface HashSpec extends HashLike, NumaSpec {
  readonly type: "hash";
  /** False: elements are taken from memory one by one (BPF_F_NO_PREALLOC). Default true. */
  readonly prealloc?: boolean;
}

/** BPF_MAP_TYPE_PERCPU_HASH: a value for each possible CPU. Since Linux 4.6. */
export interface PerCpuHashSpec extends HashLike {
  readonly type: "percpu_hash";
  /** False: elements are taken from memory one by one (BPF_F_NO_PREALLOC). Default true. */
  readonly prealloc?: boolean;
}

/** BPF_MAP_TYPE_LRU_HASH: a full map makes room by itself. Since Linux 4.10. */
export interface LruHashSpec extends HashLike, NumaSpec {
  readonly type: "lru_hash";
  /** False: each CPU has a list of its own, and a share of the elements (BPF_F_NO_COMMON_LRU). Default true. */
  readonly commonLru?: boolean;
}

/** BPF_MAP_TYPE_LRU_PERCPU_HASH: a value for each possible CPU; a full map makes room by itself. Since Linux 4.10. */
export interface LruPerCpuHashSpec extends HashLike {
  readonly type: "lru_percpu_hash";
  /** False: each CPU has a list of its own, and a share of the elements (BPF_F_NO_COMMON_LRU). Default true. */
  readonly commonLru?: boolean;
}

/** BPF_MAP_TYPE_ARRAY. Since Linux 3.19. */
export interface ArraySpec extends CommonSpec, AccessSpec, NumaSpec {
  readonly type: "array";
  readonly value: AnyCodec;
  /** How many elements there are: all of them from the start, zero. */
  readonly maxEntries: number;
  /** `mmap()` works: BPF_F_MMAPABLE. Since Linux 5.5. */
  readonly mmapable?: boolean;
}

/** BPF_MAP_TYPE_PERCPU_ARRAY. Since Linux 4.6. */
export interface PerCpuArraySpec extends CommonSpec, AccessSpec {
  readonly type: "percpu_array";
  /** Of one CPU. */
  readonly value: AnyCodec;
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_LPM_TRIE: longest prefix match. Since Linux 4.11. */
export interface LpmTrieSpec extends CommonSpec, AccessSpec, NumaSpec {
  readonly type: "lpm_trie";
  /** `lpmKey(ipv4)` */
  readonly key: LpmKeyCodec<AnyCodec>;
  readonly value: AnyCodec;
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_BLOOM_FILTER. Since Linux 5.16. */
export interface BloomFilterSpec extends CommonSpec, AccessSpec, NumaSpec {
  readonly type: "bloom_filter";
  readonly value: AnyCodec;
  /** How many values are expected: it decides how much memory is taken. More can be added. */
  readonly maxEntries: number;
  /** Hash functions, 1 to 15; default 5. More: fewer false positives, more memory, slower. */
  readonly hashes?: number;
  readonly zeroSeed?: boolean;
}

interface QueueLike extends CommonSpec, AccessSpec, NumaSpec {
  readonly value: AnyCodec;
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_QUEUE: first in, first out. Since Linux 4.20. */
export interface QueueSpec extends QueueLike {
  readonly type: "queue";
}

/** BPF_MAP_TYPE_STACK: last in, first out. Since Linux 4.20. */
export interface StackSpec extends QueueLike {
  readonly type: "stack";
}

/** BPF_MAP_TYPE_RINGBUF: records from programs to user space. Since Linux 5.8. */
export interface RingBufSpec extends CommonSpec, NumaSpec {
  readonly type: "ringbuf";
  /** Bytes: a power of two, at least a page. */
  readonly maxEntries: number;
  /** How records are decoded: a codec, or a function of the record's bytes. Without it records are `Uint8Array`s. */
  readonly record?: RecordDecoder;
}

/** BPF_MAP_TYPE_USER_RINGBUF: records from user space to programs. Since Linux 6.1. */
export interface UserRingBufSpec extends CommonSpec, NumaSpec {
  readonly type: "user_ringbuf";
  /** Bytes: a power of two, at least a page. */
  readonly maxEntries: number;
  /** How records are encoded: a codec, or a function that gives a record's bytes. Without it records are `Uint8Array`s. */
  readonly record?: RecordEncoder;
}

/** BPF_MAP_TYPE_ARENA: memory that programs and user space share. Since Linux 6.9. */
export interface ArenaSpec extends CommonSpec {
  readonly type: "arena";
  /** Pages: 1 to 1,048,576 (of 4 KiB). */
  readonly maxEntries: number;
  /**
   * Where user space will map it (map_extra): the beginning of a page, and no multiple of 4 GiB may lie inside the arena.
   * Programs can be loaded before it is mapped, and other processes can map it. Default: wherever it is mapped first.
   */
  readonly address?: bigint;
  /**
   * Only programs allocate pages; looking at one that is not allocated ends the process on the kernel host (a view cannot
   * tell): BPF_F_SEGV_ON_FAULT. Default false: a page is there when it is looked at.
   */
  readonly segvOnFault?: boolean;
}

/** What the maps inside another one are like. */
export type InnerSpec = MapSpecs[Exclude<keyof MapSpecs, "prog_array" | "array_of_maps" | "hash_of_maps">];

interface FdAccessSpec {
  /** What this handle may do through bpf(2): BPF_F_RDONLY, BPF_F_WRONLY. Default: both. */
  readonly access?: Access;
}

/** BPF_MAP_TYPE_PROG_ARRAY: programs for bpf_tail_call. Since Linux 4.2. */
export interface ProgArraySpec extends CommonSpec, FdAccessSpec, NumaSpec {
  readonly type: "prog_array";
  /** How many slots there are. */
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_ARRAY_OF_MAPS. Since Linux 4.12. */
export interface ArrayOfMapsSpec extends CommonSpec, FdAccessSpec, NumaSpec {
  readonly type: "array_of_maps";
  /** What its maps are like: type, sizes and flags are the same for all. A map is made of it for the creation only. */
  readonly inner: InnerSpec;
  /** How many slots there are. */
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_HASH_OF_MAPS. Since Linux 4.12. */
export interface HashOfMapsSpec extends CommonSpec, AccessSpec, NumaSpec {
  readonly type: "hash_of_maps";
  readonly key: AnyCodec;
  /** What its maps are like: type, sizes and flags are the same for all. A map is made of it for the creation only. */
  readonly inner: InnerSpec;
  /** Most elements. */
  readonly maxEntries: number;
  /** False: elements are taken from memory one by one (BPF_F_NO_PREALLOC). Default true. */
  readonly prealloc?: boolean;
  readonly zeroSeed?: boolean;
}

/** BPF_MAP_TYPE_DEVMAP, DEVMAP_HASH: network devices for bpf_redirect_map. Since Linux 4.14 and 5.4. */
export interface DevMapSpec extends CommonSpec, FdAccessSpec, NumaSpec {
  readonly type: "devmap" | "devmap_hash";
  /** How many slots there are; of a hash, most devices. */
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_CPUMAP: CPUs for bpf_redirect_map. Since Linux 4.15. */
export interface CpuMapSpec extends CommonSpec, NumaSpec {
  readonly type: "cpumap";
  /** How many slots there are: at most as many as the kernel may have CPUs. */
  readonly maxEntries: number;
}

/** BPF_MAP_TYPE_STACK_TRACE: stacks for bpf_get_stackid. Since Linux 4.6. */
export interface StackTraceSpec extends CommonSpec, FdAccessSpec, NumaSpec {
  readonly type: "stack_trace";
  /** Most functions of a stack: 1 to 127 (the sysctl kernel.perf_event_max_stack); what is further out is cut off. */
  readonly depth: number;
  /** Most stacks. */
  readonly maxEntries: number;
  /** Functions of user space by build id and offset in their file: BPF_F_STACK_BUILD_ID, since 4.17. Default false. */
  readonly buildIds?: boolean;
}

/** BPF_MAP_TYPE_PERF_EVENT_ARRAY: records by CPU, for bpf_perf_event_output. Since Linux 4.3. */
export interface PerfEventArraySpec extends CommonSpec, FdAccessSpec, NumaSpec {
  readonly type: "perf_event_array";
  /** How many CPUs have a slot. */
  readonly maxEntries: number;
  /** What records are: a codec, or a function of a copy of their bytes. Default: bytes. */
  readonly record?: RecordDecoder;
  /** Events stay when the fd that put them in is closed: BPF_F_PRESERVE_ELEMS, since 5.10. Default false. */
  readonly preserve?: boolean;
}

/** What each type takes. */
export interface MapSpecs {
  hash: HashSpec;
  lru_hash: LruHashSpec;
  percpu_hash: PerCpuHashSpec;
  lru_percpu_hash: LruPerCpuHashSpec;
  array: ArraySpec;
  percpu_array: PerCpuArraySpec;
  lpm_trie: LpmTrieSpec;
  bloom_filter: BloomFilterSpec;
  queue: QueueSpec;
  stack: StackSpec;
  ringbuf: RingBufSpec;
  user_ringbuf: UserRingBufSpec;
  arena: ArenaSpec;
  prog_array: ProgArraySpec;
  array_of_maps: ArrayOfMapsSpec;
  hash_of_maps: HashOfMapsSpec;
  devmap: DevMapSpec;
  devmap_hash: DevMapSpec;
  cpumap: CpuMapSpec;
  stack_trace: StackTraceSpec;
  perf_event_array: PerfEventArraySpec;
}

/** What `createMap` takes. */
export type MapSpec = MapSpecs[keyof MapSpecs];

/** `S`, or where it has options that its type does not take, that type's spec: then the compiler names the option. */
export type ExactSpec<S extends MapSpec> = [Exclude<keyof S, keyof MapSpecs[S["type"]]>] extends [never]
  ? S
  : MapSpecs[S["type"]];

/** How an existing map is to be seen: its type, and codecs where the map's BTF is not what is wanted. */
export interface MapShapes {
  hash: { readonly type: "hash"; readonly key?: AnyCodec; readonly value?: AnyCodec };
  lru_hash: { readonly type: "lru_hash"; readonly key?: AnyCodec; readonly value?: AnyCodec };
  percpu_hash: { readonly type: "percpu_hash"; readonly key?: AnyCodec; readonly value?: AnyCodec };
  lru_percpu_hash: { readonly type: "lru_percpu_hash"; readonly key?: AnyCodec; readonly value?: AnyCodec };
  array: { readonly type: "array"; readonly value?: AnyCodec };
  percpu_array: { readonly type: "percpu_array"; readonly value?: AnyCodec };
  lpm_trie: { readonly type: "lpm_trie"; readonly key?: LpmKeyCodec<AnyCodec>; readonly value?: AnyCodec };
  bloom_filter: { readonly type: "bloom_filter"; readonly value?: AnyCodec };
  queue: { readonly type: "queue"; readonly value?: AnyCodec };
  stack: { readonly type: "stack"; readonly value?: AnyCodec };
  ringbuf: { readonly type: "ringbuf"; readonly record?: RecordDecoder };
  user_ringbuf: { readonly type: "user_ringbuf"; readonly record?: RecordEncoder };
  arena: { readonly type: "arena" };
  prog_array: { readonly type: "prog_array" };
  array_of_maps: { readonly type: "array_of_maps"; readonly inner?: InnerShape };
  hash_of_maps: { readonly type: "hash_of_maps"; readonly key?: AnyCodec; readonly inner?: InnerShape };
  devmap: { readonly type: "devmap" };
  devmap_hash: { readonly type: "devmap_hash" };
  cpumap: { readonly type: "cpumap" };
  stack_trace: { readonly type: "stack_trace" };
  perf_event_array: { readonly type: "perf_event_array"; readonly record?: RecordDecoder };
}

/** As what the maps inside another one are opened. */
export type InnerShape = MapShapes[Exclude<keyof MapShapes, "prog_array" | "array_of_maps" | "hash_of_maps">];

/** As what an existing map is opened. */
export type MapShape = MapShapes[keyof MapShapes];

/** As `ExactSpec`, for shapes. */
export type ExactShape<S extends MapShape> = [Exclude<keyof S, keyof MapShapes[S["type"]]>] extends [never]
  ? S
  : MapShapes[S["type"]];
