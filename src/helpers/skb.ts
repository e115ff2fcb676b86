/** Helpers of programs that see an skb: its bytes, wherever they lie, and its length. Kernel counterpart: net/core/filter.c. */
import type { Kernel } from "../kern/kernel.ts";
import {
  __sk_buff,
  BPF_F_INVALIDATE_HASH,
  BPF_F_RECOMPUTE_CSUM,
  BPF_FUNC_get_hash_recalc,
  BPF_FUNC_set_hash,
  BPF_FUNC_set_hash_invalid,
  BPF_FUNC_skb_change_head,
  BPF_FUNC_skb_change_tail,
  BPF_FUNC_skb_change_type,
  BPF_FUNC_skb_load_bytes,
  BPF_FUNC_skb_load_bytes_relative,
  BPF_FUNC_skb_pull_data,
  BPF_FUNC_skb_set_tstamp,
  BPF_FUNC_skb_store_bytes,
  BPF_HDR_START_MAC,
  BPF_HDR_START_NET,
  BPF_SKB_CLOCK_MONOTONIC,
  BPF_SKB_CLOCK_REALTIME,
  BPF_SKB_CLOCK_TAI,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTSUPP,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { knownSkbLoad } from "./bytes_gen.ts";
import {
  haveRoom,
  moveData,
  pullTo,
  SKB_DATA,
  SKB_ENCAPSULATED,
  SKB_END,
  SKB_HASHED,
  SKB_LENGTH_MAX,
  SKB_MAC,
  SKB_NETWORK,
  SKB_TAIL,
  SKB_TRANSPORT,
  setSkb,
  showSkb,
  skbLength,
  skbWord,
} from "./skb_buffer.ts";
import { forgetSum, sumWith, sumWithout } from "./skb_csum.ts";
import { hashOf } from "./skb_hash.ts";
import { ETH_P_IP, ETH_P_IPV6, measureLink, PACKET_OTHERHOST, protocolOf } from "./skb_headers.ts";
import type { Helper } from "./types.ts";

const INT_MAX = 0x7fff_ffff;
const RELATIVE_MAX = 0xffff;
const { fields } = __sk_buff;

export function clearHash(kernel: Kernel): void {
  setSkb(kernel, SKB_HASHED, 0);
  setSkb(kernel, fields.hash.offset, 0);
}

/** Copies bytes out of the packet; where they do not lie in it the memory is zeroed. */
export function loadBytes(kernel: Kernel, _ctx: number, offset: number, to: number, size: number): number {
  const from = offset >>> 0;
  return copyOut(kernel, from <= INT_MAX ? skbWord(kernel, SKB_DATA) + from : -1, skbWord(kernel, SKB_END), to, size);
}

/** Counted from a header, of the linear part only. */
function loadRelative(kernel: Kernel, _ctx: number, offset: number, to: number, size: number, start: number): number {
  const from = start === BPF_HDR_START_MAC ? SKB_MAC : start === BPF_HDR_START_NET ? SKB_NETWORK : -1;
  const at = from !== -1 && offset >>> 0 <= RELATIVE_MAX ? skbWord(kernel, from) + (offset >>> 0) : -1;
  return copyOut(kernel, at, skbWord(kernel, SKB_TAIL), to, size);
}

function copyOut(kernel: Kernel, at: number, end: number, to: number, size: number): number {
  const { mem } = kernel;
  if (at !== -1 && at + (size >>> 0) <= end) {
    mem.copy(to >>> 0, at, size >>> 0);
    return 0;
  }
  mem.zero(to >>> 0, size >>> 0);
  return -EFAULT;
}

export function storeBytes(
  kernel: Kernel,
  _ctx: number,
  offset: number,
  from: number,
  size: number,
  flags: number,
  flagsHigh: number,
): number {
  if ((flags & ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH)) !== 0 || flagsHigh !== 0) return -EINVAL;
  const at = offset >>> 0;
  const n = size >>> 0;
  if (at > INT_MAX || !pullTo(kernel, at + n)) return -EFAULT;
  const to = skbWord(kernel, SKB_DATA) + at;
  if ((flags & BPF_F_RECOMPUTE_CSUM) !== 0) sumWithout(kernel, to, n, at);
  kernel.mem.copy(to, from >>> 0, n);
  if ((flags & BPF_F_RECOMPUTE_CSUM) !== 0) sumWith(kernel, to, n, at);
  if ((flags & BPF_F_INVALIDATE_HASH) !== 0) clearHash(kernel);
  return 0;
}

/** 0 asks for what is linear already, which then may be written. */
function pullData(kernel: Kernel, _ctx: number, size: number): number {
  return pullTo(kernel, size >>> 0) ? 0 : -ENOMEM;
}

function changeType(kernel: Kernel, _ctx: number, type: number): number {
  if (skbWord(kernel, fields.pkt_type.offset) > PACKET_OTHERHOST || type >>> 0 > PACKET_OTHERHOST) return -EINVAL;
  setSkb(kernel, fields.pkt_type.offset, type);
  return 0;
}

/** Cuts the packet or fills it up with zeros. */
function changeTail(kernel: Kernel, _ctx: number, length: number, flags: number, flagsHigh: number): number {
  const size = length >>> 0;
  if ((flags | flagsHigh) !== 0 || size > SKB_LENGTH_MAX || size < shortest(kernel)) return -EINVAL;
  if (skbWord(kernel, SKB_ENCAPSULATED) !== 0) return -ENOTSUPP;
  const old = skbLength(kernel);
  if (size > old && !haveRoom(kernel, 0, size - old)) return -ENOMEM;
  const data = skbWord(kernel, SKB_DATA);
  if (size > old) kernel.mem.zero(data + old, size - old);
  setSkb(kernel, SKB_END, data + size);
  if (size !== old) forgetSum(kernel);
  // What grows becomes linear as a whole.
  setSkb(kernel, SKB_TAIL, size > old ? data + size : Math.min(skbWord(kernel, SKB_TAIL), data + size));
  if (skbWord(kernel, fields.gso_size.offset) !== 0) {
    setSkb(kernel, fields.gso_size.offset, 0);
    setSkb(kernel, fields.gso_segs.offset, 0);
  }
  showSkb(kernel);
  return 0;
}

/** The headers stay. */
function shortest(kernel: Kernel): number {
  const data = skbWord(kernel, SKB_DATA);
  return Math.max(0, skbWord(kernel, SKB_NETWORK) - data, skbWord(kernel, SKB_TRANSPORT) - data);
}

/** Puts zeros in front of the packet, where a link header goes. */
function changeHead(kernel: Kernel, _ctx: number, by: number, flags: number, flagsHigh: number): number {
  const room = by | 0;
  const segmented = skbWord(kernel, fields.gso_size.offset) !== 0;
  if ((flags | flagsHigh) !== 0 || room < 0) return -EINVAL;
  if (!segmented && skbLength(kernel) + room > SKB_LENGTH_MAX) return -EINVAL;
  if (!haveRoom(kernel, room, 0)) return -ENOMEM;
  moveData(kernel, -room);
  const data = skbWord(kernel, SKB_DATA);
  kernel.mem.zero(data, room);
  setSkb(kernel, SKB_MAC, data);
  measureLink(kernel);
  showSkb(kernel);
  return 0;
}

function hashRecalc(kernel: Kernel): number {
  if (skbWord(kernel, SKB_HASHED) === 0) setHash(kernel, 0, hashOf(kernel));
  return skbWord(kernel, fields.hash.offset);
}

function setHash(kernel: Kernel, _ctx: number, hash: number): number {
  setSkb(kernel, SKB_HASHED, 1);
  setSkb(kernel, fields.hash.offset, hash);
  return 0;
}

function setHashInvalid(kernel: Kernel): number {
  clearHash(kernel);
  return 0;
}

function setTstamp(kernel: Kernel, _ctx: number, low: number, high: number, type: number): number {
  const protocol = protocolOf(kernel);
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return -EOPNOTSUPP;
  switch (type) {
    case BPF_SKB_CLOCK_REALTIME:
      break;
    case BPF_SKB_CLOCK_MONOTONIC:
    case BPF_SKB_CLOCK_TAI:
      if ((low | high) === 0) return -EINVAL;
      break;
    default:
      return -EINVAL;
  }
  setSkb(kernel, fields.tstamp.offset, low);
  setSkb(kernel, fields.tstamp.offset + 4, high);
  setSkb(kernel, fields.tstamp_type.offset, type);
  return 0;
}

export const skbHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_skb_load_bytes]: {
    name: "bpf_skb_load_bytes",
    since: "4.5",
    gplOnly: false,
    args: ["ctx", "u32", "memOut", "size"],
    result: "errno",
    fn: loadBytes,
    known: knownSkbLoad,
  },
  [BPF_FUNC_skb_load_bytes_relative]: {
    name: "bpf_skb_load_bytes_relative",
    since: "4.18",
    gplOnly: false,
    args: ["ctx", "u32", "memOut", "size", "u32"],
    result: "errno",
    fn: loadRelative,
  },
  [BPF_FUNC_skb_store_bytes]: {
    name: "bpf_skb_store_bytes",
    since: "4.1",
    gplOnly: false,
    args: ["ctx", "u32", "mem", "size", "u64"],
    result: "errno",
    fn: storeBytes,
  },
  [BPF_FUNC_skb_pull_data]: {
    name: "bpf_skb_pull_data",
    since: "4.9",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: pullData,
  },
  [BPF_FUNC_skb_change_type]: {
    name: "bpf_skb_change_type",
    since: "4.8",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: changeType,
  },
  [BPF_FUNC_skb_change_tail]: {
    name: "bpf_skb_change_tail",
    since: "4.9",
    gplOnly: false,
    args: ["ctx", "u32", "u64"],
    result: "errno",
    fn: changeTail,
  },
  [BPF_FUNC_skb_change_head]: {
    name: "bpf_skb_change_head",
    since: "4.10",
    gplOnly: false,
    args: ["ctx", "u32", "u64"],
    result: "errno",
    fn: changeHead,
  },
  [BPF_FUNC_get_hash_recalc]: {
    name: "bpf_get_hash_recalc",
    since: "4.8",
    gplOnly: false,
    args: ["ctx"],
    result: "u32",
    fn: hashRecalc,
  },
  [BPF_FUNC_set_hash]: {
    name: "bpf_set_hash",
    since: "4.13",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "u32",
    fn: setHash,
  },
  [BPF_FUNC_set_hash_invalid]: {
    name: "bpf_set_hash_invalid",
    since: "4.9",
    gplOnly: false,
    args: ["ctx"],
    result: "u32",
    fn: setHashInvalid,
  },
  [BPF_FUNC_skb_set_tstamp]: {
    name: "bpf_skb_set_tstamp",
    since: "5.18",
    gplOnly: false,
    args: ["ctx", "u64", "u32"],
    result: "errno",
    fn: setTstamp,
  },
};
