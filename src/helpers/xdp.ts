/**
 * Helpers of XDP programs: moving the packet's ends, and bytes of packets that do not lie in one piece. The run record
 * says where the packet is; the fields of struct xdp_md follow it. Kernel counterpart: net/core/filter.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  RUN_CTX,
  RUN_DATA,
  RUN_DATA_END,
  RUN_FRAGS,
  RUN_FRAGS_SIZE,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_END,
  RUN_PACKET_MOVED,
  RUN_RESULT_HIGH,
} from "../kern/run_record.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import {
  BPF_FUNC_xdp_adjust_head,
  BPF_FUNC_xdp_adjust_meta,
  BPF_FUNC_xdp_adjust_tail,
  BPF_FUNC_xdp_get_buff_len,
  BPF_FUNC_xdp_load_bytes,
  BPF_FUNC_xdp_store_bytes,
  EACCES,
  EFAULT,
  EINVAL,
  xdp_md,
} from "../uapi/index.ts";
import { knownXdpLoad, knownXdpStore } from "./bytes_gen.ts";
import type { Helper } from "./types.ts";

/** The headroom in front of a packet, and what the kernel keeps of it for a struct xdp_frame. */
export const XDP_HEADROOM = 256;
export const XDP_FRAME_SIZE = 40;
/** No packet is shorter than its Ethernet header. */
export const ETH_HLEN = 14;
const OFFSET_MAX = 0xffff;
const META_MAX = 255;

/** Writes the packet's bounds of the run record into the context. */
export function showPacket(kernel: Kernel): void {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const ctx = u32[(run + RUN_CTX) >>> 2]!;
  const { data, data_end, data_meta } = xdp_md.fields;
  u32[(ctx + data.offset) >>> 2] = u32[(run + RUN_DATA) >>> 2]!;
  u32[(ctx + data_end.offset) >>> 2] = u32[(run + RUN_DATA_END) >>> 2]!;
  u32[(ctx + data_meta.offset) >>> 2] = u32[(run + RUN_META) >>> 2]!;
}

/** True for a size of metadata that the kernel refuses. */
export function metaSizeBad(size: number): boolean {
  return (size & 3) !== 0 || size > META_MAX;
}

function adjustHead(kernel: Kernel, _ctx: number, offset: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const meta = u32[(run + RUN_META) >>> 2]!;
  const old = u32[(run + RUN_DATA) >>> 2]!;
  const data = old + (offset | 0);
  const first = u32[(run + RUN_PACKET) >>> 2]! + XDP_FRAME_SIZE + old - meta;
  if (data < first || data > u32[(run + RUN_DATA_END) >>> 2]! - ETH_HLEN) return -EINVAL;
  // Metadata goes with the data that it lies in front of.
  mem.copy(meta + (offset | 0), meta, old - meta);
  u32[(run + RUN_PACKET_MOVED) >>> 2] = 1;
  u32[(run + RUN_META) >>> 2] = meta + (offset | 0);
  u32[(run + RUN_DATA) >>> 2] = data;
  showPacket(kernel);
  return 0;
}

function adjustMeta(kernel: Kernel, _ctx: number, offset: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const meta = u32[(run + RUN_META) >>> 2]! + (offset | 0);
  const data = u32[(run + RUN_DATA) >>> 2]!;
  if (meta < u32[(run + RUN_PACKET) >>> 2]! + XDP_FRAME_SIZE || meta > data) return -EINVAL;
  if (metaSizeBad(data - meta)) return -EACCES;
  u32[(run + RUN_PACKET_MOVED) >>> 2] = 1;
  u32[(run + RUN_META) >>> 2] = meta;
  showPacket(kernel);
  return 0;
}

function adjustTail(kernel: Kernel, _ctx: number, offset: number): number {
  const by = offset | 0;
  const { mem, run } = kernel;
  const { u32 } = mem;
  const frags = u32[(run + RUN_FRAGS_SIZE) >>> 2]!;
  if (frags !== 0) return by < 0 ? shrinkFrags(kernel, frags, -by) : growFrags(kernel, frags, by);
  const old = u32[(run + RUN_DATA_END) >>> 2]!;
  const end = old + by;
  if (end > u32[(run + RUN_PACKET_END) >>> 2]! || end < u32[(run + RUN_DATA) >>> 2]! + ETH_HLEN) return -EINVAL;
  if (by > 0) mem.zero(old, by);
  u32[(run + RUN_DATA_END) >>> 2] = end;
  showPacket(kernel);
  return 0;
}

/** Within the last page only. */
function growFrags(kernel: Kernel, frags: number, by: number): number {
  const { mem, run } = kernel;
  const last = ((frags - 1) % PAGE_SIZE) + 1;
  if (by > PAGE_SIZE - last) return -EINVAL;
  mem.zero(mem.u32[(run + RUN_FRAGS) >>> 2]! + frags, by);
  mem.u32[(run + RUN_FRAGS_SIZE) >>> 2] = frags + by;
  return 0;
}

function shrinkFrags(kernel: Kernel, frags: number, by: number): number {
  const { mem, run } = kernel;
  if (by > packetLength(kernel) - ETH_HLEN) return -EINVAL;
  mem.u32[(run + RUN_FRAGS_SIZE) >>> 2] = Math.max(frags - by, 0);
  if (by > frags) {
    mem.u32[(run + RUN_DATA_END) >>> 2]! -= by - frags;
    showPacket(kernel);
  }
  return 0;
}

/** Bytes from data to the end, pages included. */
export function packetLength(kernel: Kernel): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const linear = u32[(run + RUN_DATA_END) >>> 2]! - u32[(run + RUN_DATA) >>> 2]!;
  return linear + u32[(run + RUN_FRAGS_SIZE) >>> 2]!;
}

function buffLen(kernel: Kernel): number {
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  return packetLength(kernel);
}

/** 0 when `length` bytes at `offset` lie in the packet, or the errno. */
function rangeBad(kernel: Kernel, offset: number, length: number): number {
  if (offset > OFFSET_MAX || length > OFFSET_MAX) return -EFAULT;
  return offset + length > packetLength(kernel) ? -EINVAL : 0;
}

export function loadXdpBytes(kernel: Kernel, _ctx: number, offset: number, to: number, length: number): number {
  return moveBytes(kernel, offset >>> 0, to >>> 0, length >>> 0, false);
}

function storeBytes(kernel: Kernel, _ctx: number, offset: number, from: number, length: number): number {
  return moveBytes(kernel, offset >>> 0, from >>> 0, length >>> 0, true);
}

/** Between a buffer and the packet, which goes on in the pages where the linear part ends. */
function moveBytes(kernel: Kernel, offset: number, buffer: number, length: number, store: boolean): number {
  const bad = rangeBad(kernel, offset, length);
  if (bad !== 0) return bad;
  const { mem, run } = kernel;
  const { u32 } = mem;
  const data = u32[(run + RUN_DATA) >>> 2]!;
  const linear = u32[(run + RUN_DATA_END) >>> 2]! - data;
  const first = Math.max(0, Math.min(length, linear - offset));
  const inFrags = u32[(run + RUN_FRAGS) >>> 2]! + offset + first - linear;
  if (store) {
    mem.copy(data + offset, buffer, first);
    if (first < length) mem.copy(inFrags, buffer + first, length - first);
  } else {
    mem.copy(buffer, data + offset, first);
    if (first < length) mem.copy(buffer + first, inFrags, length - first);
  }
  return 0;
}

export const xdpHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_xdp_adjust_head]: {
    name: "bpf_xdp_adjust_head",
    since: "4.10",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: adjustHead,
  },
  [BPF_FUNC_xdp_adjust_meta]: {
    name: "bpf_xdp_adjust_meta",
    since: "4.15",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: adjustMeta,
  },
  [BPF_FUNC_xdp_adjust_tail]: {
    name: "bpf_xdp_adjust_tail",
    since: "4.18",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: adjustTail,
  },
  [BPF_FUNC_xdp_get_buff_len]: {
    name: "bpf_xdp_get_buff_len",
    since: "5.18",
    gplOnly: false,
    args: ["ctx"],
    result: "u64",
    fn: buffLen,
  },
  [BPF_FUNC_xdp_load_bytes]: {
    name: "bpf_xdp_load_bytes",
    since: "5.18",
    gplOnly: false,
    args: ["ctx", "u32", "memOut", "size"],
    result: "errno",
    fn: loadXdpBytes,
    known: knownXdpLoad,
  },
  [BPF_FUNC_xdp_store_bytes]: {
    name: "bpf_xdp_store_bytes",
    since: "5.18",
    gplOnly: false,
    args: ["ctx", "u32", "mem", "size"],
    result: "errno",
    fn: storeBytes,
    known: knownXdpStore,
  },
};
