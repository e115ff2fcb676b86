/**
 * LD_ABS and LD_IND: big-endian bytes of the packet of the skb in r6, into r0. An offset below zero counts from the
 * network or the Ethernet header. Where the bytes are not there, the function that the load is in returns 0. Section 5.5
 * of RFC 9669.
 */
import { SKB_DATA, SKB_END, SKB_MAC, SKB_NETWORK, SKB_TAIL, skbWord } from "../helpers/skb_buffer.ts";
import { FAULT_NOT_CONTEXT } from "../kern/fault_kinds.ts";
import { RUN_CTX } from "../kern/run_record.ts";
import { exit } from "./call.ts";
import type { Handler } from "./handler.ts";
import { fault, type Machine } from "./machine.ts";

const R6 = 12;
/** Offsets from here on count from the network header, those below from the Ethernet header. */
const NET_OFFSET = -0x10_0000;
const LINK_OFFSET = -0x20_0000;
const SCRATCH = 2;
const SCRATCH_WORDS = 10;

/** Where `size` bytes at the offset lie, or 0. */
function bytesAt(m: Machine, offset: number, size: number): number {
  const { kernel } = m;
  if (offset >= 0) {
    const at = skbWord(kernel, SKB_DATA) + offset;
    return at + size <= skbWord(kernel, SKB_END) ? at : 0;
  }
  if (offset < LINK_OFFSET) return 0;
  const at =
    offset >= NET_OFFSET
      ? skbWord(kernel, SKB_NETWORK) + offset - NET_OFFSET
      : skbWord(kernel, SKB_MAC) + offset - LINK_OFFSET;
  return at + size <= skbWord(kernel, SKB_TAIL) ? at : 0;
}

/** `indirect`: a register is added to the offset. There is no load of 8 bytes. */
export function packetLoad(size: 1 | 2 | 4 | 8, indirect: boolean): Handler {
  return (m, _d, low, _high, w, imm) => {
    const offset = indirect ? (m.u32[m.regs + ((w >>> 11) & 30)]! + imm) | 0 : low;
    if (!loadPacket(m, offset, size)) exit(m);
  };
}

/** Into r0, unless the run faults. False: the bytes are not there, r0 is 0. */
export function loadPacket(m: Machine, offset: number, size: number): boolean {
  const { u32, regs, mem } = m;
  const ctx = u32[(m.run + RUN_CTX) >>> 2];
  if (ctx === 0 || u32[regs + R6] !== ctx || u32[regs + R6 + 1] !== 0) {
    fault(m, FAULT_NOT_CONTEXT, u32[regs + R6]!, u32[regs + R6 + 1]!, 0, false, 0);
    return true;
  }
  const at = bytesAt(m, offset, size);
  u32[regs + 1] = 0;
  // As a call does; what a program reads there now it has not put there.
  u32.fill(0, regs + SCRATCH, regs + SCRATCH + SCRATCH_WORDS);
  if (at === 0) u32[regs] = 0;
  else u32[regs] = size === 1 ? mem.u8[at]! : size === 2 ? mem.view.getUint16(at) : mem.view.getUint32(at);
  return at !== 0;
}
