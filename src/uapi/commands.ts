/**
 * The commands of bpf(2) as data: one row each, with the fields of its part of union bpf_attr, which of them are
 * pointers, and how many bytes lie behind each. Both hosts read it to take attributes apart. Ends were asked of
 * Linux 6.18 (the first byte whose change gives EINVAL). Byte order is little-endian, as in the rest of the project.
 */
import {
  BPF_BTF_GET_FD_BY_ID,
  BPF_BTF_GET_NEXT_ID,
  BPF_BTF_LOAD,
  BPF_LINK_CREATE,
  BPF_LINK_DETACH,
  BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_BATCH,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_PIN,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_LOAD,
  BPF_PROG_STREAM_READ_BY_FD,
  BPF_PROG_TEST_RUN,
  BPF_RAW_TRACEPOINT_OPEN,
  bpfCmdNames,
} from "./constants.gen.ts";
import { bpf_attr } from "./structs.gen.ts";

/** What one unit of a pointer's length is. The map's sizes come from the fd in the attributes; `text` ends at its NUL. */
export type LengthUnit = "byte" | "key" | "value" | "cursor" | "text";

export interface PointerRule {
  /** As the command sees it: `in` is only read, `out` and `inout` are (also) written. */
  readonly direction: "in" | "out" | "inout";
  readonly unit: LengthUnit;
  /** Units, before `times`. For `text`: the most bytes that are read. 0: the command does not look at the pointer. */
  readonly scale: number;
  /** Offsets of u32 fields that the length is multiplied by. */
  readonly times: readonly number[];
  /**
   * What a `times` that is 0 means. `none`: nothing is touched. `all`: the command goes as far as it likes, so that a
   * host has to bound it by the buffer.
   */
  readonly zero: "none" | "all";
}

export interface AttrField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly kind: "u32" | "s32" | "u64" | "name16" | "ptr";
  /** Of a `ptr`. */
  readonly pointer?: PointerRule;
  /** Its place among the command's pointers, -1 for other fields. */
  readonly index: number;
}

export interface CommandRow {
  readonly number: number;
  readonly name: string;
  /** Linux version. */
  readonly since: string;
  readonly fields: readonly AttrField[];
  readonly byName: ReadonlyMap<string, AttrField>;
  /** The fields that are pointers. */
  readonly pointers: readonly AttrField[];
  /** End of the last field: from here on every byte must be zero. */
  readonly end: number;
  /** u32 fields that a successful call always sets (a failing one may). */
  readonly outputs: readonly AttrField[];
  /** u32 inputs that the kernel overwrites with what it expects when it refuses them. */
  readonly corrections: readonly AttrField[];
  /** End of the last of `outputs` and `corrections`, 0 without any: the kernel writes them whatever size it was given. */
  readonly writesTo: number;
  /** Offset of the map's fd in commands whose lengths depend on the map, else -1. */
  readonly mapFd: number;
  /** Whether a result >= 0 is a new fd. */
  readonly returnsFd: boolean;
}

type Group = Readonly<Record<string, { readonly offset: number; readonly size: number }>>;
type Spec = "u32" | "s32" | "u64" | "name16" | PointerSpec;
interface PointerSpec {
  readonly direction: PointerRule["direction"];
  readonly unit: LengthUnit;
  readonly scale: number;
  readonly times: readonly string[];
  readonly zero: PointerRule["zero"];
}

function pointer(
  direction: PointerRule["direction"],
  unit: LengthUnit,
  scale: number,
  ...times: string[]
): PointerSpec {
  return { direction, unit, scale, times, zero: "none" };
}
/** As many bytes as the product of the named fields. */
const bytes = (direction: PointerRule["direction"], ...times: string[]): PointerSpec =>
  pointer(direction, "byte", 1, ...times);
const all = (spec: PointerSpec): PointerSpec => ({ ...spec, zero: "all" });
/** In the layout, but this command does not look at it. */
const unused: PointerSpec = pointer("in", "byte", 0);

interface RowOptions {
  readonly outputs?: readonly string[];
  readonly corrections?: readonly string[];
  readonly returnsFd?: boolean;
  /** Where it lies behind the last of the fields. */
  readonly end?: number;
}

function row<G extends Group>(
  number: number,
  since: string,
  group: G,
  specs: Partial<Record<keyof G & string, Spec>>,
  options: RowOptions = {},
): CommandRow {
  const at = (name: string): { readonly offset: number; readonly size: number } => group[name]!;
  let pointers = 0;
  const fields = Object.entries<Spec | undefined>(specs).map(([name, spec]): AttrField => {
    const { offset, size } = at(name);
    if (typeof spec === "string") return { name, offset, size, kind: spec, index: -1 };
    const { direction, unit, scale, times, zero } = spec!;
    const rule: PointerRule = { direction, unit, scale, times: times.map((t) => at(t).offset), zero };
    return { name, offset, size, kind: "ptr", pointer: rule, index: pointers++ };
  });
  const named = (names: readonly string[] = []): AttrField[] => names.map((n) => fields.find((f) => f.name === n)!);
  const outputs = named(options.outputs);
  const corrections = named(options.corrections);
  const perMap = fields.some((f) => f.pointer !== undefined && !["byte", "text"].includes(f.pointer.unit));
  return {
    number,
    name: bpfCmdNames[number]!,
    since,
    fields,
    byName: new Map(fields.map((f) => [f.name, f])),
    pointers: fields.filter((f) => f.kind === "ptr"),
    end: options.end ?? Math.max(...fields.map((f) => f.offset + f.size)),
    outputs,
    corrections,
    writesTo: Math.max(0, ...[...outputs, ...corrections].map((f) => f.offset + f.size)),
    mapFd: perMap ? at("map_fd").offset : -1,
    returnsFd: options.returnsFd ?? false,
  };
}

const { map_create, elem, batch, prog_load, obj, test, id, info, btf_load, prog_stream_read } = bpf_attr;
const { raw_tracepoint, link_create, link_detach } = bpf_attr;
const linkFields = { ...link_create, cookie: link_create.tracing.fields.cookie };
const { pid: lastOfLink } = link_create.uprobe_multi.fields;

const keyIn = pointer("in", "key", 1);
const newFd = { returnsFd: true } as const;

const batchRow = (
  number: number,
  inBatch: PointerSpec,
  outBatch: PointerSpec,
  keys: PointerSpec,
  values: PointerSpec,
) =>
  row(
    number,
    "5.6",
    batch,
    {
      in_batch: inBatch,
      out_batch: outBatch,
      keys,
      values,
      count: "u32",
      map_fd: "u32",
      elem_flags: "u64",
      flags: "u64",
    },
    { outputs: ["count"] },
  );
/** The cursors and buffers of the two batch commands that read. */
const batchOut = [
  pointer("in", "cursor", 1),
  pointer("out", "cursor", 1),
  pointer("out", "key", 1, "count"),
  pointer("out", "value", 1, "count"),
] as const;

const rows: readonly CommandRow[] = [
  row(
    BPF_MAP_CREATE,
    "3.18",
    map_create,
    {
      map_type: "u32",
      key_size: "u32",
      value_size: "u32",
      max_entries: "u32",
      map_flags: "u32",
      inner_map_fd: "u32",
      numa_node: "u32",
      map_name: "name16",
      map_ifindex: "u32",
      btf_fd: "u32",
      btf_key_type_id: "u32",
      btf_value_type_id: "u32",
      btf_vmlinux_value_type_id: "u32",
      map_extra: "u64",
      value_type_btf_obj_fd: "s32",
      map_token_fd: "s32",
      excl_prog_hash: bytes("in", "excl_prog_hash_size"),
      excl_prog_hash_size: "u32",
    },
    newFd,
  ),
  // The value of a lookup in a BLOOM_FILTER is read, so it is never only written.
  row(BPF_MAP_LOOKUP_ELEM, "3.18", elem, {
    map_fd: "u32",
    key: keyIn,
    value: pointer("inout", "value", 1),
    flags: "u64",
  }),
  row(BPF_MAP_UPDATE_ELEM, "3.18", elem, {
    map_fd: "u32",
    key: keyIn,
    value: pointer("in", "value", 1),
    flags: "u64",
  }),
  row(BPF_MAP_DELETE_ELEM, "3.18", elem, { map_fd: "u32", key: keyIn }),
  row(BPF_MAP_GET_NEXT_KEY, "3.18", elem, { map_fd: "u32", key: keyIn, next_key: pointer("out", "key", 1) }),
  row(
    BPF_PROG_LOAD,
    "3.18",
    prog_load,
    {
      prog_type: "u32",
      insn_cnt: "u32",
      insns: pointer("in", "byte", 8, "insn_cnt"),
      license: pointer("in", "text", 127),
      log_level: "u32",
      log_size: "u32",
      log_buf: bytes("out", "log_size"),
      kern_version: "u32",
      prog_flags: "u32",
      prog_name: "name16",
      prog_ifindex: "u32",
      expected_attach_type: "u32",
      prog_btf_fd: "u32",
      func_info_rec_size: "u32",
      func_info: bytes("in", "func_info_cnt", "func_info_rec_size"),
      func_info_cnt: "u32",
      line_info_rec_size: "u32",
      line_info: bytes("in", "line_info_cnt", "line_info_rec_size"),
      line_info_cnt: "u32",
      attach_btf_id: "u32",
      attach_prog_fd: "u32",
      attach_btf_obj_fd: "u32",
      core_relo_cnt: "u32",
      // Without a count the instructions say which entries are read.
      fd_array: all(pointer("in", "byte", 4, "fd_array_cnt")),
      core_relos: bytes("in", "core_relo_cnt", "core_relo_rec_size"),
      core_relo_rec_size: "u32",
      log_true_size: "u32",
      prog_token_fd: "s32",
      fd_array_cnt: "u32",
      signature: bytes("in", "signature_size"),
      signature_size: "u32",
      keyring_id: "s32",
    },
    {
      outputs: ["log_true_size"],
      corrections: ["func_info_rec_size", "line_info_rec_size", "core_relo_rec_size"],
      returnsFd: true,
    },
  ),
  row(BPF_OBJ_PIN, "4.4", obj, {
    pathname: pointer("in", "text", 4096),
    bpf_fd: "u32",
    file_flags: "u32",
    path_fd: "s32",
  }),
  row(
    BPF_OBJ_GET,
    "4.4",
    obj,
    { pathname: pointer("in", "text", 4096), bpf_fd: "u32", file_flags: "u32", path_fd: "s32" },
    newFd,
  ),
  row(
    BPF_PROG_TEST_RUN,
    "4.12",
    test,
    {
      prog_fd: "u32",
      retval: "u32",
      data_size_in: "u32",
      data_size_out: "u32",
      data_in: bytes("in", "data_size_in"),
      // The kernel copies the whole packet, whatever room there is, when it is given no size.
      data_out: all(bytes("out", "data_size_out")),
      repeat: "u32",
      duration: "u32",
      ctx_size_in: "u32",
      ctx_size_out: "u32",
      // Programs of type SYSCALL get their context written back where it came from.
      ctx_in: bytes("inout", "ctx_size_in"),
      ctx_out: bytes("out", "ctx_size_out"),
      flags: "u32",
      cpu: "u32",
      batch_size: "u32",
    },
    { outputs: ["retval", "data_size_out", "duration", "ctx_size_out"] },
  ),
  row(BPF_PROG_GET_NEXT_ID, "4.13", id, { start_id: "u32", next_id: "u32" }, { outputs: ["next_id"] }),
  row(BPF_MAP_GET_NEXT_ID, "4.13", id, { start_id: "u32", next_id: "u32" }, { outputs: ["next_id"] }),
  row(BPF_PROG_GET_FD_BY_ID, "4.13", id, { prog_id: "u32" }, newFd),
  row(BPF_MAP_GET_FD_BY_ID, "4.13", id, { map_id: "u32", next_id: "u32", open_flags: "u32" }, newFd),
  row(
    BPF_OBJ_GET_INFO_BY_FD,
    "4.13",
    info,
    { bpf_fd: "u32", info_len: "u32", info: bytes("inout", "info_len") },
    { outputs: ["info_len"] },
  ),
  row(
    BPF_RAW_TRACEPOINT_OPEN,
    "4.17",
    raw_tracepoint,
    { name: pointer("in", "text", 127), prog_fd: "u32", cookie: "u64" },
    newFd,
  ),
  row(
    BPF_BTF_LOAD,
    "4.18",
    btf_load,
    {
      btf: bytes("in", "btf_size"),
      btf_log_buf: bytes("out", "btf_log_size"),
      btf_size: "u32",
      btf_log_size: "u32",
      btf_log_level: "u32",
      btf_log_true_size: "u32",
      btf_flags: "u32",
      btf_token_fd: "s32",
    },
    { outputs: ["btf_log_true_size"], returnsFd: true },
  ),
  row(
    BPF_BTF_GET_FD_BY_ID,
    "4.18",
    id,
    { btf_id: "u32", next_id: "u32", open_flags: "u32", fd_by_id_token_fd: "s32" },
    newFd,
  ),
  row(BPF_MAP_LOOKUP_AND_DELETE_ELEM, "4.20", elem, {
    map_fd: "u32",
    key: keyIn,
    value: pointer("out", "value", 1),
    flags: "u64",
  }),
  row(BPF_MAP_FREEZE, "5.2", elem, { map_fd: "u32" }),
  row(BPF_BTF_GET_NEXT_ID, "5.4", id, { start_id: "u32", next_id: "u32" }, { outputs: ["next_id"] }),
  batchRow(BPF_MAP_LOOKUP_BATCH, ...batchOut),
  batchRow(BPF_MAP_LOOKUP_AND_DELETE_BATCH, ...batchOut),
  batchRow(BPF_MAP_UPDATE_BATCH, unused, unused, pointer("in", "key", 1, "count"), pointer("in", "value", 1, "count")),
  batchRow(BPF_MAP_DELETE_BATCH, unused, unused, pointer("in", "key", 1, "count"), unused),
  // Of what is attached by type: other kinds of links have other fields in the same place.
  row(
    BPF_LINK_CREATE,
    "5.7",
    linkFields,
    { prog_fd: "u32", target_fd: "u32", attach_type: "u32", flags: "u32", target_btf_id: "u32", cookie: "u64" },
    { ...newFd, end: lastOfLink.offset + lastOfLink.size },
  ),
  row(BPF_LINK_GET_FD_BY_ID, "5.8", id, { link_id: "u32" }, newFd),
  row(BPF_LINK_GET_NEXT_ID, "5.8", id, { start_id: "u32", next_id: "u32" }, { outputs: ["next_id"] }),
  row(BPF_LINK_DETACH, "5.9", link_detach, { link_fd: "u32" }),
  row(BPF_PROG_STREAM_READ_BY_FD, "6.17", prog_stream_read, {
    stream_buf: bytes("out", "stream_buf_len"),
    stream_buf_len: "u32",
    stream_id: "u32",
    prog_fd: "u32",
  }),
];

/** Number → row. A command that is not here can be called in raw form only. */
export const bpfCommands: Readonly<Record<number, CommandRow>> = Object.fromEntries(rows.map((r) => [r.number, r]));
