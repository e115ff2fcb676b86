/**
 * A small assembler for tests and tools: one function per instruction form, and `assemble` for labels.
 *
 * Nothing is judged here, so that a test can also write what the kernel refuses; `validateProgram` judges.
 */
import { InputError } from "../errors.ts";
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
import { insnTable, LD_IMM64_OPCODE, opcodeOf } from "./table.ts";
import type { AluOp, AtomicOp, Insn, JumpOp } from "./types.ts";

export type Reg = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
export const R0 = 0;
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
export const R4 = 4;
export const R5 = 5;
export const R6 = 6;
export const R7 = 7;
export const R8 = 8;
export const R9 = 9;
/** The frame pointer: the stack lies below it. */
export const R10 = 10;

/** Memory access: unsigned as in C. */
export type MemSize = "u8" | "u16" | "u32" | "u64";
export type LoadSize = MemSize | "s8" | "s16" | "s32";
type BinaryOp = Exclude<AluOp, "neg">;

/** Any slot, field by field. */
export function raw(opcode: number, dst = 0, src = 0, off = 0, imm = 0): Insn {
  return { opcode, dst, src, off, imm };
}

const aluImm = (bits: 32 | 64, op: BinaryOp, dst: Reg, imm: number, off = 0): Insn =>
  raw(opcodeOf(op, { bits, operand: "imm" }), dst, 0, off, imm);
const aluReg = (bits: 32 | 64, op: BinaryOp, dst: Reg, src: Reg, off = 0): Insn =>
  raw(opcodeOf(op, { bits, operand: "reg" }), dst, src, off, 0);

/** dst = imm, sign-extended. */
export const mov64Imm = (dst: Reg, imm: number): Insn => aluImm(64, "mov", dst, imm);
/** dst = src. */
export const mov64 = (dst: Reg, src: Reg): Insn => aluReg(64, "mov", dst, src);
/** dst = imm as u32. */
export const mov32Imm = (dst: Reg, imm: number): Insn => aluImm(32, "mov", dst, imm);
/** dst = lower half of src. */
export const mov32 = (dst: Reg, src: Reg): Insn => aluReg(32, "mov", dst, src);
/** dst = the lowest `width` bits of src, sign-extended to 64 bits. */
export const movsx64 = (dst: Reg, src: Reg, width: 8 | 16 | 32): Insn => aluReg(64, "mov", dst, src, width);
/** As `movsx64`, to 32 bits; the upper half is 0. */
export const movsx32 = (dst: Reg, src: Reg, width: 8 | 16): Insn => aluReg(32, "mov", dst, src, width);
/** dst = dst op imm, 64 bits; imm is sign-extended. */
export const alu64Imm = (op: BinaryOp, dst: Reg, imm: number): Insn => aluImm(64, op, dst, imm);
/** dst = dst op src, 64 bits. */
export const alu64 = (op: BinaryOp, dst: Reg, src: Reg): Insn => aluReg(64, op, dst, src);
/** dst = dst op imm, 32 bits. */
export const alu32Imm = (op: BinaryOp, dst: Reg, imm: number): Insn => aluImm(32, op, dst, imm);
/** dst = dst op src, 32 bits. */
export const alu32 = (op: BinaryOp, dst: Reg, src: Reg): Insn => aluReg(32, op, dst, src);
/** Signed division or remainder, 64 bits. */
export const signed64Imm = (op: "div" | "mod", dst: Reg, imm: number): Insn => aluImm(64, op, dst, imm, 1);
export const signed64 = (op: "div" | "mod", dst: Reg, src: Reg): Insn => aluReg(64, op, dst, src, 1);
/** Signed division or remainder, 32 bits. */
export const signed32Imm = (op: "div" | "mod", dst: Reg, imm: number): Insn => aluImm(32, op, dst, imm, 1);
export const signed32 = (op: "div" | "mod", dst: Reg, src: Reg): Insn => aluReg(32, op, dst, src, 1);
/** dst = -dst. */
export const neg64 = (dst: Reg): Insn => raw(opcodeOf("neg", { bits: 64 }), dst);
export const neg32 = (dst: Reg): Insn => raw(opcodeOf("neg", { bits: 32 }), dst);

/** Byte order: `toLe` and `toBe` convert between the host's and the named one, `bswap` always swaps. */
export function byteOrder(op: "toLe" | "toBe" | "bswap", dst: Reg, width: 16 | 32 | 64): Insn {
  const row = insnTable.find((each) => each?.kind === "end" && each.variants[0]?.op === op);
  return raw(row!.opcode, dst, 0, 0, width);
}

/** dst = the pointer src, converted to address space 0 (the kernel's) or 1 (the arena's user addresses). */
export const addrSpaceCast = (dst: Reg, src: Reg, to: 0 | 1): Insn => ({
  ...aluReg(64, "mov", dst, src, 1),
  imm: to === 1 ? 0x10000 : 1,
});

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8, s8: 1, s16: 2, s32: 4 } as const satisfies Record<LoadSize, number>;

/** dst = *(src + off). */
export const ldx = (size: LoadSize, dst: Reg, src: Reg, off: number): Insn =>
  raw(opcodeOf("ldx", { size: SIZES[size], signed: size.startsWith("s") }), dst, src, off);
/** *(dst + off) = imm. */
export const st = (size: MemSize, dst: Reg, off: number, imm: number): Insn =>
  raw(opcodeOf("st", { size: SIZES[size] }), dst, 0, off, imm);
/** *(dst + off) = src. */
export const stx = (size: MemSize, dst: Reg, src: Reg, off: number): Insn =>
  raw(opcodeOf("stx", { size: SIZES[size] }), dst, src, off);

/** An atomic operation on *(dst + off) with src; `loadAcq` takes the address from src, as the encoding does. */
export function atomic(op: AtomicOp, size: MemSize, dst: Reg, src: Reg, off: number): Insn {
  const opcode = opcodeOf("atomic", { size: SIZES[size] });
  const variant = insnTable[opcode]?.variants.find((each) => each.op === op);
  if (variant === undefined) throw new InputError(`atomic: found ${op} on ${size}, expected u32 or u64`);
  return raw(opcode, dst, src, off, variant.value);
}

/** r0 = packet bytes at imm, in host order. */
export const ldAbs = (size: "u8" | "u16" | "u32", imm: number): Insn =>
  raw(opcodeOf("ldAbs", { size: SIZES[size] }), 0, 0, 0, imm);
/** r0 = packet bytes at src + imm, in host order. */
export const ldInd = (size: "u8" | "u16" | "u32", src: Reg, imm: number): Insn =>
  raw(opcodeOf("ldInd", { size: SIZES[size] }), 0, src, 0, imm);

/** Where a jump goes: a distance in slots from the next instruction, or a label for `assemble`. */
export type Target = number | string;
/** An instruction whose distance `assemble` fills in; `field` is where it goes. */
export interface LabelledInsn {
  readonly insn: Insn;
  readonly label: string;
  readonly field: "off" | "imm";
}
/** What the jump functions give: an `Insn` for a distance, a `LabelledInsn` for a label. */
export type Jump<T extends Target> = T extends number ? Insn : LabelledInsn;

function to<T extends Target>(insn: Insn, field: "off" | "imm", target: T): Jump<T> {
  const jump = typeof target === "number" ? { ...insn, [field]: target } : { insn, label: target, field };
  return jump as Jump<T>;
}

/** if dst op imm goto target. */
export const jmpImm = <T extends Target>(op: JumpOp, dst: Reg, imm: number, target: T): Jump<T> =>
  to(raw(opcodeOf(op, { bits: 64, operand: "imm" }), dst, 0, 0, imm), "off", target);
/** if dst op src goto target. */
export const jmp = <T extends Target>(op: JumpOp, dst: Reg, src: Reg, target: T): Jump<T> =>
  to(raw(opcodeOf(op, { bits: 64, operand: "reg" }), dst, src), "off", target);
export const jmp32Imm = <T extends Target>(op: JumpOp, dst: Reg, imm: number, target: T): Jump<T> =>
  to(raw(opcodeOf(op, { bits: 32, operand: "imm" }), dst, 0, 0, imm), "off", target);
export const jmp32 = <T extends Target>(op: JumpOp, dst: Reg, src: Reg, target: T): Jump<T> =>
  to(raw(opcodeOf(op, { bits: 32, operand: "reg" }), dst, src), "off", target);
/** goto target, 16-bit distance. */
export const ja = <T extends Target>(target: T): Jump<T> => to(raw(0x05), "off", target);
/** goto target, 32-bit distance. */
export const jal = <T extends Target>(target: T): Jump<T> => to(raw(0x06), "imm", target);
/** Goes on until the kernel's loop budget is spent, then to target. */
export const mayGoto = <T extends Target>(target: T): Jump<T> => to(raw(opcodeOf("mayGoto", {})), "off", target);

/** r0 = helper(r1..r5). */
export const call = (helperId: number): Insn => raw(opcodeOf("call", {}), 0, 0, 0, helperId);
/** r0 = function of the same program(r1..r5). */
export const callRel = <T extends Target>(target: T): Jump<T> =>
  to(raw(opcodeOf("call", {}), 0, BPF_PSEUDO_CALL), "imm", target);
/** r0 = kernel function(r1..r5), by BTF id; `fdIndex` picks the BTF in fd_array, 0 is vmlinux. */
export const callKfunc = (btfId: number, fdIndex = 0): Insn =>
  raw(opcodeOf("call", {}), 0, BPF_PSEUDO_KFUNC_CALL, fdIndex, btfId);
export const exit = (): Insn => raw(opcodeOf("exit", {}));

const wide = (dst: Reg, src: number, imm: number, nextImm: number): [Insn, Insn] => [
  raw(LD_IMM64_OPCODE, dst, src, 0, imm | 0),
  raw(0, 0, 0, 0, nextImm | 0),
];

/** dst = any 64-bit value. Two slots, as all that follow here. */
export const ldImm64 = (dst: Reg, value: bigint): [Insn, Insn] =>
  wide(dst, 0, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
/** dst = map, by fd. */
export const ldMapFd = (dst: Reg, fd: number): [Insn, Insn] => wide(dst, BPF_PSEUDO_MAP_FD, fd, 0);
/** dst = address of byte `offset` of the map's first value. */
export const ldMapValue = (dst: Reg, fd: number, offset: number): [Insn, Insn] =>
  wide(dst, BPF_PSEUDO_MAP_VALUE, fd, offset);
/** As `ldMapFd` and `ldMapValue`, by index into fd_array. */
export const ldMapIdx = (dst: Reg, index: number): [Insn, Insn] => wide(dst, BPF_PSEUDO_MAP_IDX, index, 0);
export const ldMapIdxValue = (dst: Reg, index: number, offset: number): [Insn, Insn] =>
  wide(dst, BPF_PSEUDO_MAP_IDX_VALUE, index, offset);
/** dst = address of a kernel variable, by BTF id. */
export const ldBtfId = (dst: Reg, id: number, btfFd = 0): [Insn, Insn] => wide(dst, BPF_PSEUDO_BTF_ID, id, btfFd);
/** dst = a function of the same program, for callbacks. */
export const ldFunc = <T extends Target>(dst: Reg, target: T): [Jump<T>, Insn] => {
  const [first, second] = wide(dst, BPF_PSEUDO_FUNC, 0, 0);
  return [to(first, "imm", target), second];
};

/** Names the next instruction for jumps and calls. */
export interface Label {
  readonly at: string;
}
export const label = (name: string): Label => ({ at: name });

export type AsmItem = Insn | LabelledInsn | Label | readonly AsmItem[];

/** Flattens, and puts distances where labels stand. A label that is missing, double or too far is an InputError. */
export function assemble(items: readonly AsmItem[]): Insn[] {
  const flat: (Insn | LabelledInsn)[] = [];
  const labels = new Map<string, number>();
  place(items, flat, labels);
  return flat.map((item, index) => {
    if (!("label" in item)) return item;
    const target = labels.get(item.label);
    if (target === undefined)
      throw new InputError(`instruction ${index}: found label "${item.label}", which nothing has`);
    const distance = target - index - 1;
    if (item.field === "off" && distance !== (distance << 16) >> 16) {
      throw new InputError(`instruction ${index}: found a jump of ${distance} slots, expected 16 bits: use jal`);
    }
    return { ...item.insn, [item.field]: distance };
  });
}

function place(items: readonly AsmItem[], flat: (Insn | LabelledInsn)[], labels: Map<string, number>): void {
  for (const item of items) {
    if (isList(item)) place(item, flat, labels);
    else if ("at" in item) {
      if (labels.has(item.at)) throw new InputError(`instruction ${flat.length}: found a second label "${item.at}"`);
      labels.set(item.at, flat.length);
    } else flat.push(item);
  }
}

function isList(item: AsmItem): item is readonly AsmItem[] {
  return Array.isArray(item);
}
