/**
 * Kernel functions for text. It may lie anywhere: what cannot be read is an errno, not a fault. Texts of 64 KiB and more
 * are too long (-E2BIG). Kernel counterpart: kernel/bpf/helpers.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { memoryOk } from "../kern/reach.ts";
import { E2BIG, EFAULT, ENOENT, ERANGE } from "../uapi/index.ts";
import type { HelperArg, HelperFn, Kfunc } from "./types.ts";

/** Bytes that are looked at in one text. */
const TEXT_MAX = 65_536;

/** A text: where it is, and how many bytes of it can be read. */
interface Text {
  readonly u8: Uint8Array;
  readonly at: number;
  readonly readable: number;
  /** What reading beyond that gives. */
  readonly error: number;
}

function textAt(kernel: Kernel, low: number, high: number): Text {
  const readable = readableBytes(kernel, low, high);
  // The lower half of all addresses is user space's, and known to be no text of the kernel's.
  return { u8: kernel.mem.u8, at: low >>> 0, readable, error: readable === 0 && high >>> 31 === 0 ? -ERANGE : -EFAULT };
}

/** Bytes that the run may read from the address on; no more than a text may have. */
function readableBytes(kernel: Kernel, low: number, high: number): number {
  let known = 0;
  for (let step = TEXT_MAX; step > 0; step >>>= 1) {
    if (known + step <= TEXT_MAX && memoryOk(kernel, low, high, known + step, false)) known += step;
  }
  return known;
}

/** The byte with this index, or a negative errno. */
function byteOf(text: Text, i: number): number {
  return i < text.readable ? text.u8[text.at + i]! : text.error;
}

/** The kernel asks this before anything else; -EFAULT comes only when a byte is read that is not there. */
function inRange(a: Text, b: Text = a): boolean {
  return a.error !== -ERANGE && b.error !== -ERANGE;
}

function same(c: number): number {
  return c;
}

/** Small letters of Latin-1, as the kernel's table has it; errnos stay. */
function lower(c: number): number {
  const capital = (c >= 0x41 && c <= 0x5a) || (c >= 0xc0 && c <= 0xde && c !== 0xd7);
  return capital ? c + 32 : c;
}

function compare(a: Text, b: Text, fold: (c: number) => number): number {
  if (!inRange(a, b)) return -ERANGE;
  for (let i = 0; i < TEXT_MAX; i++) {
    const c1 = fold(byteOf(a, i));
    const c2 = fold(byteOf(b, i));
    if (c1 < 0) return c1;
    if (c2 < 0) return c2;
    if (c1 !== c2) return c1 < c2 ? -1 : 1;
    if (c1 === 0) return 0;
  }
  return -E2BIG;
}

function strcmp(kernel: Kernel, aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  return compare(textAt(kernel, aLow, aHigh), textAt(kernel, bLow, bHigh), same);
}

function strcasecmp(kernel: Kernel, aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  return compare(textAt(kernel, aLow, aHigh), textAt(kernel, bLow, bHigh), lower);
}

/** A size_t as the number of bytes to look at. */
function limitOf(low: number, high: number): number {
  return high !== 0 ? TEXT_MAX : Math.min(low >>> 0, TEXT_MAX);
}

/** Index of the byte; -ENOENT: it does not come before the text or `limit` ends. The NUL can be looked for. */
function find(text: Text, wanted: number, limit: number): number {
  if (!inRange(text)) return -ERANGE;
  for (let i = 0; i < limit; i++) {
    const c = byteOf(text, i);
    if (c < 0 || c === wanted) return c < 0 ? c : i;
    if (c === 0) return -ENOENT;
  }
  return limit === TEXT_MAX ? -E2BIG : -ENOENT;
}

function strchr(kernel: Kernel, low: number, high: number, c: number): number {
  return find(textAt(kernel, low, high), c & 0xff, TEXT_MAX);
}

function strnchr(kernel: Kernel, low: number, high: number, limit: number, limitHigh: number, c: number): number {
  return find(textAt(kernel, low, high), c & 0xff, limitOf(limit, limitHigh));
}

/** As strchr; where the byte is not there, the index of the NUL. */
function strchrnul(kernel: Kernel, low: number, high: number, wanted: number): number {
  const text = textAt(kernel, low, high);
  for (let i = 0; i < TEXT_MAX; i++) {
    const c = byteOf(text, i);
    if (c < 0) return c;
    if (c === 0 || c === (wanted & 0xff)) return i;
  }
  return -E2BIG;
}

/** `wanted` is an int: what is no byte is nowhere. */
function strrchr(kernel: Kernel, low: number, high: number, wanted: number): number {
  const text = textAt(kernel, low, high);
  let last = -ENOENT;
  for (let i = 0; i < TEXT_MAX; i++) {
    const c = byteOf(text, i);
    if (c < 0) return c;
    if (c === wanted >>> 0) last = i;
    if (c === 0) return last;
  }
  return -E2BIG;
}

function length(text: Text, limit: number): number {
  if (!inRange(text)) return -ERANGE;
  for (let i = 0; i < limit; i++) {
    const c = byteOf(text, i);
    if (c <= 0) return c < 0 ? c : i;
  }
  return limit === TEXT_MAX ? -E2BIG : limit;
}

function strlen(kernel: Kernel, low: number, high: number): number {
  return length(textAt(kernel, low, high), TEXT_MAX);
}

function strnlen(kernel: Kernel, low: number, high: number, limit: number, limitHigh: number): number {
  return length(textAt(kernel, low, high), limitOf(limit, limitHigh));
}

/** How many bytes in front are all (`among`) or none of those in `set`. */
function span(text: Text, set: Text, among: boolean): number {
  if (!inRange(text, set)) return -ERANGE;
  for (let i = 0; i < TEXT_MAX; i++) {
    const c = byteOf(text, i);
    if (c <= 0) return c < 0 ? c : i;
    const found = find(set, c, TEXT_MAX);
    if (found < 0 && found !== -ENOENT) return found;
    if (found >= 0 !== among) return i;
  }
  return -E2BIG;
}

function strspn(kernel: Kernel, low: number, high: number, setLow: number, setHigh: number): number {
  return span(textAt(kernel, low, high), textAt(kernel, setLow, setHigh), true);
}

function strcspn(kernel: Kernel, low: number, high: number, setLow: number, setHigh: number): number {
  return span(textAt(kernel, low, high), textAt(kernel, setLow, setHigh), false);
}

/** Index of `wanted` within the first `limit` bytes, or -ENOENT. */
function search(text: Text, wanted: Text, limit: number): number {
  if (!inRange(text, wanted)) return -ERANGE;
  for (let i = 0; i < TEXT_MAX; i++) {
    const found = matchAt(text, i, wanted, limit);
    if (found !== 0) return found > 0 ? i : found;
    if (i === limit) return -ENOENT;
  }
  return -E2BIG;
}

/** 1: `wanted` stands at byte `i`; 0: it does not; negative: the search is over. */
function matchAt(text: Text, i: number, wanted: Text, limit: number): number {
  for (let j = 0; i + j <= limit && j < TEXT_MAX; j++) {
    const w = byteOf(wanted, j);
    if (w <= 0) return w < 0 ? w : 1;
    if (i + j === limit) return 0;
    const c = byteOf(text, i + j);
    if (c <= 0) return c < 0 ? c : -ENOENT;
    if (c !== w) return 0;
  }
  return -E2BIG;
}

function strstr(kernel: Kernel, aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  return search(textAt(kernel, aLow, aHigh), textAt(kernel, bLow, bHigh), Number.POSITIVE_INFINITY);
}

function strnstr(
  kernel: Kernel,
  aLow: number,
  aHigh: number,
  bLow: number,
  bHigh: number,
  low: number,
  high: number,
): number {
  const limit = (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
  return search(textAt(kernel, aLow, aHigh), textAt(kernel, bLow, bHigh), limit);
}

function kfunc(name: string, since: string, args: readonly HelperArg[], fn: HelperFn): Kfunc {
  return { name, since, args, result: "errno", fn };
}

export const stringKfuncs: readonly Kfunc[] = [
  kfunc("bpf_strcmp", "6.17", ["u64", "u64"], strcmp),
  kfunc("bpf_strcasecmp", "6.18", ["u64", "u64"], strcasecmp),
  kfunc("bpf_strchr", "6.17", ["u64", "u32"], strchr),
  kfunc("bpf_strchrnul", "6.17", ["u64", "u32"], strchrnul),
  kfunc("bpf_strnchr", "6.17", ["u64", "u64", "u32"], strnchr),
  kfunc("bpf_strrchr", "6.17", ["u64", "u32"], strrchr),
  kfunc("bpf_strlen", "6.17", ["u64"], strlen),
  kfunc("bpf_strnlen", "6.17", ["u64", "u64"], strnlen),
  kfunc("bpf_strspn", "6.17", ["u64", "u64"], strspn),
  kfunc("bpf_strcspn", "6.17", ["u64", "u64"], strcspn),
  kfunc("bpf_strstr", "6.17", ["u64", "u64"], strstr),
  kfunc("bpf_strnstr", "6.17", ["u64", "u64", "u64"], strnstr),
];
