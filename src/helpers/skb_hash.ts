/** The hash of a packet's flow: addresses and ports. The kernel's has a secret of the boot in it; ours is the same each time. */
import type { Kernel } from "../kern/kernel.ts";
import { jhash } from "../struct/jhash.ts";
import { SKB_NETWORK, SKB_TAIL, skbWord } from "./skb_buffer.ts";
import { ETH_P_IP, ETH_P_IPV6, IPV4_HEADER, IPV6_HEADER, skbProtocol } from "./skb_headers.ts";

const TCP = 6;
const UDP = 17;

export function hashOf(kernel: Kernel): number {
  const { mem } = kernel;
  const protocol = skbProtocol(kernel);
  const at = skbWord(kernel, SKB_NETWORK);
  const end = skbWord(kernel, SKB_TAIL);
  let hash = protocol;
  if (protocol === ETH_P_IP && at + IPV4_HEADER <= end) {
    hash = jhash(mem, at + 12, 8, hash);
    const fragment = (mem.view.getUint16(at + 6) & 0x3fff) !== 0;
    if (!fragment) hash = portsOf(kernel, mem.u8[at + 9]!, at + (mem.u8[at]! & 15) * 4, end, hash);
  } else if (protocol === ETH_P_IPV6 && at + IPV6_HEADER <= end) {
    hash = jhash(mem, at + 8, 32, hash);
    hash = portsOf(kernel, mem.u8[at + 6]!, at + IPV6_HEADER, end, hash);
  }
  // 0 is a hash that nobody has made.
  return hash >>> 0 || 1;
}

function portsOf(kernel: Kernel, protocol: number, at: number, end: number, hash: number): number {
  const known = (protocol === TCP || protocol === UDP) && at + 4 <= end;
  return known ? jhash(kernel.mem, at, 4, hash + protocol) : hash;
}
