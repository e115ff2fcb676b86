/** bpf_csum_diff: the Internet checksum (RFC 1071) of data that changed. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_FUNC_csum_diff } from "../uapi/index.ts";
import type { Helper } from "./types.ts";

/** One's complement sum of two u32: the carry comes round. */
function add(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff_ffff ? (sum % 0x1_0000_0000) + 1 : sum;
}

/** `sum` and all bytes of the memory, as little-endian words; the last one may be filled up with zeros. */
function sumOf(mem: Memory, address: number, size: number, sum: number): number {
  const end = address + size;
  let at = address;
  let total = sum;
  for (; at + 4 <= end; at += 4) total = add(total, mem.view.getUint32(at, true));
  let last = 0;
  for (let shift = 0; at < end; at++, shift += 8) last |= mem.u8[at]! << shift;
  return add(total, last);
}

/** `from` is taken out of the seed, `to` goes in; the result is folded to 16 bits. Any sizes since Linux 6.13. */
function csumDiff(kernel: Kernel, from: number, fromSize: number, to: number, toSize: number, seed: number): number {
  const { mem, run } = kernel;
  mem.u32[(run + RUN_RESULT_HIGH) >>> 2] = 0;
  let sum = seed >>> 0;
  if (toSize !== 0) {
    sum = sumOf(mem, to >>> 0, toSize >>> 0, sum);
    if (fromSize !== 0) sum = add(sum, ~sumOf(mem, from >>> 0, fromSize >>> 0, 0) >>> 0);
  } else if (fromSize !== 0) {
    sum = ~sumOf(mem, from >>> 0, fromSize >>> 0, ~sum >>> 0) >>> 0;
  }
  return add(sum, ((sum << 16) | (sum >>> 16)) >>> 0) >>> 16;
}

export const csumHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_csum_diff]: {
    name: "bpf_csum_diff",
    since: "4.6",
    gplOnly: false,
    args: ["memOrNull", "sizeOrZero", "memOrNull", "sizeOrZero", "u32"],
    result: "u64",
    fn: csumDiff,
  },
};
