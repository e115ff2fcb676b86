/** Helpers that read and make text: numbers, comparison, formats. Kernel counterpart: kernel/bpf/helpers.c. */

import type { Kernel } from "../kern/kernel.ts";
import { textLength } from "../kern/reach.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  BPF_FUNC_snprintf,
  BPF_FUNC_strncmp,
  BPF_FUNC_strtol,
  BPF_FUNC_strtoul,
  BPF_FUNC_trace_printk,
  BPF_FUNC_trace_vprintk,
  EINVAL,
  ERANGE,
} from "../uapi/index.ts";
import { FORMAT_ARGS, formatText, isSpace, type TextMemory } from "./format_text.ts";
import { readableAt, textLengthAt } from "./probe_memory.ts";
import type { Helper } from "./types.ts";

/** Digits of a number that are looked at. */
const NUMBER_MAX = 63;
/** Bytes of a line that bpf_trace_printk writes, its NUL counted. */
const LINE_ROOM = 1024;
const bases: readonly number[] = [0, 8, 10, 16];
const U64_MAX = 0xffff_ffff_ffff_ffffn;
const I64_MAX = 0x7fff_ffff_ffff_ffffn;

function digitOf(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const letter = c | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : 99;
}

interface Parsed {
  /** Characters that the number took, white space and sign counted; or an errno. */
  readonly consumed: number;
  readonly negative: boolean;
  readonly value: bigint;
}

const refused = (errno: number): Parsed => ({ consumed: -errno, negative: false, value: 0n });

function parse(text: Uint8Array, flags: number, flagsHigh: number): Parsed {
  if (flagsHigh !== 0 || !bases.includes(flags)) return refused(EINVAL);
  let at = 0;
  while (at < text.length && isSpace(text[at]!)) at++;
  const negative = text[at] === 0x2d;
  if (negative) at++;
  const digits = text.subarray(at, at + NUMBER_MAX);
  const hexMark = digits[0] === 0x30 && ((digits[1] ?? 0) | 0x20) === 0x78;
  const auto = hexMark && digitOf(digits[2] ?? 0) < 16 ? 16 : digits[0] === 0x30 ? 8 : 10;
  const base = flags === 0 ? auto : flags;
  const first = base === 16 && hexMark ? 2 : 0;
  let n = first;
  let value = 0n;
  for (; n < digits.length && digitOf(digits[n]!) < base; n++)
    value = value * BigInt(base) + BigInt(digitOf(digits[n]!));
  if (n === first) return refused(EINVAL);
  return value > U64_MAX ? refused(ERANGE) : { consumed: at + n, negative, value };
}

function textAt(kernel: Kernel, at: number, size: number): Uint8Array {
  return kernel.mem.u8.subarray(at >>> 0, (at >>> 0) + (size >>> 0));
}

function strtol(kernel: Kernel, from: number, size: number, flags: number, flagsHigh: number, to: number): number {
  const { consumed, negative, value } = parse(textAt(kernel, from, size), flags, flagsHigh);
  const range = negative ? I64_MAX + 1n : I64_MAX;
  const ret = value > range ? -ERANGE : consumed;
  kernel.mem.view.setBigInt64(to >>> 0, ret < 0 ? 0n : BigInt.asIntN(64, negative ? -value : value), true);
  return ret;
}

function strtoul(kernel: Kernel, from: number, size: number, flags: number, flagsHigh: number, to: number): number {
  const { consumed, negative, value } = parse(textAt(kernel, from, size), flags, flagsHigh);
  const ret = negative ? -EINVAL : consumed;
  kernel.mem.view.setBigUint64(to >>> 0, ret < 0 ? 0n : value, true);
  return ret;
}

/** -1, 0 or 1. */
function strncmp(kernel: Kernel, first: number, size: number, second: number): number {
  const { u8 } = kernel.mem;
  for (let i = 0; i < size >>> 0; i++) {
    const a = u8[(first >>> 0) + i]!;
    const b = u8[(second >>> 0) + i]!;
    if (a !== b) return a < b ? -1 : 1;
    if (a === 0) return 0;
  }
  return 0;
}

/** What conversions of text point to, as bpf_probe_read_* would read it. */
function textMemory(kernel: Kernel): TextMemory {
  const { u8 } = kernel.mem;
  return {
    read(low, high, to) {
      const at = readableAt(kernel, low, high, to.length, "kernel");
      if (at !== 0) to.set(u8.subarray(at, at + to.length));
      return at !== 0;
    },
    text(low, high, room, user) {
      const space = user ? "user" : "kernel";
      const length = textLengthAt(kernel, low, high, room, space);
      if (length < 0) return undefined;
      const at = length === 0 ? 0 : readableAt(kernel, low, high, length, space);
      return u8.slice(at, at + length);
    },
  };
}

/** Words of arguments in memory; undefined for a size that is no number of them. */
export function formatArgs(kernel: Kernel, data: number, size: number): Uint32Array | undefined {
  if ((size & 7) !== 0 || size >>> 0 > FORMAT_ARGS * 8) return undefined;
  const words = new Uint32Array((size >>> 0) / 4);
  for (let i = 0; i < words.length; i++) words[i] = kernel.mem.view.getUint32((data >>> 0) + i * 4, true);
  return words;
}

/** Bytes of a format before its NUL; undefined: there is none. */
function formatOf(kernel: Kernel, fmt: number, size: number): Uint8Array | undefined {
  const bytes = textAt(kernel, fmt, size);
  const end = bytes.indexOf(0);
  return end < 0 ? undefined : bytes.subarray(0, end);
}

/** Length of the whole text, of which `out` gets what it has room for; or an errno. */
export function formatInto(
  kernel: Kernel,
  fmt: number,
  size: number,
  args: Uint32Array | undefined,
  out: Uint8Array,
): number {
  const format = formatOf(kernel, fmt, size);
  if (format === undefined || args === undefined) return -EINVAL;
  return formatText(format, args, textMemory(kernel), out);
}

function printLine(kernel: Kernel, fmt: number, size: number, args: Uint32Array | undefined): number {
  const line = new Uint8Array(LINE_ROOM - 1);
  const length = formatInto(kernel, fmt, size, args, line);
  if (length < 0) return length;
  const text = line.subarray(0, Math.min(length, line.length));
  const end = text.indexOf(0);
  noteEvent(kernel.scene, { kind: "printk", text: new TextDecoder().decode(end < 0 ? text : text.subarray(0, end)) });
  return length;
}

function tracePrintk(
  kernel: Kernel,
  fmt: number,
  size: number,
  a: number,
  aHigh: number,
  b: number,
  bHigh: number,
  c: number,
  cHigh: number,
): number {
  return printLine(kernel, fmt, size, Uint32Array.of(a, aHigh, b, bHigh, c, cHigh));
}

function traceVprintk(kernel: Kernel, fmt: number, size: number, data: number, dataSize: number): number {
  return printLine(kernel, fmt, size, formatArgs(kernel, data, dataSize));
}

const nothing: TextMemory = { read: () => false, text: () => undefined };
const nowhere: Uint8Array = new Uint8Array(0);

/** Length of the whole text with its NUL. */
function snprintf(kernel: Kernel, to: number, size: number, fmt: number, data: number, dataSize: number): number {
  const room = size >>> 0;
  const out = new Uint8Array(Math.max(room - 1, 0));
  const args = formatArgs(kernel, data, dataSize);
  const format = textAt(kernel, fmt, textLength(kernel, fmt >>> 0, 0));
  // The kernel refuses formats that are no good when it loads the program: before it looks at any argument.
  if (args === undefined || formatText(format, args, nothing, nowhere) < 0) return -EINVAL;
  const length = formatText(format, args, textMemory(kernel), out);
  if (length < 0) return length;
  const { u8 } = kernel.mem;
  u8.set(out.subarray(0, Math.min(length, out.length)), to >>> 0);
  if (room > 0) u8[(to >>> 0) + Math.min(length, room - 1)] = 0;
  return length + 1;
}

function printing(name: string, since: string, args: Helper["args"], fn: NonNullable<Helper["fn"]>): Helper {
  return { name, since, gplOnly: true, args, result: "errno", fn };
}

export const textHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_trace_printk]: printing("bpf_trace_printk", "4.1", ["mem", "size", "u64", "u64", "u64"], tracePrintk),
  [BPF_FUNC_trace_vprintk]: printing(
    "bpf_trace_vprintk",
    "5.16",
    ["mem", "size", "memOrNull", "sizeOrZero"],
    traceVprintk,
  ),
  [BPF_FUNC_snprintf]: printing(
    "bpf_snprintf",
    "5.13",
    ["memOutOrNull", "sizeOrZero", "cstring", "memOrNull", "sizeOrZero"],
    snprintf,
  ),
  [BPF_FUNC_strtol]: {
    name: "bpf_strtol",
    since: "5.2",
    gplOnly: false,
    args: ["mem", "size", "u64", { fixed: 8, write: true }],
    result: "errno",
    fn: strtol,
  },
  [BPF_FUNC_strtoul]: {
    name: "bpf_strtoul",
    since: "5.2",
    gplOnly: false,
    args: ["mem", "size", "u64", { fixed: 8, write: true }],
    result: "errno",
    fn: strtoul,
  },
  [BPF_FUNC_strncmp]: {
    name: "bpf_strncmp",
    since: "5.17",
    gplOnly: false,
    args: ["mem", "size", "cstring"],
    result: "errno",
    fn: strncmp,
  },
};
