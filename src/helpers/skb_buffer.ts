/**
 * The packet of programs that see a struct __sk_buff. One buffer: headroom, the linear part, the rest right behind it,
 * tail room. So pulling bytes into the linear part moves its end and nothing else. What is known beside the context's
 * fields lies behind the context, out of the program's reach. Kernel counterpart: struct sk_buff.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  RUN_CTX,
  RUN_DATA,
  RUN_DATA_END,
  RUN_FRAGS,
  RUN_FRAGS_ROOM,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_END,
} from "../kern/run_record.ts";
import { alloc, free } from "../mem/alloc.ts";
import { __sk_buff } from "../uapi/index.ts";

/** Offsets from the context. The buffer, and where it ends. */
export const SKB_HEAD: number = __sk_buff.size;
const SKB_LIMIT: number = SKB_HEAD + 4;
/** The packet: from SKB_DATA, its linear part up to SKB_TAIL, all of it up to SKB_END. */
export const SKB_DATA: number = SKB_HEAD + 8;
export const SKB_TAIL: number = SKB_HEAD + 12;
export const SKB_END: number = SKB_HEAD + 16;
/** Where the Ethernet header and the network header begin; SKB_TRANSPORT is 0 while nobody has said. */
export const SKB_MAC: number = SKB_HEAD + 20;
export const SKB_NETWORK: number = SKB_HEAD + 24;
export const SKB_TRANSPORT: number = SKB_HEAD + 28;
/** 1: the program sees data, data_end and data_meta. */
export const SKB_DIRECT: number = SKB_HEAD + 32;
/** CHECKSUM_*, the sum of a CHECKSUM_COMPLETE, the level of a CHECKSUM_UNNECESSARY. */
export const SKB_SUMMED: number = SKB_HEAD + 36;
export const SKB_CSUM: number = SKB_HEAD + 40;
export const SKB_CSUM_LEVEL: number = SKB_HEAD + 44;
/** 1: the context's hash is known. */
export const SKB_HASHED: number = SKB_HEAD + 48;
/** 1: a tunnel's headers were put in front. */
export const SKB_ENCAPSULATED: number = SKB_HEAD + 52;
/** 1: programs of sockets, for which some helpers work otherwise. */
export const SKB_STREAM: number = SKB_HEAD + 56;
/** The queue that is stored, while the context shows what was written. */
export const SKB_QUEUE: number = SKB_HEAD + 60;
/** Length of the link header where a helper has measured it, else 0. */
export const SKB_MAC_LEN: number = SKB_HEAD + 64;
/** 1: the run has set the scene's tunnel key. */
export const SKB_TUNNEL: number = SKB_HEAD + 68;
/** Offset from the context of the struct bpf_sock behind `sk`. */
export const SKB_SOCK: number = SKB_HEAD + 72;

export const CHECKSUM_NONE = 0;
export const CHECKSUM_UNNECESSARY = 1;
export const CHECKSUM_COMPLETE = 2;

/** What an skb has in front of its data when it is made, and what lies behind the room of its first page. */
const SKB_HEADROOM = 64;
const BEHIND = 320;
const PAGE = 4096;
/** Bytes of a packet's linear part at most, when it is made. */
export const SKB_LINEAR_MAX: number = PAGE - SKB_HEADROOM - BEHIND;
/** The longest packet that helpers make, unless it is one of segments. */
export const SKB_LENGTH_MAX: number = 4 * PAGE - BEHIND;
/** Spare room of a buffer that is made longer: the next helper needs some too. */
const SPARE = 512;

const PLACES: readonly number[] = [SKB_DATA, SKB_TAIL, SKB_END, SKB_MAC, SKB_NETWORK, SKB_TRANSPORT];

/** A word of the skb's: SKB_*, or a field of the context by its offset. */
export function skbWord(kernel: Kernel, field: number): number {
  const { u32 } = kernel.mem;
  return u32[(u32[(kernel.run + RUN_CTX) >>> 2]! + field) >>> 2]!;
}

export function setSkb(kernel: Kernel, field: number, value: number): void {
  const { u32 } = kernel.mem;
  u32[(u32[(kernel.run + RUN_CTX) >>> 2]! + field) >>> 2] = value;
}

/** Bytes of the packet, and of its linear part. */
export function skbLength(kernel: Kernel): number {
  return skbWord(kernel, SKB_END) - skbWord(kernel, SKB_DATA);
}

export function skbLinear(kernel: Kernel): number {
  return skbWord(kernel, SKB_TAIL) - skbWord(kernel, SKB_DATA);
}

/**
 * Makes the buffer of a packet with `linear` bytes of its `size` in the linear part, at SKB_DATA; the caller fills it.
 * Everything else of the skb is zero. False: out of memory.
 */
export function makeSkb(kernel: Kernel, size: number, linear: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  mem.zero(u32[(run + RUN_CTX) >>> 2]!, SKB_SOCK);
  const head = u32[(run + RUN_PACKET) >>> 2]!;
  const data = head + SKB_HEADROOM;
  setSkb(kernel, SKB_HEAD, head);
  setSkb(kernel, SKB_LIMIT, u32[(run + RUN_PACKET_END) >>> 2]!);
  setSkb(kernel, SKB_DATA, data);
  setSkb(kernel, SKB_END, data);
  if (!haveRoom(kernel, 0, size)) return false;
  const at = skbWord(kernel, SKB_DATA);
  setSkb(kernel, SKB_TAIL, at + linear);
  setSkb(kernel, SKB_END, at + size);
  return true;
}

/** Makes sure of `front` bytes in front of the packet and `behind` bytes behind it; it may move. False: out of memory. */
export function haveRoom(kernel: Kernel, front: number, behind: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const head = skbWord(kernel, SKB_HEAD);
  const data = skbWord(kernel, SKB_DATA);
  const end = skbWord(kernel, SKB_END);
  if (data - head >= front && skbWord(kernel, SKB_LIMIT) - end >= behind) return true;
  const room = Math.ceil((front + end - data + behind + 2 * SPARE) / 8) * 8;
  const made = alloc(mem, room);
  if (made === 0) return false;
  const to = made + front + SPARE;
  mem.copy(to, data, end - data);
  const by = to - data;
  const old = u32[(run + RUN_FRAGS) >>> 2]!;
  const oldRoom = u32[(run + RUN_FRAGS_ROOM) >>> 2]!;
  // A client may die in between: the run record names one whole buffer or none.
  u32[(run + RUN_FRAGS_ROOM) >>> 2] = 0;
  u32[(run + RUN_FRAGS) >>> 2] = made;
  u32[(run + RUN_FRAGS_ROOM) >>> 2] = room;
  if (oldRoom !== 0) free(mem, old, oldRoom);
  setSkb(kernel, SKB_HEAD, made);
  setSkb(kernel, SKB_LIMIT, made + room);
  for (const place of PLACES) {
    const at = skbWord(kernel, place);
    if (at !== 0) setSkb(kernel, place, at + by);
  }
  return true;
}

/** Moves the packet's beginning by so many bytes, to the front where it is negative: there must be room. */
export function moveData(kernel: Kernel, by: number): void {
  const data = skbWord(kernel, SKB_DATA) + by;
  setSkb(kernel, SKB_DATA, data);
  if (skbWord(kernel, SKB_TAIL) < data) setSkb(kernel, SKB_TAIL, data);
}

/** Brings the first `length` bytes into the linear part. False: the packet is shorter. */
export function pullTo(kernel: Kernel, length: number): boolean {
  if (length <= skbLinear(kernel)) return true;
  const data = skbWord(kernel, SKB_DATA);
  if (length > skbWord(kernel, SKB_END) - data) return false;
  setSkb(kernel, SKB_TAIL, data + length);
  showSkb(kernel);
  return true;
}

/** Writes what the program sees of the packet's place into the context and the run record. */
export function showSkb(kernel: Kernel): void {
  const { u32 } = kernel.mem;
  const { run } = kernel;
  const data = skbWord(kernel, SKB_DATA);
  const { fields } = __sk_buff;
  setSkb(kernel, fields.len.offset, skbWord(kernel, SKB_END) - data);
  if (skbWord(kernel, SKB_DIRECT) === 0) return;
  const tail = skbWord(kernel, SKB_TAIL);
  setSkb(kernel, fields.data.offset, data);
  setSkb(kernel, fields.data_end.offset, tail);
  setSkb(kernel, fields.data_meta.offset, data);
  u32[(run + RUN_META) >>> 2] = data;
  u32[(run + RUN_DATA) >>> 2] = data;
  u32[(run + RUN_DATA_END) >>> 2] = tail;
}
