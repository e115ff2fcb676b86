/**
 * Helpers that make room between an skb's headers, and take it away: tunnels, IPv4 in place of IPv6, VLAN tags. Kernel
 * counterpart: net/core/filter.c, net/core/skbuff.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  __sk_buff,
  BPF_ADJ_ROOM_ENCAP_L2_MASK,
  BPF_ADJ_ROOM_MAC,
  BPF_ADJ_ROOM_NET,
  BPF_F_ADJ_ROOM_DECAP_L3_IPV4,
  BPF_F_ADJ_ROOM_DECAP_L3_IPV6,
  BPF_F_ADJ_ROOM_ENCAP_L2_ETH,
  BPF_F_ADJ_ROOM_ENCAP_L3_IPV4,
  BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
  BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
  BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
  BPF_F_ADJ_ROOM_FIXED_GSO,
  BPF_F_ADJ_ROOM_NO_CSUM_RESET,
  BPF_FUNC_skb_adjust_room,
  BPF_FUNC_skb_change_proto,
  BPF_FUNC_skb_vlan_pop,
  BPF_FUNC_skb_vlan_push,
  EALREADY,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTSUPP,
} from "../uapi/index.ts";
import { clearHash } from "./skb.ts";
import {
  haveRoom,
  moveData,
  pullTo,
  SKB_DATA,
  SKB_ENCAPSULATED,
  SKB_LENGTH_MAX,
  SKB_MAC,
  SKB_NETWORK,
  SKB_STREAM,
  SKB_TRANSPORT,
  setSkb,
  showSkb,
  skbLength,
  skbWord,
} from "./skb_buffer.ts";
import { resetChecksum, sumWith, sumWithout } from "./skb_csum.ts";
import {
  ETH_HLEN,
  ETH_P_8021Q,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_PROTO,
  IPV4_HEADER,
  IPV6_HEADER,
  isVlan,
  measureLink,
  protocolAt,
  protocolOf,
  setProtocol,
  swap16,
  VLAN_HLEN,
} from "./skb_headers.ts";
import type { Helper } from "./types.ts";

const { fields } = __sk_buff;
const ROOM_MAX = 0xfff;
const ENCAP_L3 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
const ENCAP_L4 = BPF_F_ADJ_ROOM_ENCAP_L4_GRE | BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
const ENCAP = ENCAP_L3 | ENCAP_L4 | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
const DECAP = BPF_F_ADJ_ROOM_DECAP_L3_IPV4 | BPF_F_ADJ_ROOM_DECAP_L3_IPV6;
const ROOM_FLAGS = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | ENCAP | DECAP;
/** The upper byte of the flags is the length of the inner packet's link header. */
const L2_SHIFT_HIGH = 24;

function headerOf(protocol: number): number {
  return protocol === ETH_P_IP ? IPV4_HEADER : IPV6_HEADER;
}

/** Makes room of zeros `offset` bytes behind the packet's beginning; the headers in front of it move. */
function openRoom(kernel: Kernel, offset: number, size: number): number {
  // The headers that move are written, so they are linear.
  if (!haveRoom(kernel, size, 0) || offset > skbLength(kernel)) return -ENOMEM;
  const { mem } = kernel;
  const old = skbWord(kernel, SKB_DATA);
  moveData(kernel, -size);
  mem.copy(old - size, old, offset);
  mem.zero(old - size + offset, size);
  moveHeaders(kernel, -size);
  return 0;
}

/** Takes `size` bytes away at `offset`. */
function closeRoom(kernel: Kernel, offset: number, size: number): number {
  if (!pullTo(kernel, offset + size)) return -ENOMEM;
  const old = skbWord(kernel, SKB_DATA);
  sumWithout(kernel, old + offset, size);
  kernel.mem.copy(old + size, old, offset);
  moveData(kernel, size);
  moveHeaders(kernel, size);
  return 0;
}

/** The transport header goes along where it is not told apart from the network header. */
function moveHeaders(kernel: Kernel, by: number): void {
  const network = skbWord(kernel, SKB_NETWORK);
  if (skbWord(kernel, SKB_TRANSPORT) === network) setSkb(kernel, SKB_TRANSPORT, network + by);
  setSkb(kernel, SKB_NETWORK, network + by);
  setSkb(kernel, SKB_MAC, skbWord(kernel, SKB_MAC) + by);
}

function adjustRoom(
  kernel: Kernel,
  _ctx: number,
  diff: number,
  mode: number,
  flags: number,
  flagsHigh: number,
): number {
  const by = diff | 0;
  if (skbWord(kernel, SKB_STREAM) !== 0) return adjustStream(kernel, by, mode, flags | flagsHigh);
  const l2 = flagsHigh >>> L2_SHIFT_HIGH;
  if ((flags & ~ROOM_FLAGS) !== 0 || (flagsHigh & ~(BPF_ADJ_ROOM_ENCAP_L2_MASK << L2_SHIFT_HIGH)) !== 0) return -EINVAL;
  if (Math.abs(by) > ROOM_MAX) return -EFAULT;
  const protocol = protocolOf(kernel);
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return -ENOTSUPP;
  if (mode !== BPF_ADJ_ROOM_NET && mode !== BPF_ADJ_ROOM_MAC) return -ENOTSUPP;
  const decap = flags & DECAP;
  if (decap !== 0 && (by >= 0 || decap === DECAP)) return -EINVAL;
  const inner = decap === 0 ? protocol : decap === BPF_F_ADJ_ROOM_DECAP_L3_IPV4 ? ETH_P_IP : ETH_P_IPV6;
  const link = skbWord(kernel, SKB_NETWORK) - skbWord(kernel, SKB_MAC);
  const offset = link + (mode === BPF_ADJ_ROOM_NET ? headerOf(protocol) : 0);
  const ret = by < 0 ? shrink(kernel, offset, -by, inner, flags, l2) : grow(kernel, offset, by, flags, l2);
  if (ret === 0 && (flags & BPF_F_ADJ_ROOM_NO_CSUM_RESET) === 0) resetChecksum(kernel);
  showSkb(kernel);
  return ret;
}

/** Segments of a kind that a test run cannot say are not resized. */
function segmented(kernel: Kernel): boolean {
  return skbWord(kernel, fields.gso_size.offset) !== 0;
}

/** An IP header must be left, that of the inner packet. */
function shrink(kernel: Kernel, offset: number, by: number, inner: number, flags: number, l2: number): number {
  const behind = skbLength(kernel) - (skbWord(kernel, SKB_NETWORK) - skbWord(kernel, SKB_DATA));
  if (by >= behind || behind - by < headerOf(inner)) return -ENOTSUPP;
  if ((flags & ENCAP) !== 0 || l2 !== 0) return -EINVAL;
  if (segmented(kernel)) return -ENOTSUPP;
  const ret = closeRoom(kernel, offset, by);
  if (ret === 0) setProtocol(kernel, inner);
  return ret;
}

function grow(kernel: Kernel, offset: number, by: number, flags: number, l2: number): number {
  if (segmented(kernel) || skbLength(kernel) + by > SKB_LENGTH_MAX) return -ENOTSUPP;
  const encap = (flags & ENCAP_L3) !== 0;
  if (encap) {
    if ((flags & ENCAP_L3) === ENCAP_L3 || (flags & ENCAP_L4) === ENCAP_L4) return -EINVAL;
    if (skbWord(kernel, SKB_ENCAPSULATED) !== 0) return -EALREADY;
    if (l2 > by) return -EINVAL;
    if ((flags & BPF_F_ADJ_ROOM_ENCAP_L2_ETH) !== 0 && l2 < ETH_HLEN) return -EINVAL;
  }
  const ret = openRoom(kernel, offset, by);
  if (ret !== 0 || !encap) return ret;
  setSkb(kernel, SKB_ENCAPSULATED, 1);
  if ((flags & BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) !== 0) setProtocol(kernel, ETH_P_IP);
  else if ((flags & BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) !== 0) setProtocol(kernel, ETH_P_IPV6);
  // Of a tunnel without a transport header nobody says where one would be.
  if ((flags & ENCAP_L4) !== 0) {
    setSkb(kernel, SKB_TRANSPORT, skbWord(kernel, SKB_NETWORK) + headerOf(protocolOf(kernel)));
  }
  return 0;
}

/** Programs of sockets open and close room at the packet's beginning. */
function adjustStream(kernel: Kernel, by: number, mode: number, flags: number): number {
  if (flags !== 0) return -EINVAL;
  if (Math.abs(by) > ROOM_MAX) return -EFAULT;
  if (mode !== BPF_ADJ_ROOM_NET && mode !== BPF_ADJ_ROOM_MAC) return -ENOTSUPP;
  const length = skbLength(kernel);
  if (by < 0 ? -by >= length : length + by > SKB_LENGTH_MAX) return -ENOTSUPP;
  if (by < 0 ? !pullTo(kernel, -by) : !haveRoom(kernel, by, 0)) return -ENOMEM;
  moveData(kernel, -by);
  if (by > 0) kernel.mem.zero(skbWord(kernel, SKB_DATA), by);
  showSkb(kernel);
  return 0;
}

/** Between IPv4 and IPv6, by the difference of their headers; the program writes the header itself. */
function changeProto(kernel: Kernel, _ctx: number, proto: number, flags: number, flagsHigh: number): number {
  if ((flags | flagsHigh) !== 0) return -EINVAL;
  const from = protocolOf(kernel);
  const to = swap16(proto);
  const known = (from === ETH_P_IP && to === ETH_P_IPV6) || (from === ETH_P_IPV6 && to === ETH_P_IP);
  if (!known) return -ENOTSUPP;
  const by = IPV6_HEADER - IPV4_HEADER;
  const offset = skbWord(kernel, SKB_NETWORK) - skbWord(kernel, SKB_MAC);
  const ret = to === ETH_P_IPV6 ? openRoom(kernel, offset, by) : closeRoom(kernel, offset, by);
  if (ret === 0) {
    setProtocol(kernel, to);
    clearHash(kernel);
  }
  showSkb(kernel);
  return ret;
}

function tagIs(kernel: Kernel): boolean {
  return skbWord(kernel, fields.vlan_present.offset) !== 0;
}

/** The tag beside the packet. Without protocol and number there is none. */
function setTag(kernel: Kernel, protocol: number, tci: number): void {
  setSkb(kernel, fields.vlan_present.offset, (protocol | tci) === 0 ? 0 : 1);
  setSkb(kernel, fields.vlan_proto.offset, swap16(protocol));
  setSkb(kernel, fields.vlan_tci.offset, tci);
}

/** A tag that the skb has already goes into the packet, the new one stands beside it. */
function vlanPush(kernel: Kernel, _ctx: number, proto: number, tci: number): number {
  const given = swap16(proto);
  const protocol = isVlan(given) && (proto & ~0xffff) === 0 ? given : ETH_P_8021Q;
  if (tagIs(kernel)) {
    const ret = insertTag(kernel);
    if (ret !== 0) return ret;
  }
  setTag(kernel, protocol, tci & 0xffff);
  showSkb(kernel);
  return 0;
}

function insertTag(kernel: Kernel): number {
  const { mem } = kernel;
  if (skbWord(kernel, SKB_DATA) !== skbWord(kernel, SKB_MAC)) return -EINVAL;
  if (!haveRoom(kernel, VLAN_HLEN, 0)) return -ENOMEM;
  const protocol = skbWord(kernel, fields.vlan_proto.offset);
  const old = skbWord(kernel, SKB_DATA);
  const data = old - VLAN_HLEN;
  moveData(kernel, -VLAN_HLEN);
  mem.copy(data, old, ETH_PROTO);
  mem.view.setUint16(data + ETH_PROTO, protocol, true);
  mem.view.setUint16(data + ETH_HLEN, skbWord(kernel, fields.vlan_tci.offset));
  setSkb(kernel, fields.protocol.offset, protocol);
  setSkb(kernel, SKB_MAC, data);
  setSkb(kernel, SKB_NETWORK, skbWord(kernel, SKB_NETWORK) - VLAN_HLEN);
  sumWith(kernel, data + ETH_PROTO, VLAN_HLEN);
  return 0;
}

/** The tag beside the packet goes; one that stands in the packet takes its place. */
function vlanPop(kernel: Kernel): number {
  const had = tagIs(kernel);
  setTag(kernel, 0, 0);
  if (!had) {
    const tci = removeTag(kernel);
    if (tci < 0) return tci === NO_TAG ? 0 : tci;
  }
  const protocol = protocolOf(kernel);
  const next = removeTag(kernel);
  if (next >= 0) setTag(kernel, protocol, next);
  showSkb(kernel);
  return next >= 0 || next === NO_TAG ? 0 : next;
}

const NO_TAG = -0x10000;

/** Takes the tag out of the packet. Returns its TCI, NO_TAG where there is none, or an errno. */
function removeTag(kernel: Kernel): number {
  const { mem } = kernel;
  if (!isVlan(protocolOf(kernel))) return NO_TAG;
  const old = skbWord(kernel, SKB_DATA);
  if (old !== skbWord(kernel, SKB_MAC)) return -EINVAL;
  if (!pullTo(kernel, ETH_HLEN + VLAN_HLEN)) return -ENOMEM;
  sumWithout(kernel, old + ETH_PROTO, VLAN_HLEN);
  const tci = mem.view.getUint16(old + ETH_HLEN);
  mem.copy(old + VLAN_HLEN, old, ETH_PROTO);
  moveData(kernel, VLAN_HLEN);
  const data = old + VLAN_HLEN;
  setSkb(kernel, SKB_MAC, data);
  setProtocol(kernel, protocolAt(kernel, data + ETH_PROTO));
  if (skbWord(kernel, SKB_NETWORK) - data < ETH_HLEN) setSkb(kernel, SKB_NETWORK, data + ETH_HLEN);
  measureLink(kernel);
  showSkb(kernel);
  return tci;
}

export const skbRoomHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_skb_adjust_room]: {
    name: "bpf_skb_adjust_room",
    since: "4.13",
    gplOnly: false,
    args: ["ctx", "u32", "u32", "u64"],
    result: "errno",
    fn: adjustRoom,
  },
  [BPF_FUNC_skb_change_proto]: {
    name: "bpf_skb_change_proto",
    since: "4.8",
    gplOnly: false,
    args: ["ctx", "u32", "u64"],
    result: "errno",
    fn: changeProto,
  },
  [BPF_FUNC_skb_vlan_push]: {
    name: "bpf_skb_vlan_push",
    since: "4.3",
    gplOnly: false,
    args: ["ctx", "u32", "u32"],
    result: "errno",
    fn: vlanPush,
  },
  [BPF_FUNC_skb_vlan_pop]: {
    name: "bpf_skb_vlan_pop",
    since: "4.3",
    gplOnly: false,
    args: ["ctx"],
    result: "errno",
    fn: vlanPop,
  },
};
