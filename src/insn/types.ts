/** The shapes of the instruction table. Kernel counterpart: include/uapi/linux/bpf.h and the checks of kernel/bpf/verifier.c. */

/** One 8-byte slot, as in the kernel's `struct bpf_insn`. A 64-bit immediate takes two; the second has opcode 0. */
export interface Insn {
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  /** Signed, 16 bits. */
  readonly off: number;
  /** Signed, 32 bits. */
  readonly imm: number;
}

export type AluOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "or"
  | "and"
  | "lsh"
  | "rsh"
  | "neg"
  | "mod"
  | "xor"
  | "mov"
  | "arsh";
export type JumpOp = "jeq" | "jgt" | "jge" | "jset" | "jne" | "jsgt" | "jsge" | "jlt" | "jle" | "jslt" | "jsle";

/**
 * What an instruction is; decides which unit executes it.
 *
 * - `alu`: dst = dst op second operand; `end`: byte order; `ldImm64`: dst = constant or address, two slots
 * - `load`: dst = *(src + off); `store`: *(dst + off) = second operand; `atomic`: on *(dst + off)
 * - `ldPacket`: r0 = packet bytes in host order, of the skb in r6; ends the program with 0 when they are not there
 * - `goto`, `jump` (conditional), `mayGoto` (jumps when the loop budget is spent), `call`, `exit`
 */
export type InsnKind =
  | "alu"
  | "end"
  | "ldImm64"
  | "load"
  | "store"
  | "atomic"
  | "ldPacket"
  | "goto"
  | "jump"
  | "mayGoto"
  | "call"
  | "exit";

/** What one value of the selecting field makes of an opcode. */
export type VariantOp =
  | AluOp
  | "sdiv"
  | "smod"
  | "movsx"
  | "addrSpaceCast"
  | "toLe"
  | "toBe"
  | "bswap"
  | "imm64"
  | "mapFd"
  | "mapValue"
  | "btfId"
  | "func"
  | "mapIdx"
  | "mapIdxValue"
  | "helper"
  | "local"
  | "kfunc"
  | AtomicOp;

/** `fetch*`, `xchg` write the old value to src, `cmpxchg` to r0; `loadAcq` is dst = *(src + off), `storeRel` a store of src. */
export type AtomicOp =
  | "add"
  | "or"
  | "and"
  | "xor"
  | "fetchAdd"
  | "fetchOr"
  | "fetchAnd"
  | "fetchXor"
  | "xchg"
  | "cmpxchg"
  | "loadAcq"
  | "storeRel";

export type InsnOp =
  | AluOp
  | JumpOp
  | "end"
  | "ldImm64"
  | "ldx"
  | "st"
  | "stx"
  | "atomic"
  | "ldAbs"
  | "ldInd"
  | "ja"
  | "mayGoto"
  | "call"
  | "exit";

/** How an instruction uses a register field. `none`: the field must be 0 or holds a selector, no register. */
export type RegUse = "none" | "read" | "write" | "readWrite";

/**
 * What a field may hold.
 *
 * - `zero`: must be 0; `any`: everything, and it means something; `ignored`: everything, without meaning (only EXIT's off)
 * - `select`: must be the value of one of the row's variants
 * - `jump`: distance in slots from the next instruction
 * - `shift`: 0 .. bits - 1; `nonZero`: a divisor
 * - `addrSpaces`: 1 or 0x10000, the two casts between address spaces 0 and 1
 */
export type FieldRule = "zero" | "any" | "ignored" | "select" | "jump" | "shift" | "nonZero" | "addrSpaces";

/** Conformance group of RFC 9669 (2.4). `linux`: an instruction that Linux has beyond the RFC. */
export type ConformanceGroup =
  | "base32"
  | "base64"
  | "divmul32"
  | "divmul64"
  | "atomic32"
  | "atomic64"
  | "packet"
  | "linux";

export interface InsnVariant {
  /** The value of the row's selecting field. */
  readonly value: number;
  readonly op: VariantOp;
  /** Bits that are taken: the source of movsx, the width of a byte swap; 0 where that says nothing. */
  readonly width: number;
  readonly group: ConformanceGroup;
  /** Register use where it differs from the row's. */
  readonly dst?: RegUse | undefined;
  readonly src?: RegUse | undefined;
  /** Rules where they differ from the row's: a kfunc call's off is an index into fd_array. */
  readonly off?: FieldRule | undefined;
  readonly imm?: FieldRule | undefined;
  /** 64-bit immediates: the rule for the second slot's imm. */
  readonly nextImm?: FieldRule | undefined;
}

export interface InsnRow {
  readonly opcode: number;
  readonly kind: InsnKind;
  readonly op: InsnOp;
  /** Width of the operation on registers; 0 where there is none. A 32-bit result is zero-extended. */
  readonly bits: 0 | 32 | 64;
  /** The second operand of an alu, jump or store. */
  readonly operand: "none" | "imm" | "reg";
  /** Bytes of memory accessed, else 0. */
  readonly size: 0 | 1 | 2 | 4 | 8;
  /** A load that sign-extends to 64 bits. */
  readonly signed: boolean;
  readonly dst: RegUse;
  readonly src: RegUse;
  readonly off: FieldRule;
  readonly imm: FieldRule;
  /** Which field picks a variant; that field's rule is `select` (a src that selects has register use `none`). */
  readonly selector: "none" | "src" | "off" | "imm";
  readonly variants: readonly InsnVariant[];
  readonly group: ConformanceGroup;
  /** Section of RFC 9669; empty for `linux`. */
  readonly section: string;
}
