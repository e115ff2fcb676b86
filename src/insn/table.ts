/**
 * The BPF instruction set, one row per opcode: what Linux 6.18 takes, RFC 9669 and beyond.
 *
 * Assembler, disassembler, validator, interpreter, JIT and test generator read this table. An opcode without a row does
 * not exist: CALLX (0x8d), the classic-only 8-byte packet loads and everything else that the kernel calls unknown.
 */
import { Bug } from "../errors.ts";
import {
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
} from "../uapi/index.ts";
import type {
  AluOp,
  ConformanceGroup,
  FieldRule,
  Insn,
  InsnOp,
  InsnRow,
  InsnVariant,
  JumpOp,
  RegUse,
  VariantOp,
} from "./types.ts";

type Bits = 32 | 64;
type Size = 1 | 2 | 4 | 8;

const NOTHING = {
  bits: 0,
  operand: "none",
  size: 0,
  signed: false,
  dst: "none",
  src: "none",
  off: "zero",
  imm: "zero",
  selector: "none",
  variants: [],
} as const;

function variant(value: number, op: VariantOp, group: ConformanceGroup, rest: Partial<InsnVariant> = {}): InsnVariant {
  return { value, op, width: 0, group, ...rest };
}

const base = (bits: Bits): ConformanceGroup => (bits === 64 ? "base64" : "base32");
const sized = (size: Size): ConformanceGroup => (size === 8 ? "base64" : "base32");

/** dst = dst op imm. */
function aluImm(opcode: number, op: AluOp, bits: Bits, imm: FieldRule = "any"): InsnRow {
  const dst: RegUse = op === "mov" ? "write" : "readWrite";
  return {
    ...NOTHING,
    opcode,
    kind: "alu",
    op,
    bits,
    operand: "imm",
    dst,
    imm,
    group: aluGroup(op, bits),
    section: "4.1",
  };
}

/** dst = dst op src. */
function aluReg(opcode: number, op: AluOp, bits: Bits): InsnRow {
  const dst: RegUse = op === "mov" ? "write" : "readWrite";
  const group = aluGroup(op, bits);
  return { ...NOTHING, opcode, kind: "alu", op, bits, operand: "reg", dst, src: "read", group, section: "4.1" };
}

function aluGroup(op: AluOp, bits: Bits): ConformanceGroup {
  if (op === "mul" || op === "div" || op === "mod") return bits === 64 ? "divmul64" : "divmul32";
  return base(bits);
}

/** off 1 makes a division or remainder signed. */
function signedByOff(row: InsnRow): InsnRow {
  const [plain, signed]: VariantOp[] = row.op === "div" ? ["div", "sdiv"] : ["mod", "smod"];
  const variants = [variant(0, plain!, row.group), variant(1, signed!, row.group)];
  return { ...row, off: "select", selector: "off", variants };
}

/** off of a register move: how many bits of src to sign-extend, or (64-bit only) a cast between address spaces. */
function movByOff(row: InsnRow): InsnRow {
  const widths = row.bits === 64 ? [8, 16, 32] : [8, 16];
  const variants = [
    variant(0, "mov", row.group),
    ...widths.map((width) => variant(width, "movsx", row.group, { width })),
    ...(row.bits === 64 ? [variant(1, "addrSpaceCast", "linux", { imm: "addrSpaces" })] : []),
  ];
  return { ...row, off: "select", selector: "off", variants };
}

function neg(opcode: number, bits: Bits): InsnRow {
  return { ...NOTHING, opcode, kind: "alu", op: "neg", bits, dst: "readWrite", group: base(bits), section: "4.1" };
}

/** imm is the width; the upper bits of dst become 0. */
function byteOrder(opcode: number, op: "toLe" | "toBe" | "bswap"): InsnRow {
  const variants = [16, 32, 64].map((width) => variant(width, op, width === 64 ? "base64" : "base32", { width }));
  const row = { ...NOTHING, opcode, kind: "end", op: "end", bits: 64, dst: "readWrite", imm: "select" } as const;
  return { ...row, selector: "imm", variants, group: "base32", section: "4.2" };
}

function jumpImm(opcode: number, op: JumpOp, bits: Bits): InsnRow {
  const row = {
    ...NOTHING,
    opcode,
    kind: "jump",
    op,
    bits,
    operand: "imm",
    dst: "read",
    off: "jump",
    imm: "any",
  } as const;
  return { ...row, group: base(bits), section: "4.3" };
}

function jumpReg(opcode: number, op: JumpOp, bits: Bits): InsnRow {
  const row = {
    ...NOTHING,
    opcode,
    kind: "jump",
    op,
    bits,
    operand: "reg",
    dst: "read",
    src: "read",
    off: "jump",
  } as const;
  return { ...row, group: base(bits), section: "4.3" };
}

function load(opcode: number, size: Size, signed: boolean): InsnRow {
  const row = {
    ...NOTHING,
    opcode,
    kind: "load",
    op: "ldx",
    bits: 64,
    size,
    signed,
    dst: "write",
    src: "read",
  } as const;
  return { ...row, off: "any", group: sized(size), section: signed ? "5.2" : "5.1" };
}

function storeImm(opcode: number, size: Size): InsnRow {
  const row = { ...NOTHING, opcode, kind: "store", op: "st", bits: 64, operand: "imm", size, dst: "read" } as const;
  return { ...row, off: "any", imm: "any", group: sized(size), section: "5.1" };
}

function storeReg(opcode: number, size: Size): InsnRow {
  const row = { ...NOTHING, opcode, kind: "store", op: "stx", bits: 64, operand: "reg", size, dst: "read" } as const;
  return { ...row, src: "read", off: "any", group: sized(size), section: "5.1" };
}

function atomic(opcode: number, size: Size, operations: readonly InsnVariant[]): InsnRow {
  const group: ConformanceGroup = size === 8 ? "atomic64" : size === 4 ? "atomic32" : "linux";
  const bits = size === 8 ? 64 : 32;
  const row = { ...NOTHING, opcode, kind: "atomic", op: "atomic", bits, operand: "reg", size, dst: "read" } as const;
  const variants = [...operations.map((operation) => ({ ...operation, group })), ...ORDERED];
  const section = group === "linux" ? "" : "5.3";
  return { ...row, src: "read", off: "any", imm: "select", selector: "imm", variants, group, section };
}

/** r0 = the packet's bytes at imm, or at src + imm. */
function packet(opcode: number, op: "ldAbs" | "ldInd", size: Size): InsnRow {
  const src: RegUse = op === "ldInd" ? "read" : "none";
  return { ...NOTHING, opcode, kind: "ldPacket", op, bits: 64, size, src, imm: "any", group: "packet", section: "5.5" };
}

const FETCH = { src: "readWrite" } as const;
/** Atomic operations of 4 and 8 bytes, by imm. */
const MODIFY: readonly InsnVariant[] = [
  variant(0x00, "add", "atomic32"),
  variant(0x40, "or", "atomic32"),
  variant(0x50, "and", "atomic32"),
  variant(0xa0, "xor", "atomic32"),
  variant(0x01, "fetchAdd", "atomic32", FETCH),
  variant(0x41, "fetchOr", "atomic32", FETCH),
  variant(0x51, "fetchAnd", "atomic32", FETCH),
  variant(0xa1, "fetchXor", "atomic32", FETCH),
  variant(0xe1, "xchg", "atomic32", FETCH),
  variant(0xf1, "cmpxchg", "atomic32"),
];
/** Atomic operations of every size, since Linux 6.15. */
const ORDERED: readonly InsnVariant[] = [
  variant(0x100, "loadAcq", "linux", { dst: "write" }),
  variant(0x110, "storeRel", "linux"),
];

/** The only instruction of two slots; the second one's imm is the upper half, its other fields are 0. */
export const LD_IMM64_OPCODE = 0x18;

const LD_IMM64: InsnRow = {
  ...NOTHING,
  opcode: LD_IMM64_OPCODE,
  kind: "ldImm64",
  op: "ldImm64",
  bits: 64,
  operand: "imm",
  dst: "write",
  imm: "any",
  selector: "src",
  variants: [
    variant(0, "imm64", "base64", { nextImm: "any" }),
    variant(BPF_PSEUDO_MAP_FD, "mapFd", "base64", { nextImm: "zero" }),
    variant(BPF_PSEUDO_MAP_VALUE, "mapValue", "base64", { nextImm: "any" }),
    variant(BPF_PSEUDO_BTF_ID, "btfId", "base64", { nextImm: "any" }),
    variant(BPF_PSEUDO_FUNC, "func", "base64", { imm: "jump", nextImm: "any" }),
    variant(BPF_PSEUDO_MAP_IDX, "mapIdx", "base64", { nextImm: "zero" }),
    variant(BPF_PSEUDO_MAP_IDX_VALUE, "mapIdxValue", "base64", { nextImm: "any" }),
  ],
  group: "base64",
  section: "5.4",
};

const CALL: InsnRow = {
  ...NOTHING,
  opcode: 0x85,
  kind: "call",
  op: "call",
  imm: "any",
  selector: "src",
  variants: [
    variant(0, "helper", "base32"),
    variant(BPF_PSEUDO_CALL, "local", "base32", { imm: "jump" }),
    variant(BPF_PSEUDO_KFUNC_CALL, "kfunc", "base32", { off: "any" }),
  ],
  group: "base32",
  section: "4.3",
};

const rows: readonly InsnRow[] = [
  // 32-bit arithmetic
  aluImm(0x04, "add", 32),
  aluReg(0x0c, "add", 32),
  aluImm(0x14, "sub", 32),
  aluReg(0x1c, "sub", 32),
  aluImm(0x24, "mul", 32),
  aluReg(0x2c, "mul", 32),
  signedByOff(aluImm(0x34, "div", 32, "nonZero")),
  signedByOff(aluReg(0x3c, "div", 32)),
  aluImm(0x44, "or", 32),
  aluReg(0x4c, "or", 32),
  aluImm(0x54, "and", 32),
  aluReg(0x5c, "and", 32),
  aluImm(0x64, "lsh", 32, "shift"),
  aluReg(0x6c, "lsh", 32),
  aluImm(0x74, "rsh", 32, "shift"),
  aluReg(0x7c, "rsh", 32),
  neg(0x84, 32),
  signedByOff(aluImm(0x94, "mod", 32, "nonZero")),
  signedByOff(aluReg(0x9c, "mod", 32)),
  aluImm(0xa4, "xor", 32),
  aluReg(0xac, "xor", 32),
  aluImm(0xb4, "mov", 32),
  movByOff(aluReg(0xbc, "mov", 32)),
  aluImm(0xc4, "arsh", 32, "shift"),
  aluReg(0xcc, "arsh", 32),

  // 64-bit arithmetic
  aluImm(0x07, "add", 64),
  aluReg(0x0f, "add", 64),
  aluImm(0x17, "sub", 64),
  aluReg(0x1f, "sub", 64),
  aluImm(0x27, "mul", 64),
  aluReg(0x2f, "mul", 64),
  signedByOff(aluImm(0x37, "div", 64, "nonZero")),
  signedByOff(aluReg(0x3f, "div", 64)),
  aluImm(0x47, "or", 64),
  aluReg(0x4f, "or", 64),
  aluImm(0x57, "and", 64),
  aluReg(0x5f, "and", 64),
  aluImm(0x67, "lsh", 64, "shift"),
  aluReg(0x6f, "lsh", 64),
  aluImm(0x77, "rsh", 64, "shift"),
  aluReg(0x7f, "rsh", 64),
  neg(0x87, 64),
  signedByOff(aluImm(0x97, "mod", 64, "nonZero")),
  signedByOff(aluReg(0x9f, "mod", 64)),
  aluImm(0xa7, "xor", 64),
  aluReg(0xaf, "xor", 64),
  aluImm(0xb7, "mov", 64),
  movByOff(aluReg(0xbf, "mov", 64)),
  aluImm(0xc7, "arsh", 64, "shift"),
  aluReg(0xcf, "arsh", 64),

  // byte order
  byteOrder(0xd4, "toLe"),
  byteOrder(0xdc, "toBe"),
  byteOrder(0xd7, "bswap"),

  // 64-bit jumps
  { ...NOTHING, opcode: 0x05, kind: "goto", op: "ja", off: "jump", group: "base32", section: "4.3" },
  jumpImm(0x15, "jeq", 64),
  jumpReg(0x1d, "jeq", 64),
  jumpImm(0x25, "jgt", 64),
  jumpReg(0x2d, "jgt", 64),
  jumpImm(0x35, "jge", 64),
  jumpReg(0x3d, "jge", 64),
  jumpImm(0x45, "jset", 64),
  jumpReg(0x4d, "jset", 64),
  jumpImm(0x55, "jne", 64),
  jumpReg(0x5d, "jne", 64),
  jumpImm(0x65, "jsgt", 64),
  jumpReg(0x6d, "jsgt", 64),
  jumpImm(0x75, "jsge", 64),
  jumpReg(0x7d, "jsge", 64),
  CALL,
  // The kernel looks at every field of an exit except off.
  { ...NOTHING, opcode: 0x95, kind: "exit", op: "exit", off: "ignored", group: "base32", section: "4.3" },
  jumpImm(0xa5, "jlt", 64),
  jumpReg(0xad, "jlt", 64),
  jumpImm(0xb5, "jle", 64),
  jumpReg(0xbd, "jle", 64),
  jumpImm(0xc5, "jslt", 64),
  jumpReg(0xcd, "jslt", 64),
  jumpImm(0xd5, "jsle", 64),
  jumpReg(0xdd, "jsle", 64),
  { ...NOTHING, opcode: 0xe5, kind: "mayGoto", op: "mayGoto", off: "jump", group: "linux", section: "" },

  // 32-bit jumps
  { ...NOTHING, opcode: 0x06, kind: "goto", op: "ja", imm: "jump", group: "base32", section: "4.3" },
  jumpImm(0x16, "jeq", 32),
  jumpReg(0x1e, "jeq", 32),
  jumpImm(0x26, "jgt", 32),
  jumpReg(0x2e, "jgt", 32),
  jumpImm(0x36, "jge", 32),
  jumpReg(0x3e, "jge", 32),
  jumpImm(0x46, "jset", 32),
  jumpReg(0x4e, "jset", 32),
  jumpImm(0x56, "jne", 32),
  jumpReg(0x5e, "jne", 32),
  jumpImm(0x66, "jsgt", 32),
  jumpReg(0x6e, "jsgt", 32),
  jumpImm(0x76, "jsge", 32),
  jumpReg(0x7e, "jsge", 32),
  jumpImm(0xa6, "jlt", 32),
  jumpReg(0xae, "jlt", 32),
  jumpImm(0xb6, "jle", 32),
  jumpReg(0xbe, "jle", 32),
  jumpImm(0xc6, "jslt", 32),
  jumpReg(0xce, "jslt", 32),
  jumpImm(0xd6, "jsle", 32),
  jumpReg(0xde, "jsle", 32),

  // memory
  LD_IMM64,
  load(0x61, 4, false),
  load(0x69, 2, false),
  load(0x71, 1, false),
  load(0x79, 8, false),
  load(0x81, 4, true),
  load(0x89, 2, true),
  load(0x91, 1, true),
  storeImm(0x62, 4),
  storeImm(0x6a, 2),
  storeImm(0x72, 1),
  storeImm(0x7a, 8),
  storeReg(0x63, 4),
  storeReg(0x6b, 2),
  storeReg(0x73, 1),
  storeReg(0x7b, 8),
  atomic(0xc3, 4, MODIFY),
  atomic(0xcb, 2, []),
  atomic(0xd3, 1, []),
  atomic(0xdb, 8, MODIFY),

  // the packet, as classic BPF had it
  packet(0x20, "ldAbs", 4),
  packet(0x28, "ldAbs", 2),
  packet(0x30, "ldAbs", 1),
  packet(0x40, "ldInd", 4),
  packet(0x48, "ldInd", 2),
  packet(0x50, "ldInd", 1),
];

/** One shape for all: JavaScript engines would tell dozens of those literals apart, and be slow wherever a row is read. */
function rowOf(row: InsnRow): InsnRow {
  const { opcode, kind, op, bits, operand, size, signed, dst, src, off, imm, selector, group, section } = row;
  const variants = row.variants.map(variantIn);
  return { opcode, kind, op, bits, operand, size, signed, dst, src, off, imm, selector, variants, group, section };
}

function variantIn({ value, op, width, group, dst, src, off, imm, nextImm }: InsnVariant): InsnVariant {
  return { value, op, width, group, dst, src, off, imm, nextImm };
}

function byOpcode(): readonly (InsnRow | undefined)[] {
  const table: (InsnRow | undefined)[] = new Array<InsnRow | undefined>(256).fill(undefined);
  for (const row of rows) table[row.opcode] = rowOf(row);
  return table;
}

/** Index = opcode; undefined where the kernel says "unknown opcode". */
export const insnTable: readonly (InsnRow | undefined)[] = byOpcode();

/** The variant that `insn` is; undefined when its row has none or the selecting field holds none of them. */
export function variantOf(row: InsnRow, insn: Insn): InsnVariant | undefined {
  if (row.selector === "none") return undefined;
  const { selector, variants } = row;
  const value = selector === "src" ? insn.src : selector === "off" ? insn.off : insn.imm;
  for (let i = 0; i < variants.length; i++) if (variants[i]!.value === value) return variants[i];
  return undefined;
}

/** The opcode of a row that matches; for the assembler. */
export function opcodeOf(op: InsnOp, wanted: Partial<Pick<InsnRow, "bits" | "operand" | "size" | "signed">>): number {
  for (const row of rows) {
    if (
      row.op === op &&
      (wanted.bits === undefined || row.bits === wanted.bits) &&
      (wanted.operand === undefined || row.operand === wanted.operand) &&
      (wanted.size === undefined || row.size === wanted.size) &&
      (wanted.signed === undefined || row.signed === wanted.signed)
    ) {
      return row.opcode;
    }
  }
  throw new Bug(`no opcode for ${op} with ${JSON.stringify(wanted)}`);
}
