/** What the kernel tells of maps: struct bpf_map_info as an object. */
import type { Host } from "../host/host.ts";
import { BPF_OBJ_GET_INFO_BY_FD, bpf_map_info } from "../uapi/index.ts";
import { mapTypeName } from "./map_types.ts";

/** A map as the kernel describes it. */
export interface MapInfo {
  readonly id: number;
  /** Up to 15 characters; empty for a map without a name. */
  readonly name: string;
  /** The kernel's name of the type in lower case: `hash`, `prog_array`. */
  readonly type: string;
  /** BPF_MAP_TYPE_*. */
  readonly typeNumber: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes, of one CPU's value for per-CPU types. */
  readonly valueSize: number;
  /** Elements; bytes for a ring buffer. */
  readonly maxEntries: number;
  /** BPF_F_*, without those that belong to an fd (BPF_F_RDONLY, BPF_F_WRONLY). */
  readonly flags: number;
  readonly mapExtra: bigint;
  /** The BTF object that has the types of key and value; 0: none. */
  readonly btfId: number;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
}

const { fields, size } = bpf_map_info;

/** The name in `bytes` up to its NUL, or their end. The kernel allows Latin-1 letters, one byte each. */
export function nameAt(bytes: Uint8Array, field: { readonly offset: number; readonly size: number }): string {
  let name = "";
  const end = Math.min(field.offset + field.size, bytes.length);
  for (let i = field.offset; i < end && bytes[i] !== 0; i++) name += String.fromCharCode(bytes[i]!);
  return name;
}

/** Of the map behind `fd`, or a negative errno. */
export function readMapInfo(host: Host, fd: number): MapInfo | number {
  const info = new Uint8Array(size);
  const result = host.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: size, info });
  if (result < 0) return result;
  const view = new DataView(info.buffer);
  const u32 = (field: { readonly offset: number }): number => view.getUint32(field.offset, true);
  const type = u32(fields.type);
  return {
    id: u32(fields.id),
    name: nameAt(info, fields.name),
    type: mapTypeName(type),
    typeNumber: type,
    keySize: u32(fields.key_size),
    valueSize: u32(fields.value_size),
    maxEntries: u32(fields.max_entries),
    flags: u32(fields.map_flags),
    mapExtra: view.getBigUint64(fields.map_extra.offset, true),
    btfId: u32(fields.btf_id),
    btfKeyTypeId: u32(fields.btf_key_type_id),
    btfValueTypeId: u32(fields.btf_value_type_id),
  };
}
