/** bpf_csum_diff: the Internet checksum (RFC 1071) of data that changed. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_FUNC_csum_diff, EINVAL } from "../uapi/index.ts";
import type { Helper } from "./types.ts";

/** One's complement sum of two u32: the carry comes round. */
function add(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff_ffff ? (sum % 0x1_0000_0000) + 1 : sum;
}

/** `sum` and all words of the memory; `size` is a multiple of 4. */
function sumOf(mem: Memory, address: number, size: number, sum: number): number {
  for (let at = address; at < address + size; at += 4) sum = add(sum, mem.view.getUint32(at, true));
  return sum;
}

/** `from` is taken out of the seed, `to` goes in; the result is folded to 16 bits, or -EINVAL for sizes that are no words. */
function csumDiff(kernel: Kernel, from: number, fromSize: number, to: number, toSize: number, seed: number): number {
  const { mem, run } = kernel;
  const bad = ((fromSize | toSize) & 3) !== 0;
  mem.u32[(run + RUN_RESULT_HIGH) >>> 2] = bad ? 0xffff_ffff : 0;
  if (bad) return -EINVAL;
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
