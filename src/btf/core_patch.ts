/** Puts the result of a CO-RE relocation into its instruction, as libbpf and the kernel do. */
import { call, type Insn, insnTable, LD_IMM64_OPCODE } from "../insn/index.ts";
import { EINVAL, ERANGE } from "../uapi/index.ts";
import type { CoreResult, CoreValue } from "./core.ts";

/** The helper that a poisoned instruction calls, which is none: the number reads "bad relo". */
export const BAD_RELO = 0xbad2310;
const OFF_MAX = 0x7fff;
/** The bits of an opcode that say how many bytes are accessed (RFC 9669, 5), and their value by that number. */
const SIZE_BITS = 0x18;
const sizeBits: Readonly<Record<number, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };

/** Why the instruction was not given the value. `poisoned`: it must not be reached. Otherwise nothing can be loaded. */
export interface CorePatchFault {
  readonly poisoned: boolean;
  /** Negative; 0 when poisoned. */
  readonly errno: number;
  readonly why: string;
}

/** Changes `insns[at]` (and the second half of a 64-bit immediate). Undefined: done, it has the value. */
export function patchInsn(insns: Insn[], at: number, result: CoreResult): CorePatchFault | undefined {
  const insn = insns[at];
  if (insn === undefined) return broken(`instruction ${at} of ${insns.length}`);
  if (result.kind === "error") return { poisoned: false, errno: result.errno, why: result.why };
  if (result.kind === "poison") return poison(insns, at, result.why);
  const row = insnTable[insn.opcode];
  switch (row?.kind) {
    case "alu":
      if (row.operand !== "imm") return broken("an operation with a register, expected a constant");
      if (unexpected(result, BigInt(insn.imm))) return surprise(insn.imm, result.local);
      insns[at] = { ...insn, imm: Number(BigInt.asIntN(32, result.value)) };
      return undefined;
    case "load":
    case "store":
    case "atomic":
      return patchMemory(insns, at, row.size, result);
    case "ldImm64":
      return patchImm64(insns, at, result);
    default:
      return broken(`opcode 0x${insn.opcode.toString(16)}, expected a constant or an access to memory`);
  }
}

function patchMemory(insns: Insn[], at: number, bytes: number, result: CoreValue): CorePatchFault | undefined {
  const insn = insns[at]!;
  const { localSize, size } = result;
  if (unexpected(result, BigInt(insn.off))) return surprise(insn.off, result.local);
  if (result.value > BigInt(OFF_MAX)) {
    return { poisoned: false, errno: -ERANGE, why: `offset ${result.value} does not fit into an instruction` };
  }
  if (!result.resizable) {
    return poison(insns, at, `the field has ${size} bytes there and ${localSize} here, and is no unsigned number`);
  }
  let { opcode } = insn;
  if (localSize !== size) {
    if (bytes !== localSize) return broken(`an access of ${bytes} bytes to a field of ${localSize}`);
    const bits = sizeBits[size];
    if (bits === undefined) return broken(`a field of ${size} bytes, which no instruction accesses`);
    opcode = (opcode & ~SIZE_BITS) | bits;
  }
  insns[at] = { ...insn, opcode, off: Number(result.value) };
  return undefined;
}

function patchImm64(insns: Insn[], at: number, result: CoreValue): CorePatchFault | undefined {
  const insn = insns[at]!;
  const next = insns[at + 1];
  if (next === undefined || insn.src !== 0 || insn.off !== 0 || next.opcode !== 0 || next.dst !== 0 || next.src !== 0) {
    return broken("a 64-bit immediate that is no plain number");
  }
  const now = (BigInt(next.imm >>> 0) << 32n) | BigInt(insn.imm >>> 0);
  if (unexpected(result, BigInt.asIntN(64, now))) return surprise(now, result.local);
  insns[at] = { ...insn, imm: Number(BigInt.asIntN(32, result.value)) };
  insns[at + 1] = { ...next, imm: Number(BigInt.asIntN(32, result.value >> 32n)) };
  return undefined;
}

function poison(insns: Insn[], at: number, why: string): CorePatchFault {
  if (insns[at]!.opcode === LD_IMM64_OPCODE && at + 1 < insns.length) insns[at + 1] = call(BAD_RELO);
  insns[at] = call(BAD_RELO);
  return { poisoned: true, errno: 0, why };
}

/** Numbers are compared as 64 bits, so the sign does not matter. */
function unexpected(result: CoreValue, now: bigint): boolean {
  return result.definite && BigInt.asIntN(64, result.local) !== now;
}

function surprise(now: number | bigint, expected: bigint): CorePatchFault {
  return broken(`${now} in the instruction, expected ${expected}`);
}

function broken(why: string): CorePatchFault {
  return { poisoned: false, errno: -EINVAL, why: `found ${why}` };
}
