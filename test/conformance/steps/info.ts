/** Steps on what OBJ_GET_INFO_BY_FD tells. */
import * as u from "../../../src/uapi/index.ts";
import { errnoOf, isErrno, latin1, nameOf, toHex } from "../encode.ts";
import type { Value } from "../session.ts";
import { compare, type State } from "./state.ts";

const ACCESS = u.BPF_F_RDONLY | u.BPF_F_WRONLY;

export function info(state: State, overrides: Readonly<Record<string, number | bigint | string>>): string | undefined {
  const map = state.map;
  const { fields, size } = u.bpf_map_info;
  const actual = state.session.info(map);
  if (typeof actual === "number") return `OBJ_GET_INFO_BY_FD: ${nameOf(actual)}`;
  if (actual.length !== size) return `info_len is ${actual.length}`;
  const { attr } = map;
  const values: Record<string, Value> = {
    type: attr.map_type ?? 0,
    id: map.id,
    key_size: attr.key_size ?? 0,
    value_size: attr.value_size ?? 0,
    max_entries: attr.max_entries ?? 0,
    map_flags: Number(attr.map_flags ?? 0) & ~ACCESS,
    name: attr.map_name ?? "",
    map_extra: attr.map_extra ?? 0,
  };
  for (const [name, value] of Object.entries(overrides))
    values[name] = name === "name" ? value : infoValue(state, name, value, actual);
  for (const [name, field] of Object.entries(fields)) {
    const found = actual.subarray(field.offset, field.offset + field.size);
    const value = values[name] ?? 0;
    const expected = new Uint8Array(field.size);
    if (typeof value === "string") expected.set(latin1(value));
    else expected.set(new Uint8Array(BigUint64Array.of(BigInt(Number(value))).buffer).subarray(0, field.size));
    const problem = compare(toHex(expected), toHex(found));
    if (problem !== undefined) return `info.${name}: ${problem}`;
  }
  return undefined;
}

export function infoHash(state: State, result: string): string | undefined {
  const { fields, size } = u.bpf_map_info;
  const { user } = state.session.host;
  const hash = user.alloc(32);
  const info = new Uint8Array(size);
  const view = new DataView(info.buffer);
  view.setBigUint64(fields.hash.offset, hash.address, true);
  view.setUint32(fields.hash_size.offset, 32, true);
  const ret = state.session.call(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: state.map.fd, info_len: size, info });
  const found = ret === 0 ? toHex(hash.bytes) : ret;
  hash.free();
  return compare(isErrno(result) ? errnoOf(result) : result, found);
}

/** Lines that say nothing of the map. */
const PLACE = new Set(["mnt_id", "ino"]);

/** Every line, in the kernel's order. */
export function fdinfo(state: State, memlock: number, overrides: Readonly<Record<string, string>>): string | undefined {
  const { attr, id, fd } = state.map;
  const text = state.session.host.fdinfo(fd);
  if (typeof text === "number") return `fdinfo: ${nameOf(text)}`;
  const hex = (field: string): string => `0x${Number(attr[field] ?? 0).toString(16)}`;
  const access = Number(attr.map_flags ?? 0) & ACCESS;
  const lines: Record<string, string | number | bigint | Uint8Array> = {
    pos: 0,
    flags: access === 0 ? "02000002" : access === u.BPF_F_WRONLY ? "02000001" : "02000000",
    map_type: attr.map_type ?? 0,
    key_size: attr.key_size ?? 0,
    value_size: attr.value_size ?? 0,
    max_entries: attr.max_entries ?? 0,
    map_flags: `0x${(Number(attr.map_flags ?? 0) & ~ACCESS).toString(16)}`,
    map_extra: hex("map_extra"),
    memlock,
    map_id: id,
    frozen: 0,
    ...overrides,
  };
  const expected = Object.entries(lines).map(([name, value]) => `${name}:\t${String(value)}\n`);
  const found = text.split(/(?<=\n)/).filter((line) => !PLACE.has(line.split(":", 1)[0]!));
  return compare(expected.join(""), found.join(""));
}

/** `any`: whatever it is, it is not zero. */
function infoValue(state: State, name: string, value: number | bigint | string, info: Uint8Array): Value {
  if (value !== "any") return state.value(name, value);
  const field = u.bpf_map_info.fields[name as keyof typeof u.bpf_map_info.fields];
  const found = new DataView(info.buffer, info.byteOffset).getUint32(field.offset, true);
  if (found === 0) throw new Error(`info.${name} is zero`);
  return found;
}
