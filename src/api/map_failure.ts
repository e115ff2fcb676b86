/** The error of a call on an open map: errno, command and type together often say what is wrong, and what to do. */
import {
  BPF_F_MMAPABLE,
  BPF_F_RDONLY_PROG,
  BPF_MAP_DELETE_BATCH,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  bpfCmdNames,
  E2BIG,
  EACCES,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTSUPP,
  EPERM,
  errnoName,
} from "../uapi/index.ts";
import { BpfError, BulkError, type BulkProgress, type ErrorMap } from "./error.ts";
import { toHex } from "./hex.ts";
import type { MapInfo } from "./info.ts";

/** What a caller knows about a failed call besides the errno. */
export interface Shown {
  /** The key, or the index of an array. */
  readonly key?: unknown;
  /** Of an object that was to be put in: why it does not fit. */
  readonly misfit?: string;
  /** Whether the call was to be made under the bpf_spin_lock in the value. */
  readonly locked?: boolean;
  /** Of mmap: whether it was to be written. */
  readonly writable?: boolean;
  /** Of a call with many elements: how far it came. */
  readonly bulk?: BulkProgress;
}

export interface MapFailure extends Shown {
  readonly cmd: number | string;
  readonly errno: number;
  readonly map: MapInfo;
  /** What the fd allows; undefined: not known. */
  readonly access: string | undefined;
  readonly closed: boolean;
  readonly frozen: boolean;
  readonly embedded: boolean;
}

interface Reason {
  readonly what: string;
  readonly hint?: string;
}

const reads: ReadonlySet<number | string> = new Set([
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_BATCH,
  "stats",
]);
/** Commands that want both rights. */
const takes: ReadonlySet<number | string> = new Set([BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_BATCH]);
const updates: ReadonlySet<number | string> = new Set([BPF_MAP_UPDATE_ELEM, BPF_MAP_UPDATE_BATCH]);
const verbs: Readonly<Record<number | string, string>> = {
  [BPF_MAP_LOOKUP_ELEM]: "read",
  [BPF_MAP_UPDATE_ELEM]: "write to",
  [BPF_MAP_UPDATE_BATCH]: "write to",
  [BPF_MAP_DELETE_ELEM]: "delete from",
  [BPF_MAP_DELETE_BATCH]: "delete from",
  [BPF_MAP_GET_NEXT_KEY]: "walk",
  [BPF_MAP_LOOKUP_BATCH]: "walk",
  [BPF_MAP_LOOKUP_AND_DELETE_ELEM]: "take from",
  [BPF_MAP_LOOKUP_AND_DELETE_BATCH]: "take from",
  [BPF_MAP_FREEZE]: "freeze",
  mmap: "map into memory",
  wait: "wait for",
};

/** `hash map \`flows\``, or by its id when it has no name. */
export function mapTitle(map: { readonly type: string; readonly name: string; readonly id: number }): string {
  return map.name === "" ? `${map.type} map ${map.id}` : `${map.type} map \`${map.name}\``;
}

/** A key in one line, cut where it gets long. */
function shownKey(key: unknown): string {
  const plain = (_name: string, value: unknown): unknown => {
    if (typeof value === "bigint") return `${value}`;
    if (value instanceof Uint8Array) return toHex(value);
    return value;
  };
  const text = JSON.stringify(key, plain) ?? String(key);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

export function errorMap({ name, type, id, maxEntries }: MapInfo): ErrorMap {
  return { name, type, id, maxEntries };
}

export function mapFailure(failure: MapFailure): BpfError {
  const { cmd, map, key, bulk } = failure;
  const errno = failure.closed ? EBADF : Math.abs(failure.errno);
  const reason = reasonOf(failure, errno) ?? {
    what: `cannot ${verbs[cmd] ?? "use"} ${mapTitle(map)}${key === undefined ? "" : `: key ${shownKey(key)}`}`,
  };
  const parts = { errno, cmd, ...reason, map: errorMap(map) };
  if (bulk === undefined) return new BpfError(parts);
  const facts = [`done: ${bulk.done}; number ${bulk.index} of those given failed, with key ${shownKey(key)}`];
  return new BulkError({ ...parts, ...bulk, key, facts });
}

function reasonOf(failure: MapFailure, errno: number): Reason | undefined {
  const { cmd, map, closed, embedded } = failure;
  const title = mapTitle(map);
  if (closed) return { what: `${title} is closed` };
  switch (errno) {
    case E2BIG:
      return updates.has(cmd) || cmd === BPF_MAP_DELETE_ELEM ? tooMany(failure, title) : undefined;
    case ENOSPC:
      return updates.has(cmd) && map.type === "lpm_trie" ? full(title, map, "raise maxEntries") : undefined;
    case EEXIST:
      return { what: `key ${shownKey(failure.key)} is in ${title} already` };
    case ENOENT:
      return updates.has(cmd) ? { what: `key ${shownKey(failure.key)} is not in ${title}` } : undefined;
    case EPERM:
      return forbidden(failure, title);
    case EACCES:
      if (cmd !== "mmap" || failure.writable !== true || (map.flags & BPF_F_RDONLY_PROG) === 0) return undefined;
      return {
        what: `${title} is read-only for programs, so it cannot be mapped for writing`,
        hint: 'map it with { access: "ro" }',
      };
    case EINVAL:
      if (failure.misfit !== undefined) return { what: `cannot put into ${title}: ${failure.misfit}` };
      if (failure.locked === true) return noLock(title);
      return cmd === "mmap" ? badMapping(failure, title) : undefined;
    case EBUSY:
      return busy(cmd, map, title);
    case EBADF:
      return { what: `${title}: its fd was closed by somebody else` };
    case ENOMEM:
      return {
        what: `no memory for ${title}`,
        ...(embedded ? { hint: "give createEmbedded() more `memory`" } : {}),
      };
    case ENOTSUPP:
      return unsupported(failure, title);
    default:
      return undefined;
  }
}

function noLock(title: string): Reason {
  return {
    what: `values of ${title} have no bpf_spin_lock to read or write them under`,
    hint: "make a hash or array map whose value is a struct with a `spinLock` in it, or leave `lock` out",
  };
}

function busy(cmd: number | string, map: MapInfo, title: string): Reason | undefined {
  if (cmd === "mmap") return { what: `${title} is mapped already`, hint: "use that mapping, or close it first" };
  if (cmd !== BPF_MAP_FREEZE) return undefined;
  if (map.type === "arena") return { what: `${title} was mapped for writing, after which an arena cannot be frozen` };
  return { what: `${title} is being written, or mapped for writing`, hint: "close its mappings first" };
}

function full(title: string, { maxEntries }: MapInfo, hint: string): Reason {
  return { what: `${title} is full: ${maxEntries} of ${maxEntries}`, hint };
}

function tooMany({ map, key }: MapFailure, title: string): Reason | undefined {
  switch (map.type) {
    case "hash":
      return full(title, map, "use lru_hash, or raise maxEntries");
    case "hash_of_maps":
    case "devmap_hash":
      return full(title, map, "raise maxEntries");
    case "percpu_hash":
      return full(title, map, "use lru_percpu_hash, or raise maxEntries");
    case "queue":
    case "stack":
      return full(title, map, 'push with { whenFull: "evict" }, or raise maxEntries');
    case "array":
    case "percpu_array":
    case "array_of_maps":
    case "prog_array":
    case "devmap":
    case "cpumap":
    case "stack_trace":
    case "perf_event_array":
      return { what: `index ${shownKey(key)} is outside ${title}: max_entries ${map.maxEntries}` };
    default:
      return undefined;
  }
}

function forbidden({ cmd, access, frozen, writable, map }: MapFailure, title: string): Reason | undefined {
  const open = (mode: string): Reason => ({ what: `${title} was opened ${mode}`, hint: "open it without `access`" });
  if (cmd === "mmap") {
    if (writable !== true) return undefined;
    return map.type === "ringbuf" ? undefined : { what: `${title} is frozen: it can be mapped for reading only` };
  }
  if (access === "wo" && (reads.has(cmd) || takes.has(cmd))) return open("write-only");
  if (reads.has(cmd)) return { what: `${title}: its fd is write-only` };
  if (access === "ro") return open("read-only");
  // With an fd that may write only one reason is left.
  if (frozen || access === "rw") return { what: `${title} is frozen: user space cannot change it any more` };
  return { what: `${title} is frozen, or its fd does not allow this` };
}

function badMapping({ access, map }: MapFailure, title: string): Reason | undefined {
  if (map.type === "arena") return arenaElsewhere(title, map);
  if (map.type !== "array") return undefined;
  if ((map.flags & BPF_F_MMAPABLE) === 0) {
    return { what: `${title} cannot be mapped`, hint: "create it with { mmapable: true }" };
  }
  return access === "ro" ? { what: `${title} was opened read-only, which excludes mapping` } : undefined;
}

function arenaElsewhere(title: string, { mapExtra }: MapInfo): Reason | undefined {
  if (mapExtra !== 0n) return undefined;
  const what = `${title} was mapped before, by another handle or process, at an address that only it knows`;
  return { what, hint: "create it with an `address`" };
}

function unsupported({ cmd, map }: MapFailure, title: string): Reason {
  if (cmd === BPF_MAP_FREEZE) return { what: `${title} has values with fields of the kernel, so it cannot be frozen` };
  const name = typeof cmd === "number" ? (bpfCmdNames[cmd] ?? String(cmd)) : cmd;
  return { what: `${title}: maps of type ${map.type} have no ${name} (${errnoName(ENOTSUPP)})` };
}
