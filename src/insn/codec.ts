/** Bytes to instructions and back: the 8-byte little-endian slots of `struct bpf_insn`. */
import { InputError } from "../errors.ts";
import type { Insn } from "./types.ts";

/** Bytes of one slot. */
export const INSN_SIZE = 8;

/** One `Insn` per 8-byte slot, whatever the bytes mean. A length that is no multiple of 8 is an InputError. */
export function decodeInsns(bytes: Uint8Array): Insn[] {
  if (bytes.length % INSN_SIZE !== 0) {
    throw new InputError(`instructions: found ${bytes.length} bytes, expected a multiple of ${INSN_SIZE}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const insns: Insn[] = [];
  for (let at = 0; at < bytes.length; at += INSN_SIZE) {
    const registers = view.getUint8(at + 1);
    insns.push({
      opcode: view.getUint8(at),
      dst: registers & 0xf,
      src: registers >>> 4,
      off: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
    });
  }
  return insns;
}

/** The inverse of `decodeInsns`. A field that does not fit is cut to its bits, as C does on assignment. */
export function encodeInsns(insns: readonly Insn[]): Uint8Array {
  const bytes = new Uint8Array(insns.length * INSN_SIZE);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const insn of insns) {
    view.setUint8(at, insn.opcode);
    view.setUint8(at + 1, (insn.dst & 0xf) | ((insn.src & 0xf) << 4));
    view.setInt16(at + 2, insn.off, true);
    view.setInt32(at + 4, insn.imm, true);
    at += INSN_SIZE;
  }
  return bytes;
}
