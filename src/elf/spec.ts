/** What an object file asks for, as plain data that can be edited before anything is created. The model is libbpf's. */
import type { Btf } from "../btf/index.ts";
import type { Insn } from "../insn/index.ts";

export interface ObjectSpec {
  /** Name of the object: prefix of its data maps' names. */
  name: string;
  /** From the section "license"; empty without one. */
  license: string;
  /** From the section "version": what old kernels wanted of kprobes. */
  version?: number;
  btf?: Btf;
  /** The BTF for BPF_BTF_LOAD: sizes and offsets of variables, which the compiler leaves open, are filled in. */
  btfBytes?: Uint8Array;
  maps: MapSpec[];
  programs: ProgramSpec[];
  /** Variables of the data sections. */
  globals: GlobalSpec[];
}

export interface MapSpec {
  /** Unique in the object. The kernel keeps 15 bytes of it: cut it when the map is created. */
  name: string;
  /** Where it comes from: ".maps", or its data section. */
  section: string;
  /** BPF_MAP_TYPE_*. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  mapExtra: bigint;
  numaNode?: number;
  pinning: "none" | "byName";
  keyTypeId?: number;
  valueTypeId?: number;
  /** The first value of a data section's map. Absent: all zero, as in .bss. `globalBytes` gives a part of it to write to. */
  initialData?: Uint8Array;
  /** To be frozen once `initialData` is in it: .rodata. */
  frozen?: boolean;
  /** For maps of maps: what its elements look like. */
  innerSpec?: MapSpec;
  /** Elements that the source initializes (`.values = {...}`), by index: a map's or a program's name. */
  slots?: MapSlot[];
}

export interface MapSlot {
  index: number;
  kind: "map" | "program";
  name: string;
}

export interface GlobalSpec {
  name: string;
  /** Name of the map that holds it. */
  map: string;
  section: string;
  offset: number;
  size: number;
  /** Its type; absent without BTF. */
  typeId?: number;
}

export interface ProgramSpec {
  /** Name of the function. */
  name: string;
  /** Name of the ELF section: what SEC() says. */
  section: string;
  /** BPF_PROG_TYPE_*; undefined for a section whose name says none. */
  type?: number;
  expectedAttachType?: number;
  /** prog_flags of BPF_PROG_LOAD. */
  flags: number;
  /** What follows the first slash in a section such as "kprobe/do_exit". */
  attachTo?: string;
  /** The function itself, then every function that it calls, calls resolved. Map references have fd 0: see `mapRefs`. */
  insns: Insn[];
  mapRefs: MapRef[];
  /** Functions of `insns`, its own first. */
  functions: LinkedFunction[];
  /** Source lines, ascending by instruction. */
  lines: LineInfo[];
  /** Records for BPF_PROG_LOAD: struct bpf_func_info (8 bytes) and struct bpf_line_info (16 bytes), by instruction. */
  funcInfo: Uint8Array;
  lineInfo: Uint8Array;
  /** Accesses to be adjusted to the running kernel's types. */
  coreRelos: CoreRelo[];
  /** What it uses that this library cannot resolve yet; empty for most. `requireSupported` throws when it is not. */
  unsupported: string[];
}

/** A 64-bit immediate at `insn` that wants a map: its fd in imm or, for `value`, the address of byte `offset` of its value. */
export interface MapRef {
  insn: number;
  map: string;
  kind: "fd" | "value";
  offset?: number;
}

export interface LinkedFunction {
  name: string;
  /** Its first instruction, and how many it has. */
  insn: number;
  count: number;
  /** Its BTF type; absent without BTF. */
  typeId?: number;
}

export interface LineInfo {
  insn: number;
  file: string;
  line: number;
  column: number;
  text: string;
}

export interface CoreRelo {
  insn: number;
  typeId: number;
  access: string;
  kind: number;
}
