/** `--fill FILE`: entries that user space puts into maps before a run, such as the networks of a trie. */
import type { BpfHost } from "../api/bpf_host.ts";
import { CodecError, codecFromBtf } from "../api/codec/index.ts";
import type { LoadedObject } from "../api/loaded_object.ts";
import type { Btf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import { BPF_MAP_UPDATE_ELEM, errnoName } from "../uapi/index.ts";
import { inFile, readInput } from "./packets.ts";

interface FillEntry {
  readonly key: unknown;
  readonly value: unknown;
}

/** Keys and values have the shape of the map's BTF; 64-bit numbers may be JSON numbers or texts. */
export function fillMaps(host: BpfHost, object: LoadedObject, path: string): void {
  const bytes = readInput(path);
  const entries = inFile(path, () => parseFill(bytes));
  const { btf, maps } = object.spec;
  for (const [name, list] of Object.entries(entries)) {
    const spec = maps.find((m) => m.name === name);
    const map_fd = object.maps.get(name)?.fd;
    if (spec === undefined || map_fd === undefined) {
      throw new InputError(`${path}: the object has no map ${name}: it has ${maps.map((m) => m.name).join(", ")}`);
    }
    const { keyTypeId, valueTypeId } = spec;
    if (btf === undefined || keyTypeId === undefined || valueTypeId === undefined) {
      throw new InputError(`${path}: ${name}: the object's BTF says nothing of its keys and values`);
    }
    for (const [i, entry] of list.entries()) {
      const where = `${path}: ${name}[${i}]`;
      const key = encode(btf, keyTypeId, entry.key, `${where}.key`);
      const value = encode(btf, valueTypeId, entry.value, `${where}.value`);
      const ret = host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key, value });
      if (ret < 0) throw new InputError(`${where}: the map refuses it: ${errnoName(-ret)}`);
    }
  }
}

function encode(btf: Btf, typeId: number, json: unknown, where: string): Uint8Array {
  const codec = codecFromBtf(btf, typeId);
  const bytes = new Uint8Array(codec.size);
  try {
    codec.encode(fromJson(btf, typeId, json, where), bytes, 0);
  } catch (error) {
    if (!(error instanceof CodecError || error instanceof SyntaxError)) throw error;
    throw new InputError(`${where}: ${error.message}`, { cause: error });
  }
  return bytes;
}

/** JSON has neither bigints nor bytes: the type says where they belong. */
function fromJson(btf: Btf, typeId: number, json: unknown, where: string): unknown {
  const type = btf.type(btf.resolve(typeId));
  if (type.kind === "int" && type.size === 8 && (typeof json === "string" || Number.isSafeInteger(json))) {
    return BigInt(json as string | number);
  }
  if (type.kind === "array" && Array.isArray(json)) {
    const elem = btf.type(btf.resolve(type.elemTypeId));
    // Where the codec takes bytes: arrays of unsigned ones and of char.
    const text = elem.kind === "int" && (elem.char || elem.name === "char");
    const bytes = elem.kind === "int" && elem.size === 1 && !elem.bool && (text || !elem.signed);
    if (bytes) return Uint8Array.from(json, (each: unknown, i) => byteOf(each, `${where}[${i}]`));
    return json.map((each, i) => fromJson(btf, type.elemTypeId, each, `${where}[${i}]`));
  }
  if (type.kind === "struct" && typeof json === "object" && json !== null) {
    const member = (name: string): number | undefined => type.members.find((m) => m.name === name)?.typeId;
    const entries = Object.entries(json).map(([name, value]): [string, unknown] => {
      const id = member(name);
      return [name, id === undefined ? value : fromJson(btf, id, value, `${where}.${name}`)];
    });
    return Object.fromEntries(entries);
  }
  return json;
}

/** A typed array would cut what does not fit. */
function byteOf(json: unknown, where: string): number {
  if (Number.isInteger(json) && (json as number) >= 0 && (json as number) <= 255) return json as number;
  throw new InputError(`${where}: ${JSON.stringify(json)} is no byte: expected a whole number from 0 to 255`);
}

function parseFill(bytes: Uint8Array): Record<string, FillEntry[]> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new InputError(`no JSON: ${(error as Error).message}`, { cause: error });
  }
  const expected = 'expected { "<map>": [ { "key": ..., "value": ... } ] }';
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new InputError(expected);
  for (const [name, list] of Object.entries(json)) {
    const isEntry = (e: unknown): boolean => typeof e === "object" && e !== null && "key" in e && "value" in e;
    if (!Array.isArray(list) || !list.every(isEntry)) throw new InputError(`${name}: ${expected}`);
  }
  return json as Record<string, FillEntry[]>;
}
