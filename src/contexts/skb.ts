/**
 * Programs that see a packet as struct __sk_buff: traffic control, socket filters, cgroups, lightweight tunnels, sockets.
 * They differ in fields, in what they may do to the packet's bytes, and in where the packet begins for them.
 */

import { sumOf } from "../helpers/checksum.ts";
import {
  CHECKSUM_COMPLETE,
  haveRoom,
  makeSkb,
  moveData,
  SKB_CSUM,
  SKB_DATA,
  SKB_DIRECT,
  SKB_MAC,
  SKB_NETWORK,
  SKB_QUEUE,
  SKB_SOCK,
  SKB_STREAM,
  SKB_SUMMED,
  setSkb,
  showSkb,
  skbLength,
  skbWord,
} from "../helpers/skb_buffer.ts";
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, protocolOf, receive } from "../helpers/skb_headers.ts";
import type { Kernel } from "../kern/kernel.ts";
import { HELD_READABLE, hold, RUN_CTX, RUN_CTX_SIZE, RUN_PACKET_READ_ONLY } from "../kern/run_record.ts";
import {
  __sk_buff,
  AF_INET,
  AF_INET6,
  BPF_CGROUP_INET_EGRESS,
  BPF_CGROUP_INET_INGRESS,
  bpf_sock,
} from "../uapi/index.ts";
import {
  cgroupSkbHelpers,
  lwtHelpers,
  lwtInHelpers,
  lwtSeg6Helpers,
  lwtXmitHelpers,
  schedHelpers,
  socketFilterHelpers,
  streamHelpers,
} from "./packet_helpers.ts";
import {
  cgroupFields,
  lwtFields,
  placeOf,
  schedFields,
  skbBounds,
  socketFilterFields,
  streamFields,
} from "./skb_fields.ts";
import type { ContextFamily } from "./table.ts";

const { fields } = __sk_buff;
const { fields: sock } = bpf_sock;
/** A queue is a u16, and this one is none. */
const NO_QUEUE = 0xffff;
const TCP_CLOSE = 7;
const NO_INDEX = 0xffff_ffff;

/** What the family of an skb's program says beside what every family does. */
export interface SkbFamily extends ContextFamily {
  /** What it may do with the packet's bytes by itself; helpers have rules of their own. */
  readonly direct: "none" | "read" | "write";
  /** Whether the packet begins with its Ethernet header, and not behind it. */
  readonly link: boolean;
  /** Programs of sockets, whose packet is a piece of a stream. */
  readonly stream: boolean;
}

export function isSkbFamily(family: ContextFamily): family is SkbFamily {
  return "stream" in family;
}

/** Words of the fields that `place` brings into shape. */
const shaped: ReadonlySet<number> = new Set([
  fields.tc_index.offset,
  fields.tc_classid.offset,
  fields.queue_mapping.offset,
]);

/** Fields that hold less than a store gives them are brought into shape before the next access of the context. */
function place(u32: Uint32Array, ctx: number, offset: number, size: number): number {
  u32[(ctx + fields.tc_index.offset) >>> 2]! &= 0xffff;
  u32[(ctx + fields.tc_classid.offset) >>> 2]! &= 0xffff;
  const queue = (ctx + fields.queue_mapping.offset) >>> 2;
  const kept = (ctx + SKB_QUEUE) >>> 2;
  // A queue that there cannot be is not stored at all.
  if (u32[queue]! >= NO_QUEUE) u32[queue] = u32[kept]!;
  else u32[kept] = u32[queue]!;
  return placeOf(offset, size);
}

const family: Omit<SkbFamily, "access" | "helpers"> = {
  size: __sk_buff.size,
  whole: true,
  packetLoads: false,
  sleepable: false,
  place,
  inPlace: (offset, size) => !shaped.has(offset & ~3) && placeOf(offset, size) === offset,
  bounds: skbBounds(false),
  shows: { offset: fields.sk.offset, bytes: bpf_sock.size, write: false, optional: true },
  direct: "read",
  link: false,
  stream: false,
};

export const schedContext: SkbFamily = {
  ...family,
  access: schedFields,
  helpers: schedHelpers,
  packetLoads: true,
  direct: "write",
  bounds: skbBounds(true),
  link: true,
};
export const socketFilterContext: SkbFamily = {
  ...family,
  access: socketFilterFields,
  helpers: socketFilterHelpers,
  packetLoads: true,
  direct: "none",
};
export const cgroupSkbContext: SkbFamily = {
  ...family,
  access: cgroupFields,
  helpers: cgroupSkbHelpers,
  attachTypes: [BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS],
};
export const lwtInContext: SkbFamily = { ...family, access: lwtFields, helpers: lwtInHelpers };
export const lwtOutContext: SkbFamily = { ...family, access: lwtFields, helpers: lwtHelpers };
export const lwtXmitContext: SkbFamily = {
  ...family,
  access: lwtFields,
  helpers: lwtXmitHelpers,
  direct: "write",
  bounds: skbBounds(true),
};
export const lwtSeg6Context: SkbFamily = { ...family, access: lwtFields, helpers: lwtSeg6Helpers };
export const streamContext: SkbFamily = {
  ...family,
  access: streamFields,
  helpers: streamHelpers,
  direct: "write",
  bounds: skbBounds(true),
  stream: true,
};

/** What a run's packet is beside its bytes: values of fields of the context, by offset. */
export interface SkbFields {
  readonly values: readonly (readonly [offset: number, value: number])[];
  /** The whole packet's checksum is known, as from a device. */
  readonly summed: boolean;
}

/**
 * Makes the skb of a run for an Ethernet frame of `size` bytes at `from`, as loopback would have received it. False: out
 * of memory.
 */
export function prepareSkb(
  kernel: Kernel,
  { direct, link, stream }: SkbFamily,
  from: number,
  size: number,
  given: SkbFields,
): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const ctx = u32[(run + RUN_CTX) >>> 2]!;
  if (!makeSkb(kernel, size, size)) return false;
  u32[(run + RUN_CTX_SIZE) >>> 2] = __sk_buff.size;
  u32[(run + RUN_PACKET_READ_ONLY) >>> 2] = direct === "write" ? 0 : 1;
  const data = skbWord(kernel, SKB_DATA);
  mem.copy(data, from, size);
  setSkb(kernel, SKB_MAC, data);
  setSkb(kernel, SKB_NETWORK, data + ETH_HLEN);
  setSkb(kernel, SKB_DIRECT, direct === "none" ? 0 : 1);
  setSkb(kernel, SKB_STREAM, stream ? 1 : 0);
  receive(kernel);
  for (const [offset, value] of given.values) setSkb(kernel, offset, value);
  if (given.summed) {
    setSkb(kernel, SKB_SUMMED, CHECKSUM_COMPLETE);
    setSkb(kernel, SKB_CSUM, packetSum(kernel));
  }
  if (!link) moveData(kernel, ETH_HLEN);
  if (!makeSocket(kernel, ctx)) return false;
  showSkb(kernel);
  return true;
}

/** Of everything from the network header on. */
export function packetSum(kernel: Kernel): number {
  const from = skbWord(kernel, SKB_NETWORK);
  const behind = skbWord(kernel, SKB_DATA) + skbLength(kernel) - from;
  return sumOf(kernel.mem, from, behind, 0);
}

/** Puts another socket behind `sk`: a struct bpf_sock. */
export function replaceSocket(kernel: Kernel, given: Uint8Array): void {
  const { mem } = kernel;
  const at = mem.u32[(kernel.run + RUN_CTX) >>> 2]! + SKB_SOCK;
  mem.zero(at, bpf_sock.size);
  mem.u8.set(given.subarray(0, bpf_sock.size), at);
  showSocket(kernel, at);
  // Of the two ports the other's is in network byte order, and in the upper half.
  setSkb(kernel, fields.remote_port.offset, mem.view.getUint16(at + sock.dst_port.offset, true) << 16);
  setSkb(kernel, fields.local_port.offset, mem.u32[(at + sock.src_port.offset) >>> 2]!);
}

/** A frame without Ethernet header gets an empty one. False: out of memory. */
export function addLinkHeader(kernel: Kernel): boolean {
  if (!haveRoom(kernel, ETH_HLEN, 0)) return false;
  moveData(kernel, -ETH_HLEN);
  kernel.mem.zero(skbWord(kernel, SKB_DATA), ETH_HLEN);
  return true;
}

/** The socket behind `sk`: a closed one between the packet's addresses, as the kernel makes it for a test run. */
function makeSocket(kernel: Kernel, ctx: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const at = ctx + SKB_SOCK;
  const network = skbWord(kernel, SKB_NETWORK);
  const protocol = protocolOf(kernel);
  mem.zero(at, bpf_sock.size);
  u32[(at + sock.state.offset) >>> 2] = TCP_CLOSE;
  u32[(at + sock.rx_queue_mapping.offset) >>> 2] = NO_INDEX;
  if (protocol === ETH_P_IP) {
    u32[(at + sock.family.offset) >>> 2] = AF_INET;
    mem.copy(at + sock.src_ip4.offset, network + 12, 4);
    mem.copy(at + sock.dst_ip4.offset, network + 16, 4);
  } else if (protocol === ETH_P_IPV6) {
    u32[(at + sock.family.offset) >>> 2] = AF_INET6;
    mem.copy(at + sock.src_ip6.offset, network + 8, 16);
    mem.copy(at + sock.dst_ip6.offset, network + 24, 16);
  }
  setSkb(kernel, fields.sk.offset, at);
  showSocket(kernel, at);
  return hold(mem, run, HELD_READABLE, 0, at, bpf_sock.size);
}

/** The context's own fields of the socket. */
function showSocket(kernel: Kernel, at: number): void {
  const { mem } = kernel;
  const ctx = mem.u32[(kernel.run + RUN_CTX) >>> 2]!;
  mem.copy(ctx + fields.family.offset, at + sock.family.offset, 4);
  mem.copy(ctx + fields.remote_ip4.offset, at + sock.dst_ip4.offset, 4);
  mem.copy(ctx + fields.local_ip4.offset, at + sock.src_ip4.offset, 4);
  mem.copy(ctx + fields.remote_ip6.offset, at + sock.dst_ip6.offset, 16);
  mem.copy(ctx + fields.local_ip6.offset, at + sock.src_ip6.offset, 16);
}
