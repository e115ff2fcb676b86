/**
 * Operations of ARRAY and PERCPU_ARRAY: all elements exist from the beginning and are changed in place. Kernel
 * counterpart: arraymap.c.
 */
import type { Btf } from "../btf/index.ts";
import { freeAreas } from "../mem/alloc.ts";
import { PAGE_SIZE, rup8 } from "../mem/layout.ts";
import {
  BPF_EXIST,
  BPF_F_INNER_MAP,
  BPF_F_LOCK,
  BPF_F_MMAPABLE,
  BPF_NOEXIST,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTSUPP,
} from "../uapi/index.ts";
import { checkFlags, keyTypeOf, NUMA_AND_ACCESS, onNode, PERCPU_UNIT_MAX } from "./check.ts";
import { emptyFields } from "./element_fields.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { hasSpinLock, readFields, storeInPlace, storeLocked } from "./fields.ts";
import { MAP_FIELDS, MAP_FLAGS, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE } from "./map.ts";
import { allocValues, copyPercpuIn, copyPercpuOut, valuesSpan } from "./values.ts";

/** Address of element 0 (of CPU 0), distance of elements, distance of CPUs. */
export const ARRAY_VALUES: number = MAP_PRIVATE;
export const ARRAY_STRIDE: number = MAP_PRIVATE + 4;
export const ARRAY_SPAN: number = MAP_PRIVATE + 8;

const KEY_SIZE = 4;
// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_MAX_ENTRIES: number = MAP_MAX_ENTRIES >>> 2;
const W_VALUE_SIZE: number = MAP_VALUE_SIZE >>> 2;
const W_FIELDS: number = MAP_FIELDS >>> 2;
const W_VALUES: number = ARRAY_VALUES >>> 2;
const W_STRIDE: number = ARRAY_STRIDE >>> 2;
const INT_MAX = 0x7fff_ffff;

export function allocCheckArray(_env: MapEnv, attr: MapCreateAttr): number {
  const bad = checkSizes(attr, NUMA_AND_ACCESS | BPF_F_MMAPABLE | BPF_F_INNER_MAP);
  if (bad !== 0) return bad;
  return attr.value_size > INT_MAX ? -E2BIG : 0;
}

export function allocCheckPercpuArray(_env: MapEnv, attr: MapCreateAttr): number {
  const bad = checkSizes(attr, NUMA_AND_ACCESS);
  if (bad !== 0) return bad;
  if (onNode(attr)) return -EINVAL;
  return rup8(attr.value_size) > PERCPU_UNIT_MAX ? -E2BIG : 0;
}

function checkSizes(attr: MapCreateAttr, flags: number): number {
  if (attr.max_entries === 0 || attr.key_size !== KEY_SIZE || attr.value_size === 0) return -EINVAL;
  return checkFlags(attr, flags);
}

export function allocArray(env: MapEnv, map: number, attr: MapCreateAttr): number {
  return alloc(env, map, attr, 1);
}

export function allocPercpuArray(env: MapEnv, map: number, attr: MapCreateAttr): number {
  return alloc(env, map, attr, env.cpus);
}

function alloc(env: MapEnv, map: number, attr: MapCreateAttr, cpus: number): number {
  const { u32 } = env.mem;
  const values = allocValues(env.mem, map, attr.max_entries, attr.value_size, attr.map_flags, cpus);
  if (values === 0) return -ENOMEM;
  u32[(map + ARRAY_VALUES) >>> 2] = values;
  u32[(map + ARRAY_STRIDE) >>> 2] = rup8(attr.value_size);
  u32[(map + ARRAY_SPAN) >>> 2] = valuesSpan(attr.max_entries, attr.value_size);
  return 0;
}

export function freeArray(env: MapEnv, map: number): void {
  free(env, map, 1);
}

export function freePercpuArray(env: MapEnv, map: number): void {
  free(env, map, env.cpus);
}

function free(env: MapEnv, map: number, cpus: number): void {
  const { u32 } = env.mem;
  const bytes = u32[(map + MAP_MAX_ENTRIES) >>> 2]! * u32[(map + ARRAY_STRIDE) >>> 2]!;
  freeAreas(env.mem, u32[(map + ARRAY_VALUES) >>> 2]!, bytes, cpus);
}

/** A key is a 32-bit integer; without a key type the value is one of an object's data sections. */
export function checkBtfArray(env: MapEnv, map: number, btf: Btf, keyId: number, valueId: number): number {
  if (keyId === 0) {
    const one = env.mem.u32[(map + MAP_MAX_ENTRIES) >>> 2] === 1;
    return one && btf.types[valueId]?.kind === "datasec" ? 0 : -EINVAL;
  }
  return checkIndexType(btf, keyId);
}

export function checkBtfPercpuArray(_env: MapEnv, _map: number, btf: Btf, keyId: number, _valueId: number): number {
  return keyId === 0 ? -EINVAL : checkIndexType(btf, keyId);
}

function checkIndexType(btf: Btf, keyId: number): number {
  const key = keyTypeOf(btf, keyId);
  return key.kind === "int" && key.bits === KEY_SIZE * 8 && key.bitOffset === 0 ? 0 : -EINVAL;
}

/** The u32 index at this address, wherever it lies. */
export function indexAt(env: MapEnv, key: number): number {
  return (key & 3) === 0 ? env.mem.i32[key >>> 2]! >>> 0 : env.mem.view.getUint32(key, true);
}

/** Address of the element (of CPU 0), or 0 beyond the end. Called by programs and commands; takes no lock. */
export function lookupArray(env: MapEnv, map: number, key: number): number {
  const { i32 } = env.mem;
  const d = map >>> 2;
  const index = indexAt(env, key);
  if (index >= i32[d + W_MAX_ENTRIES]! >>> 0) return 0;
  // An element lies within the 4 GiB, so the product does.
  return (i32[d + W_VALUES]! + Math.imul(index, i32[d + W_STRIDE]!)) >>> 0;
}

/** For globals of programs: an array of one element gives addresses inside it. */
export function directValue(env: MapEnv, map: number, offset: number, to: number): number {
  const { u32 } = env.mem;
  if (u32[(map + MAP_MAX_ENTRIES) >>> 2] !== 1) return -ENOTSUPP;
  if (offset >= u32[(map + MAP_VALUE_SIZE) >>> 2]!) return -EINVAL;
  u32[to >>> 2] = u32[(map + ARRAY_VALUES) >>> 2]! + offset;
  u32[(to >>> 2) + 1] = 0;
  return 0;
}

export function lookupPercpuArray(env: MapEnv, map: number, key: number): number {
  return lookupPercpuArrayOf(env, map, key, env.cpu);
}

export function lookupPercpuArrayOf(env: MapEnv, map: number, key: number, cpu: number): number {
  if (cpu >= env.cpus) return 0;
  const value = lookupArray(env, map, key);
  return value === 0 ? 0 : value + cpu * env.mem.u32[(map + ARRAY_SPAN) >>> 2]!;
}

export function copyArray(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  const { mem } = env;
  const from = lookupArray(env, map, key);
  if (from === 0) return -ENOENT;
  const { i32 } = mem;
  const d = map >>> 2;
  if (i32[d + W_FIELDS] === 0) mem.copy(value, from, i32[d + W_VALUE_SIZE]!);
  else readFields(mem, map, value, from, flags);
  return 0;
}

export function copyPercpuArray(env: MapEnv, map: number, key: number, value: number): number {
  const from = lookupArray(env, map, key);
  if (from === 0) return -ENOENT;
  copyPercpuOut(env, map, value, from, env.mem.u32[(map + ARRAY_SPAN) >>> 2]!);
  return 0;
}

/**
 * Flags of an update: BPF_ANY, NOEXIST or EXIST. From a program the kernel refuses BPF_F_LOCK without a bpf_spin_lock
 * only after the index and NOEXIST; commands refuse it before they come here. `flags` is a whole u64.
 */
function updateFlagsBad(flags: number): boolean {
  return flags > (BPF_F_LOCK | BPF_EXIST) || (flags & ~BPF_F_LOCK) > BPF_EXIST;
}

/**
 * In place and without a lock, as in the kernel: readers may see a mix of two writes, never of one 8-byte word. What the
 * special fields hold ends.
 */
export function updateArray(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (updateFlagsBad(flags)) return -EINVAL;
  const to = lookupArray(env, map, key);
  if (to === 0) return -E2BIG;
  if (flags & BPF_NOEXIST) return -EEXIST;
  if (flags & BPF_F_LOCK) {
    if (!hasSpinLock(env.mem, map)) return -EINVAL;
    storeLocked(env.mem, map, to, value);
  } else {
    storeInPlace(env.mem, map, to, value);
  }
  emptyFields(env, map, to);
  return 0;
}

/** From a command: every CPU's slot. */
export function updatePercpuArrayAll(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const to = lookupArray(env, map, key);
  if (to === 0) return -E2BIG;
  if (flags === BPF_NOEXIST) return -EEXIST;
  const span = env.mem.u32[(map + ARRAY_SPAN) >>> 2]!;
  copyPercpuIn(env, map, to, value, span);
  for (let cpu = 0; cpu < env.cpus; cpu++) emptyFields(env, map, to + cpu * span);
  return 0;
}

/** From a program: this CPU's slot. */
export function updatePercpuArrayOwn(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (updateFlagsBad(flags)) return -EINVAL;
  const to = lookupPercpuArray(env, map, key);
  if (to === 0) return -E2BIG;
  if (flags & BPF_NOEXIST) return -EEXIST;
  if (flags & BPF_F_LOCK) return -EINVAL;
  storeInPlace(env.mem, map, to, value);
  emptyFields(env, map, to);
  return 0;
}

/** All elements are there always. */
export function countArray(env: MapEnv, map: number): number {
  return env.mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
}

/** Elements of an array cannot go. */
export function deleteArray(): number {
  return -EINVAL;
}

/** Every index in turn; one beyond the end starts again. */
export function nextIndex(env: MapEnv, map: number, key: number, next: number): number {
  const max = env.mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  const index = key === 0 ? max : indexAt(env, key);
  if (index === max - 1) return -ENOENT;
  env.mem.view.setUint32(next, index >= max ? 0 : index + 1, true);
  return 0;
}

/** The index of the element whose value lies here, copied to `key`. */
export function keyOfArray(env: MapEnv, map: number, value: number, key: number): void {
  const { u32 } = env.mem;
  u32[key >>> 2] = Math.floor((value - u32[(map + ARRAY_VALUES) >>> 2]!) / u32[(map + ARRAY_STRIDE) >>> 2]!);
}

/** bpf_for_each_map_elem: indexes ascending. The state is the next one. */
export function walkArray(env: MapEnv, map: number, state: number, key: number): number {
  const { u32 } = env.mem;
  const index = u32[state >>> 2]!;
  if (index >= u32[(map + MAP_MAX_ENTRIES) >>> 2]!) return 0;
  u32[state >>> 2] = index + 1;
  u32[key >>> 2] = index;
  return lookupArray(env, map, key);
}

export function walkPercpuArray(env: MapEnv, map: number, state: number, key: number): number {
  const value = walkArray(env, map, state, key);
  return value === 0 ? 0 : value + env.cpu * env.mem.u32[(map + ARRAY_SPAN) >>> 2]!;
}

/** mmap of an array with BPF_F_MMAPABLE: the elements with their padding, rounded up to whole pages. */
export function mmapArray(env: MapEnv, map: number, offset: number, length: number): number {
  const { u32 } = env.mem;
  if ((u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_MMAPABLE) === 0) return -EINVAL;
  const bytes = u32[(map + MAP_MAX_ENTRIES) >>> 2]! * u32[(map + ARRAY_STRIDE) >>> 2]!;
  if (offset + length > Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE) return -EINVAL;
  return u32[(map + ARRAY_VALUES) >>> 2]! + offset;
}

/** All elements with their padding: what the kernel hashes. */
export function contentOfArray(env: MapEnv, map: number): readonly [begin: number, end: number] {
  const { u32 } = env.mem;
  const begin = u32[(map + ARRAY_VALUES) >>> 2]!;
  return [begin, begin + u32[(map + MAP_MAX_ENTRIES) >>> 2]! * u32[(map + ARRAY_STRIDE) >>> 2]!];
}
