/**
 * Checksums of an skb: those that stand in its headers, and the one of the whole packet that a device may have given
 * (CHECKSUM_COMPLETE), which goes along with what changes. Kernel counterpart: net/core/filter.c, net/core/utils.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import {
  BPF_CSUM_LEVEL_DEC,
  BPF_CSUM_LEVEL_INC,
  BPF_CSUM_LEVEL_QUERY,
  BPF_CSUM_LEVEL_RESET,
  BPF_F_HDR_FIELD_MASK,
  BPF_F_IPV6,
  BPF_F_MARK_ENFORCE,
  BPF_F_MARK_MANGLED_0,
  BPF_F_PSEUDO_HDR,
  BPF_FUNC_csum_level,
  BPF_FUNC_csum_update,
  BPF_FUNC_l3_csum_replace,
  BPF_FUNC_l4_csum_replace,
  BPF_FUNC_skb_ecn_set_ce,
  EACCES,
  EFAULT,
  EINVAL,
  ENOTSUPP,
} from "../uapi/index.ts";
import { addSums, checkOf, subSums, sumOf } from "./checksum.ts";
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_NONE,
  CHECKSUM_UNNECESSARY,
  pullTo,
  SKB_CSUM,
  SKB_CSUM_LEVEL,
  SKB_DATA,
  SKB_NETWORK,
  SKB_SUMMED,
  SKB_TAIL,
  setSkb,
  skbLinear,
  skbWord,
} from "./skb_buffer.ts";
import { ETH_P_IP, ETH_P_IPV6, IPV4_HEADER, IPV6_HEADER, skbProtocol } from "./skb_headers.ts";
import type { Helper, HelperFn } from "./types.ts";

const OFFSET_MAX = 0xffff;
const LEVEL_MAX = 3;
/** How a checksum of 0 is written where 0 means that there is none. */
const MANGLED_0 = 0xffff;
const CE = 3;

/** `size` bytes at `address`, which lie `offset` bytes behind the data, leave the packet's sum or come into it. */
export function sumWithout(kernel: Kernel, address: number, size: number, offset = 0): void {
  if (skbWord(kernel, SKB_SUMMED) !== CHECKSUM_COMPLETE) return;
  setSkb(kernel, SKB_CSUM, subSums(skbWord(kernel, SKB_CSUM), blockSum(kernel, address, size, offset)));
}

export function sumWith(kernel: Kernel, address: number, size: number, offset = 0): void {
  if (skbWord(kernel, SKB_SUMMED) !== CHECKSUM_COMPLETE) return;
  setSkb(kernel, SKB_CSUM, addSums(skbWord(kernel, SKB_CSUM), blockSum(kernel, address, size, offset)));
}

/** At an odd place every byte counts as the other half of its word. */
function blockSum(kernel: Kernel, address: number, size: number, offset: number): number {
  const sum = sumOf(kernel.mem, address, size, 0);
  return (offset & 1) === 0 ? sum : ((sum << 8) | (sum >>> 24)) >>> 0;
}

/** The packet has another length: its sum is none any more. */
export function forgetSum(kernel: Kernel): void {
  if (skbWord(kernel, SKB_SUMMED) === CHECKSUM_COMPLETE) setSkb(kernel, SKB_SUMMED, CHECKSUM_NONE);
}

/** Nothing is known any more about a checksum that was checked. */
export function resetChecksum(kernel: Kernel): void {
  if (skbWord(kernel, SKB_SUMMED) !== CHECKSUM_UNNECESSARY) return;
  setSkb(kernel, SKB_SUMMED, CHECKSUM_NONE);
  setSkb(kernel, SKB_CSUM_LEVEL, 0);
}

/** The address of the checksum at `offset`, or an errno. */
function checkAt(kernel: Kernel, offset: number): number {
  if (offset > OFFSET_MAX || (offset & 1) !== 0 || !pullTo(kernel, offset + 2)) return -EFAULT;
  return skbWord(kernel, SKB_DATA) + offset;
}

/**
 * The checksum `old` once `to` has taken the place of `from`: fields of `size` bytes, or for size 0 a difference that
 * was summed up already. -EINVAL: no such size.
 */
function replaced(old: number, from: number, fromHigh: number, to: number, size: number): number {
  const sum = ~old >>> 0;
  switch (size) {
    case 0:
      return (from | fromHigh) === 0 ? checkOf(addSums(to, sum)) : -EINVAL;
    case 2:
      return checkOf(addSums(subSums(sum, from & 0xffff), to & 0xffff));
    case 4:
      return checkOf(addSums(subSums(sum, from), to));
    default:
      return -EINVAL;
  }
}

/** As `replaced` for two bytes, in 16 bits: of the two zeros that a sum has it may come to the other one. */
function replacedShort(old: number, from: number, to: number): number {
  return ~add16(add16(~old & 0xffff, ~from & 0xffff), to & 0xffff) & 0xffff;
}

function add16(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff ? (sum & 0xffff) + 1 : sum;
}

/** Writes the checksum at `at`, which was `old`, anew. `from` and `to` are u64 of which the sums take 32 bits. */
type Replace = (
  kernel: Kernel,
  at: number,
  old: number,
  from: number,
  fromHigh: number,
  to: number,
  flags: number,
) => number;

/** The helper of a kind of checksum: its flags are judged first, then where it lies. */
function replacing(known: number, replace: Replace): HelperFn {
  return (kernel, _ctx, offset, fromLow, fromHigh, to, _toHigh, flags, flagsHigh) => {
    if ((flags & ~known) !== 0 || flagsHigh !== 0) return -EINVAL;
    const at = checkAt(kernel, offset >>> 0);
    if (at < 0) return at;
    return replace(kernel, at, kernel.mem.view.getUint16(at, true), fromLow, fromHigh, to, flags);
  };
}

/** Only the 0 in place of `from` is looked at whole. */
const l3Replace: HelperFn = replacing(BPF_F_HDR_FIELD_MASK, (kernel, at, old, from, fromHigh, to, size) => {
  const value = size === 2 ? replacedShort(old, from, to) : replaced(old, from, fromHigh, to, size);
  if (value < 0) return value;
  kernel.mem.view.setUint16(at, value, true);
  return 0;
});

const L4_FLAGS = BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_PSEUDO_HDR | BPF_F_HDR_FIELD_MASK | BPF_F_IPV6;

const l4Replace: HelperFn = replacing(L4_FLAGS, (kernel, at, old, from, fromHigh, to, flags) => {
  const marked = (flags & BPF_F_MARK_MANGLED_0) !== 0;
  if (marked && (flags & BPF_F_MARK_ENFORCE) === 0 && old === 0) return 0;
  const size = flags & BPF_F_HDR_FIELD_MASK;
  const value = replaced(old, from, fromHigh, to, size);
  if (value < 0) return value;
  kernel.mem.view.setUint16(at, marked && value === 0 ? MANGLED_0 : value, true);
  if ((flags & BPF_F_PSEUDO_HDR) !== 0) pseudoHeaderChanged(kernel, from, to, size, (flags & BPF_F_IPV6) !== 0);
  return 0;
});

/** The packet's sum holds the changed checksum, but no pseudo header. Of IPv6 the addresses are in it as well. */
function pseudoHeaderChanged(kernel: Kernel, from: number, to: number, size: number, ipv6: boolean): void {
  if (skbWord(kernel, SKB_SUMMED) !== CHECKSUM_COMPLETE || (size === 0 && ipv6)) return;
  const mask = size === 2 ? 0xffff : 0xffff_ffff;
  const without = subSums(~skbWord(kernel, SKB_CSUM), size === 0 ? 0 : from & mask);
  setSkb(kernel, SKB_CSUM, ~addSums(without, to & mask));
}

function update(kernel: Kernel, _ctx: number, sum: number): number {
  const { u32 } = kernel.mem;
  if (skbWord(kernel, SKB_SUMMED) !== CHECKSUM_COMPLETE) {
    u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0xffff_ffff;
    return -ENOTSUPP;
  }
  u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  const total = addSums(skbWord(kernel, SKB_CSUM), sum);
  setSkb(kernel, SKB_CSUM, total);
  return total;
}

function level(kernel: Kernel, _ctx: number, what: number, whatHigh: number): number {
  if (whatHigh !== 0) return -EINVAL;
  const summed = skbWord(kernel, SKB_SUMMED);
  const now = skbWord(kernel, SKB_CSUM_LEVEL);
  switch (what) {
    case BPF_CSUM_LEVEL_QUERY:
      return summed === CHECKSUM_UNNECESSARY ? now : -EACCES;
    case BPF_CSUM_LEVEL_INC:
      if (summed === CHECKSUM_UNNECESSARY) setSkb(kernel, SKB_CSUM_LEVEL, Math.min(now + 1, LEVEL_MAX));
      else if (summed === CHECKSUM_NONE) setSkb(kernel, SKB_SUMMED, CHECKSUM_UNNECESSARY);
      return 0;
    case BPF_CSUM_LEVEL_DEC:
      if (now > 0) setSkb(kernel, SKB_CSUM_LEVEL, now - 1);
      else resetChecksum(kernel);
      return 0;
    case BPF_CSUM_LEVEL_RESET:
      resetChecksum(kernel);
      return 0;
    default:
      return -EINVAL;
  }
}

/** Marks a packet that may be marked: 1 when it has the mark now, 0 when its sender knows none. */
function setCe(kernel: Kernel): number {
  const protocol = skbProtocol(kernel);
  const size = protocol === ETH_P_IP ? IPV4_HEADER : protocol === ETH_P_IPV6 ? IPV6_HEADER : 0;
  const at = skbWord(kernel, SKB_NETWORK);
  if (size === 0 || skbLinear(kernel) < size || at + size > skbWord(kernel, SKB_TAIL)) return 0;
  return size === IPV4_HEADER ? markIpv4(kernel, at) : markIpv6(kernel, at);
}

function markIpv4(kernel: Kernel, at: number): number {
  const { u8, view } = kernel.mem;
  const tos = u8[at + 1]!;
  const ecn = tos & CE;
  if (ecn === 0) return 0;
  if (ecn === CE) return 1;
  const check = view.getUint16(at + 10);
  const changed = check + 0xffff - CE + ecn;
  view.setUint16(at + 10, changed >= 0xffff ? changed - 0xffff : changed);
  u8[at + 1] = tos | CE;
  return 1;
}

/** The traffic class lies across the first two bytes: its lowest bits are bits 4 and 5 of the second. */
function markIpv6(kernel: Kernel, at: number): number {
  const { u8, view } = kernel.mem;
  const ecn = (u8[at + 1]! >> 4) & CE;
  if (ecn === 0) return 0;
  if (ecn === CE) return 1;
  const old = view.getUint32(at, true);
  u8[at + 1]! |= CE << 4;
  if (skbWord(kernel, SKB_SUMMED) === CHECKSUM_COMPLETE) {
    setSkb(kernel, SKB_CSUM, addSums(subSums(skbWord(kernel, SKB_CSUM), old), view.getUint32(at, true)));
  }
  return 1;
}

export const skbCsumHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_l3_csum_replace]: {
    name: "bpf_l3_csum_replace",
    since: "4.1",
    gplOnly: false,
    args: ["ctx", "u32", "u64", "u64", "u64"],
    result: "errno",
    fn: l3Replace,
  },
  [BPF_FUNC_l4_csum_replace]: {
    name: "bpf_l4_csum_replace",
    since: "4.1",
    gplOnly: false,
    args: ["ctx", "u32", "u64", "u64", "u64"],
    result: "errno",
    fn: l4Replace,
  },
  [BPF_FUNC_csum_update]: {
    name: "bpf_csum_update",
    since: "4.9",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "u64",
    fn: update,
  },
  [BPF_FUNC_csum_level]: {
    name: "bpf_csum_level",
    since: "5.7",
    gplOnly: false,
    args: ["ctx", "u64"],
    result: "errno",
    fn: level,
  },
  [BPF_FUNC_skb_ecn_set_ce]: {
    name: "bpf_skb_ecn_set_ce",
    since: "5.1",
    gplOnly: false,
    args: ["ctx"],
    result: "errno",
    fn: setCe,
  },
};
