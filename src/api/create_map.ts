/** From a spec to BPF_MAP_CREATE: options become flags, codecs become sizes and BTF. */
import { BtfBuilder } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import type { AttrObject } from "../host/host.ts";
import {
  BPF_BTF_LOAD,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
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
  BPF_OBJ_NAME_LEN,
  bpf_stack_build_id,
} from "../uapi/index.ts";
import { type AnyCodec, btfFromCodec } from "./codec/index.ts";
import type { HostContext } from "./context.ts";
import { createFailure } from "./create_failure.ts";
import { mapTypeNumbers } from "./map_types.ts";
import type { Access, ArrayOfMapsSpec, HashOfMapsSpec, MapSpec } from "./spec.ts";

/** What BPF_MAP_CREATE is given, apart from BTF. */
export interface CreateAttr extends AttrObject {
  map_type: number;
  key_size: number;
  value_size: number;
  max_entries: number;
  map_flags: number;
  map_name: string;
  numa_node: number;
  map_extra: bigint;
  inner_map_fd?: number;
}

const ARRAY_KEY_SIZE = 4;
const FD_SIZE = 4;
/** Types whose values are targets: a number and the fd of a program. */
const redirects: readonly string[] = ["devmap", "devmap_hash", "cpumap"];
const TARGET_SIZE = 8;
/** A function of a stack, and one by build id. */
const FRAME_SIZE = 8;
const BUILD_ID_SIZE: number = bpf_stack_build_id.size;
/** Types whose keys are indexes, and those whose values are fds. */
const indexed: ReadonlySet<string> = new Set([
  "array",
  "percpu_array",
  "prog_array",
  "array_of_maps",
  "stack_trace",
  "perf_event_array",
  ...redirects,
]);
const outer: readonly string[] = ["prog_array", "array_of_maps", "hash_of_maps"];
const objects: ReadonlySet<string> = new Set([...outer, "perf_event_array"]);
const U32_MAX = 0xffff_ffff;

function accessFlags(access: Access | undefined, readOnly: number, writeOnly: number): number {
  if (access === undefined) return 0;
  return access === "ro" ? readOnly : writeOnly;
}

/** The options that some types have and others do not, read the same for all. */
interface Options {
  readonly key?: AnyCodec;
  readonly value?: AnyCodec;
  readonly access?: Access;
  readonly progAccess?: Access;
  readonly prealloc?: boolean;
  readonly commonLru?: boolean;
  readonly zeroSeed?: boolean;
  readonly mmapable?: boolean;
  readonly numaNode?: number;
  readonly hashes?: number;
  readonly address?: bigint;
  readonly segvOnFault?: boolean;
  readonly depth?: number;
  readonly buildIds?: boolean;
  readonly preserve?: boolean;
}

function flagsOf(spec: MapSpec): number {
  const options: Options = spec;
  const when = (condition: boolean, flag: number): number => (condition ? flag : 0);
  return (
    (spec.rawFlags ?? 0) |
    accessFlags(options.access, BPF_F_RDONLY, BPF_F_WRONLY) |
    accessFlags(options.progAccess, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG) |
    // A trie is never preallocated, and the kernel wants to be told so.
    when(options.prealloc === false || spec.type === "lpm_trie", BPF_F_NO_PREALLOC) |
    when(options.commonLru === false, BPF_F_NO_COMMON_LRU) |
    when(options.zeroSeed === true, BPF_F_ZERO_SEED) |
    // An arena is nothing if not mapped, and the kernel wants to be told so.
    when(options.mmapable === true || spec.type === "arena", BPF_F_MMAPABLE) |
    when(options.segvOnFault === true, BPF_F_SEGV_ON_FAULT) |
    when(options.buildIds === true, BPF_F_STACK_BUILD_ID) |
    when(options.preserve === true, BPF_F_PRESERVE_ELEMS) |
    when(options.numaNode !== undefined, BPF_F_NUMA_NODE)
  );
}

function checkName(name: string): void {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes < BPF_OBJ_NAME_LEN && /^[A-Za-z0-9_.]*$/.test(name)) return;
  const most = `at most ${BPF_OBJ_NAME_LEN - 1} letters, digits, \`_\` and \`.\``;
  throw new InputError(`map name \`${name}\` (${bytes} bytes): expected ${most}, which is what the kernel keeps`);
}

/** Numbers that are none for an attribute: told here, by the option's name, rather than by a field of the call. */
function checkNumbers(spec: MapSpec): void {
  const { maxEntries, rawFlags = 0 } = spec;
  const { numaNode = 0, hashes = 0, depth = 0 }: Options = spec;
  for (const [option, value] of Object.entries({ maxEntries, rawFlags, numaNode, hashes, depth })) {
    if (Number.isInteger(value) && value >= 0 && value <= U32_MAX) continue;
    throw new InputError(`createMap: ${option} is ${String(value)}, expected a whole number from 0 to ${U32_MAX}`);
  }
}

export function createAttr(spec: MapSpec): CreateAttr {
  const { name = "" } = spec;
  const { key, value, numaNode, hashes = 0, address = BigInt(hashes) }: Options = spec;
  if (!Object.hasOwn(mapTypeNumbers, spec.type)) {
    const known = Object.keys(mapTypeNumbers).join(", ");
    throw new InputError(`createMap: type is ${JSON.stringify(spec.type)}, expected one of ${known}`);
  }
  checkName(name);
  checkNumbers(spec);
  return {
    map_type: mapTypeNumbers[spec.type],
    key_size: indexed.has(spec.type) ? ARRAY_KEY_SIZE : (key?.size ?? 0),
    value_size: valueSizeOf(spec, value),
    max_entries: spec.maxEntries,
    map_flags: flagsOf(spec),
    map_name: name,
    numa_node: numaNode ?? 0,
    map_extra: address,
  };
}

function valueSizeOf({ type, ...rest }: MapSpec, value: AnyCodec | undefined): number {
  const { depth = 0, buildIds }: Options = rest;
  if (type === "stack_trace") return depth * (buildIds === true ? BUILD_ID_SIZE : FRAME_SIZE);
  if (redirects.includes(type)) return TARGET_SIZE;
  return objects.has(type) ? FD_SIZE : (value?.size ?? 0);
}

/** Types of a loaded BTF object, for BPF_MAP_CREATE. */
export interface MapBtf {
  readonly btf_fd: number;
  readonly btf_key_type_id: number;
  readonly btf_value_type_id: number;
}

/** Loads BTF for the codecs; undefined where there is nothing to describe, or the host refuses it. */
function loadBtf(context: HostContext, spec: MapSpec, attr: CreateAttr): MapBtf | undefined {
  const { key, value }: Options = spec;
  if (spec.btf === false || value === undefined) return undefined;
  const builder = new BtfBuilder();
  const base = (spec.name ?? "").replaceAll(".", "_") || spec.type;
  const keyId = keyType(builder, attr, key, `${base}_key`);
  const valueId = btfFromCodec(value, builder, `${base}_value`);
  const btf = builder.build();
  const btf_fd = context.seam.bpf(BPF_BTF_LOAD, { btf, btf_size: btf.length });
  return btf_fd < 0 ? undefined : { btf_fd, btf_key_type_id: keyId, btf_value_type_id: valueId };
}

function keyType(builder: BtfBuilder, attr: CreateAttr, key: AnyCodec | undefined, name: string): number {
  if (key !== undefined) return btfFromCodec(key, builder, name);
  return attr.key_size === 0 ? 0 : builder.int("unsigned int", ARRAY_KEY_SIZE);
}

/**
 * BPF_MAP_CREATE: an fd, or a `BpfError` that says which rule is broken. BTF that the kernel does not take for this
 * type of map is left out, as libbpf does: the map matters more than how it is shown.
 */
export function createFd(context: HostContext, attr: CreateAttr, type: string, btf: MapBtf | undefined): number {
  let fd = btf === undefined ? -1 : context.seam.bpf(BPF_MAP_CREATE, { ...attr, ...btf });
  if (fd < 0) fd = context.seam.bpf(BPF_MAP_CREATE, attr);
  if (fd < 0) throw createFailure(context.seam.kind, type, attr, fd);
  return fd;
}

/** Creates what a spec describes; returns the fd. */
export function createFromSpec(context: HostContext, spec: MapSpec): number {
  const attr = createAttr(spec);
  const outer = spec.type === "array_of_maps" || spec.type === "hash_of_maps";
  const inner = outer ? createTemplate(context, spec) : undefined;
  if (inner !== undefined) attr.inner_map_fd = inner;
  const btf = loadBtf(context, spec, attr);
  try {
    return createFd(context, attr, spec.type, btf);
  } finally {
    if (btf !== undefined) context.seam.close(btf.btf_fd);
    if (inner !== undefined) context.seam.close(inner);
  }
}

/** The map that an outer map is made after: nobody holds it afterwards. */
function createTemplate(context: HostContext, { type, inner }: ArrayOfMapsSpec | HashOfMapsSpec): number {
  if (inner?.pin !== undefined) {
    throw new InputError(`createMap: inner of ${type} has a pin, but it is only what its maps are like: pin those`);
  }
  if (typeof inner === "object" && inner !== null && !outer.includes(inner.type)) return createFromSpec(context, inner);
  const found = typeof inner === "object" && inner !== null ? JSON.stringify((inner as MapSpec).type) : String(inner);
  throw new InputError(
    `createMap: inner of ${type} is ${found}, expected the spec of a map that holds neither maps nor programs`,
  );
}
