/** All map classes together: which class a spec or a shape gives, and making the object for an fd. */
import { InputError } from "../errors.ts";
import {
  abiValueSize,
  BPF_F_INNER_MAP,
  BPF_MAP_GET_FD_BY_ID,
  BPF_OBJ_GET_INFO_BY_FD,
  ENOENT,
  isPerCpu,
} from "../uapi/index.ts";
import { Arena } from "./arena.ts";
import { ArrayMap, PerCpuArrayMap } from "./array_map.ts";
import { BloomFilterMap } from "./bloom_filter_map.ts";
import { type BpfMap, OtherMap } from "./bpf_map.ts";
import { type AnyCodec, type Infer, type InferInput, type LpmKey, type PerCpu, u32 } from "./codec/index.ts";
import { io, keyCodec, type MapTypes, perCpuIo, valueCodec } from "./codecs_of.ts";
import type { HostContext } from "./context.ts";
import { diffSpec } from "./diff_spec.ts";
import { BpfError } from "./error.ts";
import { fdOfMapId, idFailure } from "./fd_of_id.ts";
import { HashMap, PerCpuHashMap } from "./hash_map.ts";
import { type MapInfo, readMapInfo } from "./info.ts";
import type { Io } from "./keyed_map.ts";
import { LpmTrieMap } from "./lpm_trie_map.ts";
import { mapTitle } from "./map_failure.ts";
import { MapHandle } from "./map_handle.ts";
import { isMapType, type MapType } from "./map_types.ts";
import { ArrayOfMaps, HashOfMaps, type InnerMaps, ProgArray } from "./object_maps.ts";
import { PerfEventArray } from "./perf_event_array.ts";
import { QueueMap, StackMap } from "./queue_map.ts";
import { RedirectMap } from "./redirect_map.ts";
import { type Decoded, type RecordDecoder, RingBuf } from "./ring_buffer.ts";
import type { Access, InnerShape, InnerSpec } from "./spec.ts";
import { StackTraceMap } from "./stack_trace_map.ts";
import { type Encodable, type RecordEncoder, UserRingBuf } from "./user_ring_buffer.ts";

/** A map of whatever type: `map.type` tells which. Keys and values are what its BTF says, or bytes. */
export type AnyMap =
  | HashMap<unknown, unknown>
  | PerCpuHashMap<unknown, unknown>
  | ArrayMap<unknown>
  | PerCpuArrayMap<unknown>
  | LpmTrieMap<unknown, unknown>
  | BloomFilterMap<unknown>
  | QueueMap<unknown>
  | StackMap<unknown>
  | RingBuf<unknown>
  | UserRingBuf<unknown>
  | Arena
  | ProgArray
  | ArrayOfMaps<AnyMap>
  | HashOfMaps<unknown, AnyMap>
  | RedirectMap<"devmap">
  | RedirectMap<"devmap_hash">
  | RedirectMap<"cpumap">
  | StackTraceMap
  | PerfEventArray<unknown>
  | OtherMap;

/** What decoding with a codec gives; unknown where there is none. */
type Out<S, N extends string> = S extends { readonly [P in N]: infer C } ? Infer<C> : unknown;
type In<S, N extends string> = S extends { readonly [P in N]: infer C } ? InferInput<C> : unknown;
type KeyData<S> = S extends { readonly key: { readonly data: infer D } } ? Infer<D> : unknown;
type KeyDataIn<S> = S extends { readonly key: { readonly data: infer D } } ? InferInput<D> : unknown;
type RecordOf<S> = S extends { readonly record: infer D } ? Decoded<D> : Uint8Array;
type RecordIn<S> = S extends { readonly record: infer E } ? Encodable<E> : Uint8Array;

/** The class for a spec (`createMap`) or a shape (`openMap`), with the types of its codecs. */
export type MapOf<S extends { readonly type: MapType }> = S extends { readonly type: "hash" | "lru_hash" }
  ? HashMap<Out<S, "key">, Out<S, "value">, In<S, "key">, In<S, "value">>
  : S extends { readonly type: "percpu_hash" | "lru_percpu_hash" }
    ? PerCpuHashMap<Out<S, "key">, Out<S, "value">, In<S, "key">, In<S, "value">>
    : S extends { readonly type: "array" }
      ? ArrayMap<Out<S, "value">, In<S, "value">>
      : S extends { readonly type: "percpu_array" }
        ? PerCpuArrayMap<Out<S, "value">, In<S, "value">>
        : S extends { readonly type: "lpm_trie" }
          ? LpmTrieMap<KeyData<S>, Out<S, "value">, KeyDataIn<S>, In<S, "value">>
          : S extends { readonly type: "bloom_filter" }
            ? BloomFilterMap<In<S, "value">>
            : S extends { readonly type: "queue" }
              ? QueueMap<Out<S, "value">, In<S, "value">>
              : S extends { readonly type: "stack" }
                ? StackMap<Out<S, "value">, In<S, "value">>
                : S extends { readonly type: "ringbuf" }
                  ? RingBuf<RecordOf<S>>
                  : S extends { readonly type: "user_ringbuf" }
                    ? UserRingBuf<RecordIn<S>>
                    : S extends { readonly type: "arena" }
                      ? Arena
                      : S extends { readonly type: "prog_array" }
                        ? ProgArray
                        : S extends { readonly type: "array_of_maps" }
                          ? ArrayOfMaps<InnerOf<S>>
                          : S extends { readonly type: "hash_of_maps" }
                            ? HashOfMaps<Out<S, "key">, InnerOf<S>, In<S, "key">>
                            : S extends { readonly type: "devmap" }
                              ? RedirectMap<"devmap">
                              : S extends { readonly type: "devmap_hash" }
                                ? RedirectMap<"devmap_hash">
                                : S extends { readonly type: "cpumap" }
                                  ? RedirectMap<"cpumap">
                                  : S extends { readonly type: "stack_trace" }
                                    ? StackTraceMap
                                    : S extends { readonly type: "perf_event_array" }
                                      ? PerfEventArray<RecordOf<S>>
                                      : never;

/** The class of the maps inside an outer one. */
type InnerOf<S> = S extends { readonly inner: infer I extends { readonly type: MapType } }
  ? Extract<MapOf<I>, BpfMap>
  : AnyMap;

/** An fd to be wrapped. */
export interface MapFd {
  readonly fd: number;
  /** Whether `close` closes it. */
  readonly owned: boolean;
  readonly info: MapInfo;
  readonly access: Access | "rw" | undefined;
  /** What the types of key and value are, when that is known better than by asking for the map's BTF. */
  readonly types?: KnownTypes;
}

/** Types by id in a BTF object; 0: none. */
export type KnownTypes = Pick<MapTypes, "btf" | "keyTypeId" | "valueTypeId">;

/** For maps that were just made of the very codecs. */
export const noTypes: KnownTypes = { btf: undefined, keyTypeId: 0, valueTypeId: 0 };

/** The caller's codecs, as they stand in a spec or a shape. */
export interface GivenCodecs {
  readonly type?: MapType;
  readonly key?: AnyCodec;
  readonly value?: AnyCodec;
  readonly record?: RecordDecoder | RecordEncoder;
  /** Of the maps inside: their spec or shape. */
  readonly inner?: InnerSpec | InnerShape;
}

/** The map object for an fd. Codecs that do not fit are an `InputError`; an fd that is owned is closed then. */
export function wrapMap(context: HostContext, map: MapFd, given: GivenCodecs): AnyMap {
  const { fd, owned, info } = map;
  let handle: MapHandle | undefined;
  try {
    const codecs = codecsOf(context, map, given);
    handle = new MapHandle(context, {
      ...map,
      valueBytes: abiValueSize(info.typeNumber, info.valueSize, context.seam.possibleCpus),
    });
    return objectFor(handle, codecs, given);
  } catch (error) {
    if (handle !== undefined) handle.close();
    else if (owned) context.seam.close(fd);
    throw error;
  }
}

interface Codecs {
  readonly key: Io<unknown, unknown>;
  readonly value: Io<unknown, unknown>;
}

function codecsOf(context: HostContext, { info, types }: MapFd, given: GivenCodecs): Codecs {
  const known = types ?? {
    btf: context.btf(info.btfId),
    keyTypeId: info.btfKeyTypeId,
    valueTypeId: info.btfValueTypeId,
  };
  const all: MapTypes = { ...info, ...known };
  const value = valueCodec(all, given.value);
  return {
    key: io(keyCodec(all, given.key)),
    value: isPerCpu(info.typeNumber) ? perCpuIo(value, context.seam.possibleCpus) : io(value),
  };
}

function objectFor(handle: MapHandle, { key, value }: Codecs, { record, inner }: GivenCodecs): AnyMap {
  const { type } = handle.info;
  if (!isMapType(type)) return new OtherMap(handle);
  switch (type) {
    case "hash":
    case "lru_hash":
      return new HashMap(type, handle, key, value);
    case "percpu_hash":
    case "lru_percpu_hash":
      return new PerCpuHashMap(type, handle, key, value as Io<PerCpu<unknown>, PerCpu<unknown>>);
    case "array":
      return new ArrayMap(handle, value);
    case "percpu_array":
      return new PerCpuArrayMap(handle, value as Io<PerCpu<unknown>, PerCpu<unknown>>);
    case "lpm_trie":
      return new LpmTrieMap(handle, key as Io<LpmKey<unknown>, Readonly<LpmKey<unknown>>>, value);
    case "bloom_filter":
      return new BloomFilterMap(handle, value);
    case "queue":
      return new QueueMap(handle, value);
    case "stack":
      return new StackMap(handle, value);
    case "ringbuf":
      return new RingBuf(handle, record as RecordDecoder | undefined);
    case "user_ringbuf":
      return new UserRingBuf(handle, record as RecordEncoder | undefined);
    case "arena":
      return new Arena(handle);
    case "prog_array":
      return new ProgArray(handle, u32);
    case "array_of_maps":
      return new ArrayOfMaps(handle, u32, innerMaps(handle.context, inner));
    case "hash_of_maps":
      return new HashOfMaps(handle, key, innerMaps(handle.context, inner));
    case "devmap":
      return new RedirectMap(type, handle);
    case "devmap_hash":
      return new RedirectMap(type, handle);
    case "cpumap":
      return new RedirectMap(type, handle);
    case "stack_trace":
      return new StackTraceMap(handle);
    case "perf_event_array":
      return new PerfEventArray(handle, record as RecordDecoder | undefined);
    default:
      return type satisfies never;
  }
}

function innerMaps(context: HostContext, inner: InnerSpec | InnerShape | undefined): InnerMaps<AnyMap> {
  return {
    open: (id) => openInner(context, id, inner),
    misfit: (map) => misfit(map.info, inner !== undefined && "maxEntries" in inner ? inner : undefined),
  };
}

/** Undefined: there is no map with this id any more. */
function openInner(context: HostContext, id: number, inner: InnerSpec | InnerShape | undefined): AnyMap | undefined {
  const fd = fdOfMapId(context, id, undefined);
  if (fd === -ENOENT) return undefined;
  if (fd < 0) throw idFailure(fd, BPF_MAP_GET_FD_BY_ID, `cannot open map ${id}`);
  const info = readMapInfo(context.seam, fd);
  if (typeof info === "number") {
    context.seam.close(fd);
    throw new BpfError({ errno: info, cmd: BPF_OBJ_GET_INFO_BY_FD, what: `cannot read what map ${id} is` });
  }
  return wrapMap(context, { fd, owned: true, info, access: "rw" }, inner ?? {});
}

/** What a map has other than an outer map's template. Special fields are all that is left when nothing else differs. */
function misfit(map: MapInfo, template: InnerSpec | undefined): string {
  const title = mapTitle(map);
  if (template === undefined) {
    return `${title} is not like the map that it was created after: type, key and value size, flags, fields of the kernel in values, and for arrays maxEntries must be the same`;
  }
  const loose = ((template.rawFlags ?? 0) & BPF_F_INNER_MAP) !== 0;
  const counts: readonly string[] = ["type", "keySize", "valueSize", "flags"];
  const differing = diffSpec(template, map).filter(
    ({ field }) => counts.includes(field) || (field === "maxEntries" && template.type === "array" && !loose),
  );
  if (differing.length === 0) return `${title} has other fields of the kernel in its values than \`inner\``;
  const each = differing.map(({ field, found, wanted }) => `${field} ${found}, \`inner\` has ${wanted}`);
  return `${title} has ${each.join("; ")}`;
}

/** Throws when a map is not of the type that its user expects. */
export function requireType(info: MapInfo, shape: { readonly type: string } | undefined): void {
  if (shape === undefined || shape.type === info.type) return;
  throw new InputError(`${mapTitle(info)}: found type ${info.type}, expected ${shape.type}`);
}
