/** Why a map could not be created. The rules and limits are Linux 6.18's, each asked of the kernel. */
import { laterTypes, mapEntry } from "../maps/registry.ts";
import { KMALLOC_MAX, PERCPU_UNIT_MAX } from "../struct/check.ts";
import {
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NO_USER_CONV,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_SEGV_ON_FAULT,
  BPF_F_STACK_BUILD_ID,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
  BPF_MAP_CREATE,
  type BpfMapType,
  bpf_stack_build_id,
  bpfMapTypeNames,
  E2BIG,
  EINVAL,
  EMFILE,
  ENOMEM,
  ENOTSUPP,
  EPERM,
  ERANGE,
} from "../uapi/index.ts";
import type { CreateAttr } from "./create_map.ts";
import { BpfError } from "./error.ts";
import { permissionHint } from "./permission.ts";

const RD_WR: number = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
/** The kernel's own 48 bytes of an element go with key and value, and all of it stays below a block's size. */
const HASH_MAX: number = KMALLOC_MAX - 48 - 1;
const LPM_KEY_MIN = 5;
const LPM_KEY_MAX = 260;
const BLOOM_HASHES_MAX = 15;
const PAGE = 4096;
/** Most functions of a stack, and bytes of one. */
const STACK_MAX = 127;
const FRAME_SIZE = 8;
const ARENA_PAGES_MAX = 1_048_576;
/** Types without values. */
const valueless: ReadonlySet<string> = new Set(["ringbuf", "user_ringbuf", "arena"]);
/** numa_node that stands for none. */
const NO_NODE = 0xffff_ffff;

/** Flags that a type takes. */
const flagsByType: Readonly<Record<string, number>> = {
  hash: BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | RD_WR,
  percpu_hash: BPF_F_NO_PREALLOC | BPF_F_ZERO_SEED | RD_WR,
  lru_percpu_hash: BPF_F_NO_COMMON_LRU | BPF_F_ZERO_SEED | RD_WR,
  lru_hash: BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | RD_WR,
  array: BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_INNER_MAP | RD_WR,
  percpu_array: RD_WR,
  lpm_trie: BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | RD_WR,
  bloom_filter: BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | RD_WR,
  queue: BPF_F_NUMA_NODE | RD_WR,
  stack: BPF_F_NUMA_NODE | RD_WR,
  ringbuf: BPF_F_NUMA_NODE,
  user_ringbuf: BPF_F_NUMA_NODE,
  arena: BPF_F_MMAPABLE | BPF_F_SEGV_ON_FAULT | BPF_F_NO_USER_CONV,
  prog_array: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY,
  array_of_maps: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY,
  devmap: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY,
  devmap_hash: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY,
  cpumap: BPF_F_NUMA_NODE,
  stack_trace: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID,
  perf_event_array: BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_PRESERVE_ELEMS,
  hash_of_maps: BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | RD_WR,
};

function sizeRule(
  type: string,
  { key_size: key, value_size: value, max_entries: entries, map_extra, map_flags }: CreateAttr,
): string | undefined {
  switch (type) {
    case "hash":
    case "hash_of_maps":
    case "lru_hash":
    case "percpu_hash":
    case "lru_percpu_hash":
      if (key === 0) return "the key has no bytes";
      if (value === 0) return "the value has no bytes";
      if (type.includes("percpu") && value > PERCPU_UNIT_MAX) return perCpuValue(value);
      return key + value > HASH_MAX ? `key and value have ${key + value} bytes, ${HASH_MAX} are the most` : undefined;
    case "percpu_array":
      return value > PERCPU_UNIT_MAX ? perCpuValue(value) : undefined;
    case "lpm_trie":
      if (key >= LPM_KEY_MIN && key <= LPM_KEY_MAX) return undefined;
      return `the key has ${key} bytes; ${LPM_KEY_MIN} to ${LPM_KEY_MAX} are possible, the prefix length's 4 included`;
    case "queue":
    case "stack":
    case "bloom_filter":
      if (map_extra > BigInt(BLOOM_HASHES_MAX)) return `${map_extra} hashes, ${BLOOM_HASHES_MAX} are the most`;
      return value > KMALLOC_MAX ? `the value has ${value} bytes, ${KMALLOC_MAX} are the most` : undefined;
    case "ringbuf":
    case "user_ringbuf":
      if (key !== 0 || value !== 0) return `a ring has neither keys nor values: ${key} and ${value} bytes, expected 0`;
      if (entries >= PAGE && (entries & (entries - 1)) === 0) return undefined;
      return `maxEntries is ${entries} bytes; a ring has a power of two, at least ${PAGE}`;
    case "stack_trace":
      if (value === 0) return "depth is 0; at least 1 is needed";
      return value > STACK_MAX * (map_flags & BPF_F_STACK_BUILD_ID ? bpf_stack_build_id.size : FRAME_SIZE)
        ? `depth is more than ${STACK_MAX} (the sysctl kernel.perf_event_max_stack)`
        : undefined;
    case "arena":
      if (entries > ARENA_PAGES_MAX) return `maxEntries is ${entries} pages, ${ARENA_PAGES_MAX} are the most (4 GiB)`;
      return arenaAddress(entries, map_extra);
    default:
      return undefined;
  }
}

function arenaAddress(pages: number, address: bigint): string | undefined {
  const shown = `address is 0x${address.toString(16)}`;
  if (address % BigInt(PAGE) !== 0n) return `${shown}, which does not begin a page of ${PAGE} bytes`;
  const last = address + BigInt(pages * PAGE - 1);
  return address >> 32n === last >> 32n ? undefined : `${shown}: a multiple of 4 GiB would lie inside the arena`;
}

function perCpuValue(value: number): string {
  return `the value has ${value} bytes a CPU, ${PERCPU_UNIT_MAX} are the most`;
}

/** The rule that these attributes break; undefined when none is known. */
function brokenRule(type: string, attr: CreateAttr): string | undefined {
  const { max_entries, value_size, map_flags } = attr;
  if (max_entries === 0) return "maxEntries is 0; at least 1 is needed";
  const size = sizeRule(type, attr);
  if (size !== undefined) return size;
  if (value_size === 0 && !valueless.has(type)) return "the value has no bytes";
  const both = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
  if ((map_flags & both) === both) return "programs could neither read nor write it";
  const allowed = flagsByType[type];
  const extra = allowed === undefined ? 0 : map_flags & ~allowed;
  if (extra !== 0) return `maps of type ${type} do not take the flags 0x${(extra >>> 0).toString(16)}`;
  return undefined;
}

function invalid(type: string, attr: CreateAttr, errno: number): string | undefined {
  const rule = brokenRule(type, attr);
  if (rule !== undefined) return rule;
  const { map_flags, numa_node: node } = attr;
  const given = (map_flags & BPF_F_NUMA_NODE) !== 0 && node !== NO_NODE;
  // Every machine has node 0: then it is something else.
  return given && node !== 0 && errno === -EINVAL ? `NUMA node ${node} is not there or not online` : undefined;
}

function sizeOf(type: string, { key_size, value_size, max_entries }: CreateAttr): string {
  if (type === "arena") return `${max_entries} pages`;
  if (valueless.has(type)) return `a ring of ${max_entries} bytes`;
  return `${max_entries} elements with ${key_size} + ${value_size} bytes`;
}

export function createFailure(host: "embedded" | "kernel", type: string, attr: CreateAttr, errno: number): BpfError {
  const title = `${type} map${attr.map_name === "" ? "" : ` \`${attr.map_name}\``}`;
  const map = { name: attr.map_name, type, id: 0, maxEntries: attr.max_entries };
  const parts = { errno, cmd: BPF_MAP_CREATE, map };
  const what = `cannot create ${title}`;
  switch (-errno) {
    case EINVAL:
    case ENOTSUPP:
    case ERANGE:
    case E2BIG: {
      const later = laterTypes[attr.map_type as BpfMapType];
      if (host === "embedded" && later !== undefined)
        return new BpfError({
          ...parts,
          what,
          hint: `the embedded host is Linux 6.18: ${type} came with ${later.since}`,
        });
      if (host === "embedded" && bpfMapTypeNames[attr.map_type] !== undefined && mapEntry(attr.map_type) === undefined)
        return new BpfError({ ...parts, what, hint: `the embedded host has no maps of type ${type} yet` });
      if (host === "embedded" && bpfMapTypeNames[attr.map_type] === undefined)
        return new BpfError({ ...parts, what: `${what}: Linux 6.18 has no map type of this number` });
      const rule = invalid(type, attr, errno);
      return new BpfError({ ...parts, what: rule === undefined ? what : `${what}: ${rule}` });
    }
    case EPERM:
      return new BpfError({ ...parts, what: `${what}: not permitted`, hint: permissionHint("CAP_BPF") });
    case ENOMEM: {
      const size = sizeOf(type, attr);
      const hint = host === "embedded" ? "give createEmbedded() more `memory`, or lower maxEntries" : undefined;
      return new BpfError({ ...parts, what: `${what}: no memory for ${size}`, hint });
    }
    case EMFILE:
      return new BpfError({
        ...parts,
        what: `${what}: too many open files`,
        hint: "close maps that are not used any more",
      });
    default:
      return new BpfError({ ...parts, what });
  }
}
