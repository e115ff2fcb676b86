/** Whether an existing map is what a spec asks for: attribute by attribute, and keys and values by their layout. */
import type { Btf } from "../btf/index.ts";
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
} from "../uapi/index.ts";
import type { GivenCodecs } from "./any_map.ts";
import { type AnyCodec, compareWithBtf, type FieldDifference, formatDifferences } from "./codec/index.ts";
import { createAttr } from "./create_map.ts";
import type { MapInfo } from "./info.ts";
import type { MapSpec } from "./spec.ts";

/** One attribute in which an existing map is not what was asked for. */
export interface SpecDifference {
  readonly field: "type" | "keySize" | "valueSize" | "maxEntries" | "flags" | "mapExtra" | "key" | "value";
  /** What the spec asks for, in words. */
  readonly wanted: string;
  /** What the map has. */
  readonly found: string;
  /** Of `key` and `value`: the fields whose bytes mean something else. */
  readonly fields: readonly FieldDifference[];
}

/** What is compared. */
export interface WantedMap {
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_*. */
  readonly flags: number;
  readonly mapExtra: bigint;
  readonly key?: AnyCodec | undefined;
  readonly value?: AnyCodec | undefined;
}

/** What is known of the existing map besides its info. */
export interface DiffOptions {
  /** The BTF object `info.btfId`: then keys and values are compared field by field. */
  readonly btf?: Btf | undefined;
  /** Possible CPUs of the host: with `commonLru: false` the kernel rounds maxEntries to a multiple of them. */
  readonly cpus?: number;
}

/** Flags of an fd, which the map does not keep. */
const FD_FLAGS: number = BPF_F_RDONLY | BPF_F_WRONLY;

const flagNames: Readonly<Record<string, number>> = {
  BPF_F_NO_PREALLOC,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NUMA_NODE,
  BPF_F_ZERO_SEED,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_F_MMAPABLE,
  BPF_F_INNER_MAP,
};

function showFlags(flags: number): string {
  const names = Object.keys(flagNames).filter((name) => (flags & flagNames[name]!) !== 0);
  const hex = `0x${(flags >>> 0).toString(16)}`;
  return names.length === 0 ? hex : `${hex} (${names.join(" | ")})`;
}

/**
 * What keeps an existing map from being used for a spec; empty when it fits. Names of maps and of fields do not matter,
 * nor do the access of fds and, without BTF, the layout of keys and values.
 *
 *     const map = host.openMap({ pin: "/sys/fs/bpf/flows" });
 *     diffSpec(spec, map.info); // [{ field: "maxEntries", wanted: "4096", found: "1024", fields: [] }]
 */
export function diffSpec(spec: MapSpec, existing: MapInfo, options: DiffOptions = {}): SpecDifference[] {
  return diffMap(wantedOf(spec), existing, options);
}

export function wantedOf(spec: MapSpec): WantedMap {
  const attr = createAttr(spec);
  const { key, value }: GivenCodecs = spec;
  return {
    type: spec.type,
    keySize: attr.key_size,
    valueSize: attr.value_size,
    maxEntries: attr.max_entries,
    flags: attr.map_flags,
    mapExtra: attr.map_extra,
    key,
    value,
  };
}

export function diffMap(wanted: WantedMap, existing: MapInfo, { btf, cpus = 1 }: DiffOptions): SpecDifference[] {
  const found: SpecDifference[] = [];
  const compare = (field: SpecDifference["field"], ours: string, theirs: string): void => {
    if (ours !== theirs) found.push({ field, wanted: ours, found: theirs, fields: [] });
  };
  compare("type", wanted.type, existing.type);
  compare("keySize", bytesIn(wanted.keySize), bytesIn(existing.keySize));
  compare("valueSize", bytesIn(wanted.valueSize), bytesIn(existing.valueSize));
  compare("maxEntries", String(keptEntries(wanted, cpus)), String(existing.maxEntries));
  compare("flags", showFlags(wanted.flags & ~FD_FLAGS), showFlags(existing.flags));
  compare("mapExtra", String(wanted.mapExtra), String(existing.mapExtra));
  if (btf === undefined || wanted.type !== existing.type) return found;
  compareTypes(found, "key", wanted.key, btf, existing.btfKeyTypeId);
  compareTypes(found, "value", wanted.value, btf, existing.btfValueTypeId);
  return found;
}

function bytesIn(size: number): string {
  return size === 1 ? "1 byte" : `${size} bytes`;
}

/** What the kernel makes of max_entries. */
function keptEntries({ flags, maxEntries }: WantedMap, cpus: number): number {
  return (flags & BPF_F_NO_COMMON_LRU) === 0 ? maxEntries : Math.ceil(maxEntries / cpus) * cpus;
}

function compareTypes(
  found: SpecDifference[],
  field: "key" | "value",
  codec: AnyCodec | undefined,
  btf: Btf,
  typeId: number,
): void {
  if (codec === undefined || typeId === 0) return;
  const fields = compareWithBtf(codec, btf, typeId).filter(({ severity }) => severity === "error");
  if (fields.length > 0) found.push({ field, wanted: "the codec", found: "another layout", fields });
}

/** A line for each difference, and a table for each layout. */
export function showDifferences(differences: readonly SpecDifference[]): string[] {
  return differences.flatMap(({ field, wanted, found, fields }) => {
    if (fields.length === 0) return [`${field}: ${found} there, ${wanted} wanted`];
    return [
      `${field}: its layout is another`,
      ...formatDifferences(fields)
        .split("\n")
        .map((line) => `  ${line}`),
    ];
  });
}
