/** What executes an instruction of one opcode. */
import type { Machine } from "./machine.ts";

/**
 * `d`: index in u32 of the destination register's low half. `low`, `high`: the second operand, an immediate
 * sign-extended; both signed, since V8 passes only those without making an object of them. `w`: the instruction's first word: opcode, registers, off in the upper half. `imm`: its second word.
 */
export type Handler = (m: Machine, d: number, low: number, high: number, w: number, imm: number) => void;
