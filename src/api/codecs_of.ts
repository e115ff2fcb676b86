/** Which codecs a map's keys and values have: the caller's, checked against the map, or those that its BTF gives. */
import type { Btf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import {
  type AnyCodec,
  bytes,
  type Codec,
  codecFromBtf,
  compareWithBtf,
  decodePerCpu,
  formatDifferences,
  formatLayout,
  lpmKey,
  type PerCpu,
  perCpuStride,
  writePerCpu,
} from "./codec/index.ts";
import type { Io } from "./keyed_map.ts";
import { mapTitle } from "./map_failure.ts";

/** What codecs are compared with. */
export interface MapTypes {
  readonly type: string;
  readonly name: string;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly btf: Btf | undefined;
  /** 0: BTF does not say. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
}

/** The codec of keys: `given` after a check, or what BTF says, or bytes. */
export function keyCodec(types: MapTypes, given: AnyCodec | undefined): Codec<unknown> {
  const { btf, keyTypeId, keySize, type } = types;
  if (given !== undefined) return checked(types, "key", given, keySize, keyTypeId);
  if (type === "lpm_trie") return lpmKeyFor(types) as AnyCodec as Codec<unknown>;
  return fromBtf(btf, keyTypeId, keySize) ?? (bytes(keySize) as AnyCodec as Codec<unknown>);
}

export function valueCodec(types: MapTypes, given: AnyCodec | undefined): Codec<unknown> {
  const { btf, valueTypeId, valueSize } = types;
  if (given !== undefined) return checked(types, "value", given, valueSize, valueTypeId);
  return fromBtf(btf, valueTypeId, valueSize) ?? (bytes(valueSize) as AnyCodec as Codec<unknown>);
}

/** BTF that describes what no codec can do (an array of no elements, say) is as good as none. */
function fromBtf(btf: Btf | undefined, typeId: number, size: number): Codec<unknown> | undefined {
  if (btf === undefined || typeId === 0) return undefined;
  try {
    const codec = codecFromBtf(btf, typeId);
    return codec.size === size ? codec : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** A trie's key is a prefix length and one member more, whatever the source calls them. */
function lpmKeyFor({ btf, keyTypeId, keySize }: MapTypes): AnyCodec {
  const size = keySize - 4;
  const type = btf === undefined || keyTypeId === 0 ? undefined : btf.type(btf.resolve(keyTypeId));
  const data = type?.kind === "struct" && type.members.length === 2 ? type.members[1] : undefined;
  const codec = data === undefined || data.bitOffset !== 32 ? undefined : fromBtf(btf, data.typeId, size);
  return lpmKey(codec ?? bytes(size));
}

function checked(
  types: MapTypes,
  part: "key" | "value",
  codec: AnyCodec,
  size: number,
  typeId: number,
): Codec<unknown> {
  const { btf } = types;
  const differences = btf === undefined || typeId === 0 ? [] : compareWithBtf(codec, btf, typeId);
  const wrong = differences.filter((d) => d.severity === "error");
  if (codec.size === size && wrong.length === 0) return codec as Codec<unknown>;
  const title = `${mapTitle(types)}: the codec does not fit its ${part}`;
  const sizes = codec.size === size ? "" : `: ${codec.kind} has ${codec.size} bytes, the map's ${part}s have ${size}`;
  throw new InputError(
    `${title}${sizes}\n${wrong.length > 0 ? formatDifferences(differences) : bothSizes(codec, size)}`,
  );
}

/** All that is known without BTF: what the codec has where, and how long the map's bytes are. */
function bothSizes(codec: AnyCodec, size: number): string {
  return `${formatLayout(codec)}\nof the map only the size is known, ${size} bytes: it has no BTF for this`;
}

/** A codec as its two halves. */
export function io(codec: Codec<unknown>): Io<unknown, unknown> {
  return { read: codec.read, write: codec.write };
}

/** The value of a per-CPU map: every CPU's, as one `PerCpu`. */
export function perCpuIo(codec: Codec<unknown>, cpus: number): Io<unknown, unknown> {
  const bytesOfAll = perCpuStride(codec.size) * cpus;
  return {
    read: (from, offset) => decodePerCpu(codec, from.bytes.slice(offset, offset + bytesOfAll)),
    write: (to, offset, value) => writePerCpu(codec, to, offset, value as PerCpu<unknown>, cpus),
  };
}
