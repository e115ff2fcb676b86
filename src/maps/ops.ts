/**
 * What a map type is: one entry with its traits and operations, as `struct bpf_map_ops` in the kernel. Addresses are
 * offsets into the linear memory; results are >= 0 or a negative errno. An operation that a type does not have is there
 * all the same and gives the kernel's errno, so callers never test for its absence.
 */
import type { Btf } from "../btf/index.ts";
import type { Memory } from "../mem/memory.ts";
import type { BatchOp } from "../struct/batch.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import type { ElementGen, MapGen } from "../struct/gen.ts";
import { metaEqual } from "../struct/inner_map.ts";
import type { MemUsage } from "../struct/mem_usage.ts";
import { BPF_MAP_TYPE_ARRAY, EINVAL, ENOTSUPP, EOPNOTSUPP } from "../uapi/index.ts";

export interface MapTraits {
  /** map_extra may be other than 0. */
  readonly mapExtra?: boolean;
  /** A lookup asks about the value that the caller gives; nothing is copied out (bloom filter). */
  readonly lookupReadsValue?: boolean;
  /** Holds programs, all of one kind: the first one decides. */
  readonly holdsPrograms?: boolean;
  /** Of such a map: the kind includes the attach type that programs were loaded for. */
  readonly ownerAttachType?: boolean;
  /** User space can map it (arrays: with BPF_F_MMAPABLE). */
  readonly mmap?: boolean;
  /** Programs know its memory by user space's addresses: one such map a program, and only once it has an address. */
  readonly userAddresses?: boolean;
  /** A network device may take the map over. */
  readonly offload?: boolean;
  /** bpf_redirect_map takes this type: what its flags may say beside the action. */
  readonly redirectFlags?: number;
  /** Special fields that a value may hold: bits of `btf/special_fields.ts`. */
  readonly fields?: number;
  /** Types of the first check round: the kernel judges their sizes before it looks at permissions. */
  readonly checkedEarly: boolean;
  /** Ids of the helpers that take this type, as the verifier's compatibility table has it. */
  readonly helpers: readonly number[];
}

export interface MapOps {
  /** MAP_CREATE, step one: judges the attributes; takes no memory. */
  map_alloc_check(env: MapEnv, attr: MapCreateAttr): number;
  /** MAP_CREATE, step two: the common fields of the descriptor are filled in; takes memory or gives -ENOMEM with nothing taken. */
  map_alloc(env: MapEnv, map: number, attr: MapCreateAttr): number;
  /** The last reference is gone: gives back all that map_alloc and the elements took. */
  map_free(env: MapEnv, map: number): void;
  /** The last fd and the last pin are gone; programs may use the map still, and another fd can be opened by its id. */
  map_release_uref(env: MapEnv, map: number): void;
  /**
   * Whether a map of this type may take the place that a template describes: 0, -EINVAL, or -ENOTSUPP when the type is
   * never inside another map. `template` has type, sizes and flags where a map's descriptor has them.
   */
  map_meta_equal(mem: Memory, template: number, map: number): number;
  /**
   * MAP_CREATE with BTF: judges the key's and the value's type. Sizes were compared before. Types without it take all that
   * name a key's type (`keyId` is not 0).
   */
  map_check_btf?(env: MapEnv, map: number, btf: Btf, keyId: number, valueId: number): number;

  // From programs, through helpers. Keys and values were checked for their whole length.
  /** Address of the value (the current CPU's for per-CPU types), or 0. */
  map_lookup_elem(env: MapEnv, map: number, key: number): number;
  map_lookup_percpu_elem(env: MapEnv, map: number, key: number, cpu: number): number;
  map_update_elem(env: MapEnv, map: number, key: number, value: number, flags: number): number;
  map_delete_elem(env: MapEnv, map: number, key: number): number;
  map_push_elem(env: MapEnv, map: number, value: number, flags: number): number;
  map_pop_elem(env: MapEnv, map: number, value: number): number;
  map_peek_elem(env: MapEnv, map: number, value: number): number;
  /**
   * bpf_for_each_map_elem: address of the next element's value (the current CPU's for per-CPU types), its key copied to
   * `key`; 0: that was the last one. `state`: WALK_SIZE bytes that are the walk's own, zero when it begins. Elements may
   * be changed and removed between two calls.
   */
  map_for_each(env: MapEnv, map: number, state: number, key: number): number;
  /** Copies the key of the element whose value lies at `value` to `key`, for types whose values may hold timers. */
  map_key_of(env: MapEnv, map: number, value: number, key: number): void;
  /** Code for a call of this helper on this map, where that is cheaper than to call its function; else undefined. */
  map_gen(env: MapEnv, map: number, helper: number): MapGen | undefined;
  /** The same for a map that is found at run time and like this template: the code takes what may differ from the map. */
  map_gen_inner(env: MapEnv, template: number, helper: number): MapGen | undefined;
  /** bpf_redirect_map: whether there is a target with this key: not 0. */
  map_redirect(env: MapEnv, map: number, key: number): number;
  /** A network device is gone: no element names it any more. */
  map_device_gone(env: MapEnv, map: number, ifindex: number): void;
  /** BPF_PSEUDO_MAP_VALUE: puts the address of byte `offset` of the map's only value at `to`, a u64. 0 or an errno. */
  map_direct_value_addr(env: MapEnv, map: number, offset: number, to: number): number;

  // From commands. `value` has the ABI's length; both pointers were checked.
  /** BPF_MAP_LOOKUP_ELEM: copies out. `flags`: 0, or BPF_F_LOCK where the values hold a bpf_spin_lock. */
  map_copy_value(env: MapEnv, map: number, key: number, value: number, flags: number): number;
  /** BPF_MAP_UPDATE_ELEM: copies in. */
  map_update_value(env: MapEnv, map: number, key: number, value: number, flags: number): number;
  /** BPF_MAP_DELETE_ELEM. */
  map_delete_value(env: MapEnv, map: number, key: number): number;
  map_lookup_and_delete_elem(env: MapEnv, map: number, key: number, value: number, flags: number): number;
  /** `key` 0 asks for the first. `next` may be the same address as `key`. */
  map_get_next_key(env: MapEnv, map: number, key: number, next: number): number;
  /** Code for BPF_MAP_LOOKUP_ELEM, UPDATE or DELETE of maps without special fields; undefined: the operation above does it. */
  map_gen_element(env: MapEnv, cmd: number): ElementGen | undefined;

  // From the batch commands: the fd's mode was judged, nothing else. All four see to flags, count and the caller's memory.
  readonly map_lookup_batch: BatchOp;
  readonly map_lookup_and_delete_batch: BatchOp;
  readonly map_update_batch: BatchOp;
  readonly map_delete_batch: BatchOp;

  /** How many elements there are now: no command of bpf(2), asked by the API. -ENOTSUPP: the type does not know. */
  map_count(env: MapEnv, map: number): number;
  /**
   * mmap, step one, before all other checks: judges where it may lie. `hint`: the caller's wish, a user space address, or
   * 0. `length` is whole pages. 0 or an errno.
   */
  map_get_unmapped_area(env: MapEnv, map: number, hint: bigint, offset: number, length: number): number;
  /** mmap, step two: address of byte `offset` of what the type maps, after the common checks; or an errno. */
  map_mmap(env: MapEnv, map: number, offset: number, length: number, writable: boolean, hint: bigint): number;
  /** Where the elements begin and end, of types whose contents can be hashed (bpf_map_info.hash); else undefined. */
  map_content(env: MapEnv, map: number): readonly [begin: number, end: number] | undefined;
  /** poll: EPOLL* bits that are ready now. */
  map_poll(env: MapEnv, map: number): number;
}

export interface MinimalAttr {
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags?: number;
  /** Types that hold maps: of the map behind inner_map_fd. */
  readonly inner?: MinimalAttr & { readonly map_type: number };
}

/** The smallest map to stand behind inner_map_fd. */
export const minimalInner: MinimalAttr & { readonly map_type: number } = {
  map_type: BPF_MAP_TYPE_ARRAY,
  key_size: 4,
  value_size: 1,
  max_entries: 1,
};

export interface MapTypeEntry {
  /** First Linux release that has the type. */
  readonly since: string;
  readonly traits: MapTraits;
  /** The smallest attributes that the kernel accepts: probes, docs and tests start from them. */
  readonly minimalAttr: MinimalAttr;
  /** How much memory a map takes: asked before there is one. */
  readonly memUsage: MemUsage;
  readonly ops: MapOps;
}

const EPOLLERR = 8;

/** The kernel's answers for operations that a type leaves out. Every type spreads this first. */
export const unsupportedOps: Omit<MapOps, "map_alloc_check" | "map_alloc" | "map_free"> = {
  map_release_uref: () => {},
  map_meta_equal: metaEqual,
  map_lookup_elem: () => 0,
  map_lookup_percpu_elem: () => 0,
  map_update_elem: () => -EOPNOTSUPP,
  map_delete_elem: () => -EOPNOTSUPP,
  map_push_elem: () => -EOPNOTSUPP,
  map_pop_elem: () => -EOPNOTSUPP,
  map_peek_elem: () => -EOPNOTSUPP,
  map_for_each: () => 0,
  map_key_of: () => {},
  map_gen: () => undefined,
  map_gen_inner: () => undefined,
  map_redirect: () => 0,
  map_device_gone: () => {},
  map_direct_value_addr: () => -EINVAL,
  map_copy_value: () => -ENOTSUPP,
  map_update_value: () => -ENOTSUPP,
  map_delete_value: () => -ENOTSUPP,
  map_lookup_and_delete_elem: () => -ENOTSUPP,
  map_get_next_key: () => -ENOTSUPP,
  map_gen_element: () => undefined,
  map_lookup_batch: () => -ENOTSUPP,
  map_lookup_and_delete_batch: () => -ENOTSUPP,
  map_update_batch: () => -ENOTSUPP,
  map_delete_batch: () => -ENOTSUPP,
  map_count: () => -ENOTSUPP,
  map_get_unmapped_area: () => 0,
  map_mmap: () => -ENOTSUPP,
  map_content: () => undefined,
  map_poll: () => EPOLLERR,
};
