/** What an object file asks for, as plain data that can be edited before anything is created. The model is libbpf's. */
import type { Btf } from "../btf/index.ts";
import type { Insn } from "../insn/index.ts";
import type { KconfigValue } from "./kconfig.ts";

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
  /** Variables of the data sections, of the arena, and of .kconfig. */
  globals: GlobalSpec[];
  /** What it names and the host has. */
  externs: ExternSpec[];
}

/**
 * Something of the host's that the source declares `extern`: with __kconfig a value of the kernel's configuration, with
 * __ksym a function that programs may call (kfunc), a variable that the kernel's BTF has a type for, or a symbol that has
 * none.
 */
export interface ExternSpec {
  name: string;
  kind: "kconfig" | "function" | "variable" | "symbol";
  /** May be missing: then a value is 0, an address NULL, and a call is refused where the verifier sees that it is reached. */
  weak: boolean;
  /** Its type in the object's BTF: of a variable what it holds, of a function the `func`. */
  typeId: number;
  /** Where a configuration value lies in the map ".kconfig". */
  offset?: number;
  size?: number;
  /**
   * What it is, in place of what the host says: of `kconfig` the option's value, of `function` and `variable` the id in the
   * kernel's BTF, of `symbol` the address. `null`: the host shall not have it.
   */
  value?: KconfigValue | null;
}

export interface MapSpec {
  /** Unique in the object. The kernel keeps 15 bytes of it: cut it when the map is created. */
  name: string;
  /** Where it comes from: ".maps", its data section, "maps" (the form before BTF), ".struct_ops" or ".struct_ops.link". */
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
  /** The first value of a data section's map, or the first bytes of an arena with variables in it. Absent: all zero, as in .bss. `globalBytes` gives a part of it to write to. */
  initialData?: Uint8Array;
  /** To be frozen once `initialData` is in it: .rodata. */
  frozen?: boolean;
  /** For maps of maps: what its elements look like. */
  innerSpec?: MapSpec;
  /** Elements that the source initializes (`.values = {...}`), by index: a map's or a program's name. */
  slots?: MapSlot[];
  /** False: not created with the object, as where the section begins with "?". Programs that use it cannot be loaded. */
  autocreate?: boolean;
  /** Of a map of type STRUCT_OPS, whose `initialData` is the struct as the source has it, programs left NULL. */
  structOps?: StructOpsSpec;
  /**
   * What a definition of the form before BTF has behind the members of struct bpf_map_def, when it is not zero. Nobody
   * knows what it means: it has to be deleted before the object is loaded.
   */
  unknownBytes?: Uint8Array;
}

export interface StructOpsSpec {
  /** The struct, by its id in the object's BTF; its name says which of the kernel's it is. */
  typeId: number;
  /** Members that are programs. */
  programs: { member: string; program: string }[];
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
  /** False: only loaded when it is named, as where the section begins with "?". */
  autoload: boolean;
  /** For `freplace`, and to trace a BPF program: fd of the program that has the function `attachTo`. */
  attachProgFd?: number;
  /** The function itself, then every function that it calls, calls resolved. Map references have fd 0: see `mapRefs`. */
  insns: Insn[];
  mapRefs: MapRef[];
  /** Where it uses functions, variables and symbols of the kernel. */
  externRefs: ExternRef[];
  /** Functions of `insns`, its own first. */
  functions: LinkedFunction[];
  /** Source lines, ascending by instruction. */
  lines: LineInfo[];
  /** Records for BPF_PROG_LOAD: struct bpf_func_info (8 bytes) and struct bpf_line_info (16 bytes), by instruction. */
  funcInfo: Uint8Array;
  lineInfo: Uint8Array;
  /** What depends on types of the kernel that it runs in: `insns` hold what the object was compiled with. */
  coreRelos: CoreRelo[];
  /** What it uses and nothing can resolve; empty for most. `requireSupported` throws when it is not. */
  unsupported: string[];
}

/** A 64-bit immediate at `insn` that wants a map: its fd in imm or, for `value`, the address of byte `offset` of its value. */
export interface MapRef {
  insn: number;
  map: string;
  kind: "fd" | "value";
  offset?: number;
}

/** An instruction that wants an extern: a call of it, or its address as a 64-bit immediate. */
export interface ExternRef {
  insn: number;
  extern: string;
  kind: "call" | "address";
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
  /** The type in the object's BTF at which the access begins, and the path from there: indices joined by colons. */
  typeId: number;
  access: string;
  /** BPF_CORE_*: what of it is wanted. */
  kind: number;
}
