/** What Linux shows of an fd in /proc/self/fdinfo: lines of `name:` TAB `value`. Kernel counterpart: show_fdinfo. */
import { INSN_SIZE } from "../insn/index.ts";
import { OBJ_BTF, OBJ_DIR, OBJ_ID, OBJ_KIND, OBJ_LINK, OBJ_MAP, OBJ_PROG, PAGE_SIZE } from "../mem/layout.ts";
import { kernelMapMemory } from "../struct/kernel_memory.ts";
import {
  MAP_EXTRA,
  MAP_FLAGS,
  MAP_FROZEN,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_TYPE,
  MAP_VALUE_SIZE,
} from "../struct/map.ts";
import { BPF_LINK_TYPE_RAW_TRACEPOINT, BPF_TAG_SIZE, EBADF } from "../uapi/index.ts";
import { entryMode, entryObject, FMODE_READ, FMODE_WRITE, getEntry } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { LINK_ATTACH_TYPE, LINK_COOKIE, LINK_PROG, LINK_TARGET, LINK_TYPE } from "./link.ts";
import { entryOfMap } from "./map.ts";
import { ownerType } from "./owner.ts";
import { PROG_DIGEST, PROG_INSN_CNT, PROG_TYPE } from "./prog.ts";

type Line = readonly [name: string, value: string | number];

const O_WRONLY = 1;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const O_DIRECTORY = 0o200000;
const O_LARGEFILE = 0o100000;
/** Bytes of the kernel's head of a program. */
const PROG_HEAD = 96;

/** The text of the fd's file, or -EBADF. The lines on inodes and mounts, which this host does not have, are left out. */
export function fdinfo(kernel: Kernel, fd: number): string | number {
  const { mem, process } = kernel;
  const entry = getEntry(mem, process, fd);
  if (entry === 0) return -EBADF;
  const object = entryObject(entry);
  const kind = mem.u32[(object + OBJ_KIND) >>> 2];
  const flags = openFlags(entryMode(entry)) | O_CLOEXEC | (kind === OBJ_DIR ? O_DIRECTORY | O_LARGEFILE : 0);
  const lines: Line[] = [["pos", 0], ["flags", `0${flags.toString(8)}`], ...ofKind(kernel, kind, object)];
  kernel.done(object);
  return lines.map(([name, value]) => `${name}:\t${value}\n`).join("");
}

function ofKind(kernel: Kernel, kind: number | undefined, object: number): readonly Line[] {
  switch (kind) {
    case OBJ_MAP:
      return ofMap(kernel, object);
    case OBJ_PROG:
      return ofProg(kernel, object);
    case OBJ_BTF:
      return ofBtf(kernel, object);
    case OBJ_LINK:
      return ofLink(kernel, object);
    default:
      return [];
  }
}

function openFlags(mode: number): number {
  if (mode === (FMODE_READ | FMODE_WRITE)) return O_RDWR;
  return mode === FMODE_WRITE ? O_WRONLY : 0;
}

function ofMap(kernel: Kernel, map: number): readonly Line[] {
  const { u32, u64 } = kernel.mem;
  const word = (field: number): number => u32[(map + field) >>> 2]!;
  const size = {
    map_type: word(MAP_TYPE),
    key_size: word(MAP_KEY_SIZE),
    value_size: word(MAP_VALUE_SIZE),
    max_entries: word(MAP_MAX_ENTRIES),
    map_flags: word(MAP_FLAGS),
    map_extra: word(MAP_EXTRA),
  };
  // A type that does not count its elements has memory for all of them from the beginning.
  const elements = Math.max(entryOfMap(kernel, map).ops.map_count(kernel, map), 0);
  return [
    ["map_type", size.map_type],
    ["key_size", size.key_size],
    ["value_size", size.value_size],
    ["max_entries", size.max_entries],
    ["map_flags", `0x${size.map_flags.toString(16)}`],
    ["map_extra", `0x${u64[(map + MAP_EXTRA) >>> 3]!.toString(16)}`],
    ["memlock", kernelMapMemory(size, kernel.cpus, elements) ?? 0],
    ["map_id", word(OBJ_ID)],
    ["frozen", word(MAP_FROZEN)],
    ...ofOwner(kernel, map),
  ];
}

/** Of a map that holds programs, once it is known of which type. Nothing is compiled here. */
function ofOwner(kernel: Kernel, map: number): readonly Line[] {
  const type = ownerType(kernel.mem, map);
  return type === undefined
    ? []
    : [
        ["owner_prog_type", type],
        ["owner_jited", 0],
      ];
}

/** Nothing is compiled and nothing counted here; the other lines are the kernel's. */
function ofProg(kernel: Kernel, prog: number): readonly Line[] {
  const { u32 } = kernel.mem;
  const word = (field: number): number => u32[(prog + field) >>> 2]!;
  const bytes = PROG_HEAD + word(PROG_INSN_CNT) * INSN_SIZE;
  return [
    ["prog_type", word(PROG_TYPE)],
    ["prog_jited", 0],
    ["prog_tag", tagOf(kernel, prog)],
    ["memlock", Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE],
    ["prog_id", word(OBJ_ID)],
    ["run_time_ns", 0],
    ["run_cnt", 0],
    ["recursion_misses", 0],
    ["verified_insns", 0],
  ];
}

function tagOf({ mem }: Kernel, prog: number): string {
  const tag = mem.u8.slice(prog + PROG_DIGEST, prog + PROG_DIGEST + BPF_TAG_SIZE);
  return Array.from(tag, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The names of tracepoints are the BTF's, which is not known here: that line is left out. */
function ofLink(kernel: Kernel, link: number): readonly Line[] {
  const { u32, u64 } = kernel.mem;
  const word = (field: number): number => u32[(link + field) >>> 2]!;
  const atTracepoint = word(LINK_TYPE) === BPF_LINK_TYPE_RAW_TRACEPOINT;
  const prog = word(LINK_PROG);
  const lines: Line[] = [
    ["link_type", atTracepoint ? "raw_tracepoint" : "tracing"],
    ["link_id", word(OBJ_ID)],
    ["prog_tag", tagOf(kernel, prog)],
    ["prog_id", u32[(prog + OBJ_ID) >>> 2]!],
  ];
  const target: readonly Line[] = [
    ["attach_type", word(LINK_ATTACH_TYPE)],
    ["target_obj_id", 0],
    ["target_btf_id", word(LINK_TARGET)],
  ];
  return [...lines, ...(atTracepoint ? [] : target), ["cookie", u64[(link + LINK_COOKIE) >>> 3]!.toString()]];
}

function ofBtf(kernel: Kernel, btf: number): readonly Line[] {
  return [["btf_id", kernel.mem.u32[(btf + OBJ_ID) >>> 2]!]];
}
