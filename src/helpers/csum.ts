/** bpf_csum_diff: the Internet checksum of data that changed. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { BPF_FUNC_csum_diff } from "../uapi/index.ts";
import { foldSum, subSums, sumOf } from "./checksum.ts";
import { knownCsumDiff } from "./csum_gen.ts";
import type { Helper } from "./types.ts";

/** `from` is taken out of the seed, `to` goes in; the result is folded to 16 bits. Any sizes since Linux 6.13. */
function csumDiff(kernel: Kernel, from: number, fromSize: number, to: number, toSize: number, seed: number): number {
  const { mem, run } = kernel;
  mem.u32[(run + RUN_RESULT_HIGH) >>> 2] = 0;
  let sum = seed >>> 0;
  if (toSize !== 0) {
    sum = sumOf(mem, to >>> 0, toSize >>> 0, sum);
    if (fromSize !== 0) sum = subSums(sum, sumOf(mem, from >>> 0, fromSize >>> 0, 0));
  } else if (fromSize !== 0) {
    sum = ~sumOf(mem, from >>> 0, fromSize >>> 0, ~sum >>> 0) >>> 0;
  }
  return foldSum(sum);
}

export const csumHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_csum_diff]: {
    name: "bpf_csum_diff",
    since: "4.6",
    gplOnly: false,
    args: ["memOrNull", "sizeOrZero", "memOrNull", "sizeOrZero", "u32"],
    result: "u64",
    fn: csumDiff,
    known: knownCsumDiff,
  },
};
