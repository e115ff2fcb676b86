/** What iterators write for who reads them. Kernel counterparts: kernel/bpf/bpf_iter.c, kernel/trace/bpf_trace.c. */
import { FAULT_OUTSIDE } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { BPF_FUNC_seq_printf, BPF_FUNC_seq_write, EOVERFLOW } from "../uapi/index.ts";
import { formatArgs, formatInto } from "./text.ts";
import type { Helper } from "./types.ts";

/** The address that stands for the file in `meta->seq`; nothing is there. */
export const SEQ_HIGH = 0xffff_c900;
export const SEQ_LOW = 0x0000_1000;
/** What one element may write. */
const ELEMENT_ROOM = 64 * 1024;

/** Whether high:low is the file of the iterator that runs; if not, the run has faulted. */
function isSeq(kernel: Kernel, low: number, high: number): boolean {
  if (kernel.scene.output !== undefined && low === SEQ_LOW && high >>> 0 === SEQ_HIGH) return true;
  faultHelper(kernel, FAULT_OUTSIDE, low, high, 1);
  return false;
}

function append(kernel: Kernel, bytes: Uint8Array): number {
  const { output } = kernel.scene;
  const written = output!.reduce((sum, each) => sum + each.length, 0);
  if (written + bytes.length > ELEMENT_ROOM) return -EOVERFLOW;
  output!.push(bytes);
  return 0;
}

function seqWrite(kernel: Kernel, low: number, high: number, from: number, size: number): number {
  if (!isSeq(kernel, low, high)) return 0;
  return append(kernel, kernel.mem.u8.slice(from >>> 0, (from >>> 0) + (size >>> 0)));
}

function seqPrintf(
  kernel: Kernel,
  low: number,
  high: number,
  fmt: number,
  size: number,
  data: number,
  dataSize: number,
): number {
  if (!isSeq(kernel, low, high)) return 0;
  const text = new Uint8Array(ELEMENT_ROOM);
  const length = formatInto(kernel, fmt, size, formatArgs(kernel, data, dataSize), text);
  return length < 0 ? length : append(kernel, text.slice(0, length));
}

export const seqHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_seq_printf]: {
    name: "bpf_seq_printf",
    since: "5.7",
    gplOnly: true,
    args: ["u64", "mem", "size", "memOrNull", "sizeOrZero"],
    result: "errno",
    fn: seqPrintf,
  },
  [BPF_FUNC_seq_write]: {
    name: "bpf_seq_write",
    since: "5.7",
    gplOnly: true,
    args: ["u64", "memOrNull", "sizeOrZero"],
    result: "errno",
    fn: seqWrite,
  },
};
