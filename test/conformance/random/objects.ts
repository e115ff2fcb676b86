/** What maps of maps and of programs are given to hold: made when a sequence first needs one, closed with it. */
import type { Host } from "../../../src/host/host.ts";
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";

/** What a map type holds. */
export type Held = "maps" | "programs";

export interface HeldObject {
  readonly fd: number;
  readonly id: number;
}

const inner = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4 };
const hash = { map_type: u.BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 4 };

/** Maps: four alike, then such that do not go into one that was made for the first. */
const maps: readonly Readonly<Record<string, number>>[] = [
  inner,
  inner,
  inner,
  inner,
  { ...inner, max_entries: 8 },
  { ...inner, value_size: 16 },
  { ...inner, map_flags: u.BPF_F_INNER_MAP },
  hash,
  { ...hash, max_entries: 8 },
];
const PROGRAMS = 4;

/** How many objects there are of a kind: the first `GOOD_OBJECTS` go into each map, the last is of another kind. */
export const OBJECTS: Readonly<Record<Held, number>> = { maps: maps.length + 1, programs: PROGRAMS + 1 };
export const GOOD_OBJECTS = 4;

function program(host: Host, result: number): number {
  const insns = asm.encodeInsns(asm.assemble([asm.mov64Imm(asm.R0, result), asm.exit()]));
  return host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    insn_cnt: insns.length / 8,
    insns,
    license: "GPL",
  });
}

export function makeObject(host: Host, held: Held, n: number): HeldObject {
  const isMap = held === "maps" ? n < maps.length : n >= PROGRAMS;
  const fd = isMap ? host.bpf(u.BPF_MAP_CREATE, { ...maps[held === "maps" ? n : 0] }) : program(host, n);
  if (fd < 0) throw new Error(`object ${n} of ${held}: ${fd}`);
  const record = new Uint8Array(8);
  host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: record.length, info: record });
  return { fd, id: new DataView(record.buffer).getUint32(u.bpf_map_info.fields.id.offset, true) };
}
