/** Why a map could not be created. The rules and limits are Linux 6.18's (map-semantics 0.2), each asked of the kernel. */
import {
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
  BPF_MAP_CREATE,
  E2BIG,
  EINVAL,
  EMFILE,
  ENOMEM,
  ENOTSUPP,
  EPERM,
} from "../uapi/index.ts";
import type { CreateAttr } from "./create_map.ts";
import { BpfError } from "./error.ts";
import { permissionHint } from "./permission.ts";

const RD_WR: number = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const PERCPU_VALUE_MAX = 32_768;
const VALUE_MAX = 4_194_304;
const HASH_MAX = 4_194_255;
const LPM_KEY_MIN = 5;
const LPM_KEY_MAX = 260;
const BLOOM_HASHES_MAX = 15;
const PAGE = 4096;

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
};

function sizeRule(
  type: string,
  { key_size: key, value_size: value, max_entries: entries, map_extra }: CreateAttr,
): string | undefined {
  switch (type) {
    case "hash":
    case "lru_hash":
    case "percpu_hash":
    case "lru_percpu_hash":
      if (key === 0) return "the key has no bytes";
      if (value === 0) return "the value has no bytes";
      if (type.includes("percpu") && value > PERCPU_VALUE_MAX) return perCpuValue(value);
      return key + value > HASH_MAX ? `key and value have ${key + value} bytes, ${HASH_MAX} are the most` : undefined;
    case "percpu_array":
      return value > PERCPU_VALUE_MAX ? perCpuValue(value) : undefined;
    case "lpm_trie":
      if (key >= LPM_KEY_MIN && key <= LPM_KEY_MAX) return undefined;
      return `the key has ${key} bytes; ${LPM_KEY_MIN} to ${LPM_KEY_MAX} are possible, the prefix length's 4 included`;
    case "queue":
    case "stack":
    case "bloom_filter":
      if (map_extra > BigInt(BLOOM_HASHES_MAX)) return `${map_extra} hashes, ${BLOOM_HASHES_MAX} are the most`;
      return value > VALUE_MAX ? `the value has ${value} bytes, ${VALUE_MAX} are the most` : undefined;
    case "ringbuf":
      if (entries >= PAGE && (entries & (entries - 1)) === 0) return undefined;
      return `maxEntries is ${entries} bytes; a ring has a power of two, at least ${PAGE}`;
    default:
      return undefined;
  }
}

function perCpuValue(value: number): string {
  return `the value has ${value} bytes a CPU, ${PERCPU_VALUE_MAX} are the most`;
}

/** The rule that these attributes break; undefined when none is known. */
function brokenRule(type: string, attr: CreateAttr): string | undefined {
  const { max_entries, value_size, map_flags } = attr;
  if (max_entries === 0) return "maxEntries is 0; at least 1 is needed";
  const size = sizeRule(type, attr);
  if (size !== undefined) return size;
  if (value_size === 0 && type !== "ringbuf") return "the value has no bytes";
  const both = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
  if ((map_flags & both) === both) return "programs could neither read nor write it";
  const allowed = flagsByType[type];
  const extra = allowed === undefined ? 0 : map_flags & ~allowed;
  if (extra !== 0) return `maps of type ${type} do not take the flags 0x${(extra >>> 0).toString(16)}`;
  if ((map_flags & BPF_F_NUMA_NODE) !== 0) return `NUMA node ${attr.numa_node} is not there or not online`;
  return undefined;
}

export function createFailure(host: "embedded" | "kernel", type: string, attr: CreateAttr, errno: number): BpfError {
  const title = `${type} map${attr.map_name === "" ? "" : ` \`${attr.map_name}\``}`;
  const map = { name: attr.map_name, type, id: 0, maxEntries: attr.max_entries };
  const parts = { errno, cmd: BPF_MAP_CREATE, map };
  const what = `cannot create ${title}`;
  switch (-errno) {
    case EINVAL:
    case ENOTSUPP:
    case E2BIG: {
      const rule = brokenRule(type, attr);
      if (rule !== undefined) return new BpfError({ ...parts, what: `${what}: ${rule}` });
      return new BpfError({ ...parts, what });
    }
    case EPERM:
      return new BpfError({ ...parts, what: `${what}: not permitted`, hint: permissionHint("CAP_BPF") });
    case ENOMEM: {
      const size = `${attr.max_entries} elements with ${attr.key_size} + ${attr.value_size} bytes`;
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
