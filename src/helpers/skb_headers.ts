/** What an skb's headers say: protocol and kind of receiver, as the kernel finds them in an Ethernet frame. */
import type { Kernel } from "../kern/kernel.ts";
import { __sk_buff } from "../uapi/index.ts";
import { SKB_DATA, SKB_END, SKB_MAC, SKB_MAC_LEN, SKB_NETWORK, SKB_TAIL, setSkb, skbWord } from "./skb_buffer.ts";

export const ETH_HLEN = 14;
/** Where the protocol stands in an Ethernet header. */
export const ETH_PROTO = 12;
export const VLAN_HLEN = 4;
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_8021Q = 0x8100;
const ETH_P_8021AD = 0x88a8;
/** Below it the field is a length, as in IEEE 802.3. */
export const ETH_P_802_3_MIN = 0x0600;
export const ETH_P_802_3 = 0x0001;
export const ETH_P_802_2 = 0x0004;
export const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;

export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;

const { fields } = __sk_buff;

export function swap16(n: number): number {
  return ((n & 0xff) << 8) | ((n >>> 8) & 0xff);
}

/** True for the protocols of VLAN tags. */
export function isVlan(protocol: number): boolean {
  return protocol === ETH_P_8021Q || protocol === ETH_P_8021AD;
}

/** skb->protocol in host byte order. */
export function protocolOf(kernel: Kernel): number {
  return swap16(skbWord(kernel, fields.protocol.offset));
}

export function setProtocol(kernel: Kernel, protocol: number): void {
  setSkb(kernel, fields.protocol.offset, swap16(protocol));
}

/** The protocol behind any VLAN tags that stand in the packet. */
export function skbProtocol(kernel: Kernel): number {
  let protocol = protocolOf(kernel);
  const { view } = kernel.mem;
  const link = skbWord(kernel, SKB_MAC_LEN);
  // Counted from the data, whatever that is; a known length has the first tag in it.
  let at = skbWord(kernel, SKB_DATA) + (link === 0 ? ETH_HLEN : link - VLAN_HLEN);
  for (; isVlan(protocol); at += VLAN_HLEN) {
    if (at + VLAN_HLEN > skbWord(kernel, SKB_END)) return 0;
    protocol = view.getUint16(at + 2);
  }
  return protocol;
}

/** Notes how long the link header is now. */
export function measureLink(kernel: Kernel): void {
  setSkb(kernel, SKB_MAC_LEN, skbWord(kernel, SKB_NETWORK) - skbWord(kernel, SKB_MAC));
}

/** The protocol that a type field with what follows it means. */
export function protocolAt(kernel: Kernel, at: number): number {
  const { view } = kernel.mem;
  const type = view.getUint16(at);
  if (type >= ETH_P_802_3_MIN) return type;
  // Novell's frames, which have no LLC header, begin like this.
  return at + 4 <= skbWord(kernel, SKB_TAIL) && view.getUint16(at + 2) === 0xffff ? ETH_P_802_3 : ETH_P_802_2;
}

/** Takes an Ethernet frame at SKB_DATA for received by a device whose addresses are zero, as loopback's. */
export function receive(kernel: Kernel): void {
  const { u8 } = kernel.mem;
  const at = skbWord(kernel, SKB_DATA);
  let ours = true;
  for (let i = 0; i < 6; i++) ours &&= u8[at + i] === 0;
  if (!ours) setSkb(kernel, fields.pkt_type.offset, (u8[at]! & 1) === 1 ? PACKET_MULTICAST : PACKET_OTHERHOST);
  setProtocol(kernel, protocolAt(kernel, at + ETH_PROTO));
}
