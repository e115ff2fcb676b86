/** BPF_OBJ_GET_INFO_BY_FD of a program: struct bpf_prog_info and the arrays that it points to. */
import { INSN_SIZE, LD_IMM64_OPCODE } from "../insn/index.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  PROG_BTF,
  PROG_DIGEST,
  PROG_FUNC_INFO,
  PROG_FUNC_INFO_CNT,
  PROG_GPL,
  PROG_INSN_CNT,
  PROG_INSNS,
  PROG_LINE_INFO,
  PROG_LINE_INFO_CNT,
  PROG_LOAD_TIME,
  PROG_MAP_CNT,
  PROG_MAP_SIZE,
  PROG_MAPS,
  PROG_NAME,
  PROG_TYPE,
} from "../kern/prog.ts";
import { AREA_BASE, AREA_MAP, areaOf } from "../mem/alloc.ts";
import { OBJ_ID } from "../mem/layout.ts";
import {
  BPF_OBJ_NAME_LEN,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  BPF_TAG_SIZE,
  bpf_func_info,
  bpf_line_info,
  bpf_prog_info,
  EFAULT,
  EINVAL,
} from "../uapi/index.ts";
import { pointerIn } from "./attr.ts";
import { checkInfoTail, putInfo } from "./info_record.ts";

const { fields, size: INFO_SIZE } = bpf_prog_info;
const JITED_LINE_SIZE = 8;

/** An array that the caller may ask for: how many it has room for, where, and what there is. */
interface List {
  readonly count: { readonly offset: number };
  readonly to: { readonly offset: number };
  readonly entry: number;
  readonly bytes: Uint8Array;
}

export function progInfo(kernel: Kernel, prog: number, to: number, length: number, ulength: number): number {
  const bad = checkInfoTail(kernel, to, length, INFO_SIZE);
  if (bad !== 0) return bad;
  const given = Math.min(length, INFO_SIZE);
  if (!kernel.userOk(to, given, false)) return -EFAULT;
  const { u32, u8, u64 } = kernel.mem;
  const record = new Uint8Array(INFO_SIZE);
  record.set(u8.subarray(to, to + given));
  const view = new DataView(record.buffer);
  const set = (field: { readonly offset: number }, value: number): void => view.setUint32(field.offset, value, true);
  const word = (field: number): number => u32[(prog + field) >>> 2]!;
  if (!setRecordSizes(view)) return -EINVAL;
  for (const list of listsOf(kernel, prog)) if (!putList(kernel, view, list)) return -EFAULT;
  set(fields.type, word(PROG_TYPE));
  set(fields.id, word(OBJ_ID));
  record.set(u8.subarray(prog + PROG_DIGEST, prog + PROG_DIGEST + BPF_TAG_SIZE), fields.tag.offset);
  view.setBigUint64(fields.load_time.offset, u64[(prog + PROG_LOAD_TIME) >>> 3]!, true);
  record.set(u8.subarray(prog + PROG_NAME, prog + PROG_NAME + BPF_OBJ_NAME_LEN), fields.name.offset);
  view.setUint8(fields.gpl_compatible.offset, word(PROG_GPL));
  const btf = word(PROG_BTF);
  set(fields.btf_id, btf === 0 ? 0 : u32[(btf + OBJ_ID) >>> 2]!);
  // What this host has none of: machine code, interfaces, statistics, kernel BTF.
  for (const field of [
    fields.jited_prog_len,
    fields.created_by_uid,
    fields.ifindex,
    fields.nr_jited_ksyms,
    fields.nr_jited_func_lens,
    fields.nr_jited_line_info,
    fields.verified_insns,
    fields.attach_btf_obj_id,
    fields.attach_btf_id,
  ]) {
    set(field, 0);
  }
  for (const field of [
    fields.netns_dev,
    fields.netns_ino,
    fields.run_time_ns,
    fields.run_cnt,
    fields.recursion_misses,
  ]) {
    view.setBigUint64(field.offset, 0n, true);
  }
  return putInfo(kernel, record, to, length, ulength);
}

/** Who asks for records says how large they may be; only the sizes of this version will do. */
function setRecordSizes(view: DataView): boolean {
  const sizes = [
    [fields.nr_func_info, fields.func_info_rec_size, bpf_func_info.size],
    [fields.nr_line_info, fields.line_info_rec_size, bpf_line_info.size],
    [fields.nr_jited_line_info, fields.jited_line_info_rec_size, JITED_LINE_SIZE],
  ] as const;
  for (const [count, size, known] of sizes) {
    const said = view.getUint32(size.offset, true);
    if ((said !== 0 || view.getUint32(count.offset, true) !== 0) && said !== known) return false;
  }
  for (const [, size, known] of sizes) view.setUint32(size.offset, known, true);
  return true;
}

function listsOf(kernel: Kernel, prog: number): readonly List[] {
  const { u32, u8 } = kernel.mem;
  const word = (field: number): number => u32[(prog + field) >>> 2]!;
  const bytes = (at: number, n: number): Uint8Array => u8.subarray(at, at + n);
  const ids = new Uint32Array(word(PROG_MAP_CNT));
  for (let i = 0; i < ids.length; i++) {
    const map = u32[(word(PROG_MAPS) + i * PROG_MAP_SIZE) >>> 2]!;
    ids[i] = u32[(map + OBJ_ID) >>> 2]!;
  }
  return [
    { count: fields.nr_map_ids, to: fields.map_ids, entry: 4, bytes: new Uint8Array(ids.buffer) },
    {
      count: fields.xlated_prog_len,
      to: fields.xlated_prog_insns,
      entry: 1,
      bytes: dump(kernel, bytes(word(PROG_INSNS), word(PROG_INSN_CNT) * INSN_SIZE).slice()),
    },
    {
      count: fields.nr_func_info,
      to: fields.func_info,
      entry: bpf_func_info.size,
      bytes: bytes(word(PROG_FUNC_INFO), word(PROG_FUNC_INFO_CNT) * bpf_func_info.size),
    },
    {
      count: fields.nr_line_info,
      to: fields.line_info,
      entry: bpf_line_info.size,
      bytes: bytes(word(PROG_LINE_INFO), word(PROG_LINE_INFO_CNT) * bpf_line_info.size),
    },
    { count: fields.nr_prog_tags, to: fields.prog_tags, entry: 8, bytes: bytes(prog + PROG_DIGEST, BPF_TAG_SIZE) },
  ];
}

/** Instructions as user space sees them: ids of maps and offsets into values in place of addresses. */
function dump(kernel: Kernel, code: Uint8Array): Uint8Array {
  const { u32 } = kernel.mem;
  const view = new DataView(code.buffer);
  for (let at = 0; at < code.length; at += INSN_SIZE) {
    if (code[at] !== LD_IMM64_OPCODE) continue;
    const src = code[at + 1]! >>> 4;
    const address = view.getUint32(at + 4, true);
    const value = src === BPF_PSEUDO_MAP_VALUE;
    if (value || src === BPF_PSEUDO_MAP_FD) {
      const area = value ? areaOf(kernel.mem, address) : 0;
      const map = value ? u32[(area + AREA_MAP) >>> 2]! : address;
      view.setUint32(at + 4, u32[(map + OBJ_ID) >>> 2]!, true);
      view.setUint32(at + 12, value ? address - u32[(area + AREA_BASE) >>> 2]! : 0, true);
    }
    at += INSN_SIZE;
  }
  return code;
}

/** Copies as many entries as there is room for and says how many there are. False: the caller's array cannot be written. */
function putList(kernel: Kernel, view: DataView, list: List): boolean {
  const asked = view.getUint32(list.count.offset, true);
  const total = list.bytes.length / list.entry;
  view.setUint32(list.count.offset, total, true);
  const n = Math.min(asked, total) * list.entry;
  if (n === 0) return true;
  const to = pointerIn(view, list.to.offset);
  if (!kernel.userOk(to, n, true)) return false;
  kernel.mem.u8.set(list.bytes.subarray(0, n), to);
  return true;
}
