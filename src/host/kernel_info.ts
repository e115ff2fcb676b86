/**
 * The info structs of OBJ_GET_INFO_BY_FD carry pointers of their own, to which the kernel writes. A host that must not
 * let it write elsewhere looks at them first.
 */
import { bpf_btf_info, bpf_map_info, bpf_prog_info } from "../uapi/index.ts";
import type { FdKind } from "./kernel_fds.ts";

interface Field {
  readonly offset: number;
}

interface InfoPointer {
  readonly pointer: Field;
  readonly count: Field;
  /** Bytes of one, or the field that says it. */
  readonly each: number | Field;
}

const map = bpf_map_info.fields;
const prog = bpf_prog_info.fields;
const btf = bpf_btf_info.fields;

const pointers: Readonly<Record<Exclude<FdKind, "link">, readonly InfoPointer[]>> = {
  map: [{ pointer: map.hash, count: map.hash_size, each: 1 }],
  prog: [
    { pointer: prog.jited_prog_insns, count: prog.jited_prog_len, each: 1 },
    { pointer: prog.xlated_prog_insns, count: prog.xlated_prog_len, each: 1 },
    { pointer: prog.map_ids, count: prog.nr_map_ids, each: 4 },
    { pointer: prog.jited_ksyms, count: prog.nr_jited_ksyms, each: 8 },
    { pointer: prog.jited_func_lens, count: prog.nr_jited_func_lens, each: 4 },
    { pointer: prog.func_info, count: prog.nr_func_info, each: prog.func_info_rec_size },
    { pointer: prog.line_info, count: prog.nr_line_info, each: prog.line_info_rec_size },
    { pointer: prog.jited_line_info, count: prog.nr_jited_line_info, each: prog.jited_line_info_rec_size },
    { pointer: prog.prog_tags, count: prog.nr_prog_tags, each: 8 },
  ],
  btf: [
    { pointer: btf.btf, count: btf.btf_size, each: 1 },
    { pointer: btf.name, count: btf.name_len, each: 1 },
  ],
};
/** Where the part of bpf_link_info begins whose layout depends on the link. */
const LINK_UNION = 16;

/**
 * Whether every pointer in the info struct at `at` leads to memory that `holds` knows. Links have pointers where others
 * have counts, so theirs must be empty, as must be those of an fd whose kind is not known.
 */
export function infoPointersOk(
  kind: FdKind | undefined,
  info: DataView,
  at: number,
  length: number,
  holds: (address: number, length: number) => boolean,
): boolean {
  if (kind === undefined || kind === "link") {
    for (let i = kind === "link" ? LINK_UNION : 0; i < length; i++) if (info.getUint8(at + i) !== 0) return false;
    return true;
  }
  // A field that is not given is zero.
  const u32 = (offset: number): number => (offset + 4 > length ? 0 : info.getUint32(at + offset, true));
  return pointers[kind].every(({ pointer, count, each }) => {
    const address = u32(pointer.offset) + u32(pointer.offset + 4) * 0x1_0000_0000;
    const bytes = u32(count.offset) * (typeof each === "number" ? each : u32(each.offset));
    return address === 0 || bytes === 0 || holds(address, bytes);
  });
}
