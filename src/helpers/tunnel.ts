/** Keys of tunnels: with what a packet came, and with what it is to go. Kernel counterpart: net/core/filter.c. */
import type { Kernel } from "../kern/kernel.ts";
import type { TunnelKey } from "../kern/network.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  BPF_F_DONT_FRAGMENT,
  BPF_F_NO_TUNNEL_KEY,
  BPF_F_SEQ_NUMBER,
  BPF_F_TUNINFO_FLAGS,
  BPF_F_TUNINFO_IPV6,
  BPF_F_ZERO_CSUM_TX,
  BPF_FUNC_skb_get_tunnel_key,
  BPF_FUNC_skb_set_tunnel_key,
  bpf_tunnel_key,
  EINVAL,
  EPROTO,
} from "../uapi/index.ts";
import { SKB_TUNNEL, setSkb, skbWord } from "./skb_buffer.ts";
import type { Helper } from "./types.ts";

const { fields, size: SIZE } = bpf_tunnel_key;
/** The struct has grown; as long as it was once it is still taken. The shortest has no room for IPv6. */
const IPV4_SIZE = 8;
const SIZES: readonly number[] = [
  IPV4_SIZE,
  fields.tunnel_ext.offset,
  fields.tunnel_label.offset,
  fields.local_ipv6.offset,
  SIZE,
];
const SET_FLAGS =
  BPF_F_TUNINFO_IPV6 | BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT | BPF_F_SEQ_NUMBER | BPF_F_NO_TUNNEL_KEY;
const GET_FLAGS = BPF_F_TUNINFO_IPV6 | BPF_F_TUNINFO_FLAGS;
const TUNNEL_CSUM = 0x1;
const TUNNEL_KEY = 0x4;
const TUNNEL_SEQ = 0x8;
const TUNNEL_DONT_FRAGMENT = 0x100;
const TUNNEL_NOCACHE = 0x2000;
const IPV6_BYTES = 16;

function tunnelFlags(flags: number): number {
  return (
    TUNNEL_NOCACHE |
    (flags & BPF_F_ZERO_CSUM_TX ? 0 : TUNNEL_CSUM) |
    (flags & BPF_F_NO_TUNNEL_KEY ? 0 : TUNNEL_KEY) |
    (flags & BPF_F_DONT_FRAGMENT ? TUNNEL_DONT_FRAGMENT : 0) |
    (flags & BPF_F_SEQ_NUMBER ? TUNNEL_SEQ : 0)
  );
}

function setKey(kernel: Kernel, _ctx: number, from: number, size: number, flags: number, flagsHigh: number): number {
  const length = size >>> 0;
  if ((flags & ~SET_FLAGS) !== 0 || flagsHigh !== 0 || !SIZES.includes(length)) return -EINVAL;
  const bytes = new Uint8Array(SIZE);
  bytes.set(kernel.mem.u8.subarray(from >>> 0, (from >>> 0) + length));
  const view = new DataView(bytes.buffer);
  const six = (flags & BPF_F_TUNINFO_IPV6) !== 0;
  const label = view.getUint32(fields.tunnel_label.offset, true);
  if ((!six && label !== 0) || view.getUint16(fields.tunnel_ext.offset, true) !== 0) return -EINVAL;
  const { remote_ipv4, local_ipv4, remote_ipv6, local_ipv6 } = fields;
  const address = (v4: { readonly offset: number }, v6: { readonly offset: number }): Uint8Array =>
    six ? bytes.slice(v6.offset, v6.offset + IPV6_BYTES) : bytes.slice(v4.offset, v4.offset + 4).reverse();
  const key: TunnelKey = {
    id: view.getUint32(fields.tunnel_id.offset, true),
    source: address(local_ipv4, local_ipv6),
    destination: address(remote_ipv4, remote_ipv6),
    tos: bytes[fields.tunnel_tos.offset]!,
    ttl: bytes[fields.tunnel_ttl.offset]!,
    label,
    flags: tunnelFlags(flags),
  };
  kernel.scene.tunnel = key;
  setSkb(kernel, SKB_TUNNEL, 1);
  noteEvent(kernel.scene, { kind: "tunnel_key", key });
  return 0;
}

/** Whatever goes wrong, the memory is cleared. */
function getKey(kernel: Kernel, _ctx: number, _to: number, size: number, flags: number, flagsHigh: number): number {
  const { u8 } = kernel.mem;
  const to = _to >>> 0;
  const length = size >>> 0;
  const { scene } = kernel;
  const key = skbWord(kernel, SKB_TUNNEL) === 1 ? scene.tunnel : scene.network.tunnel;
  const errno = key === undefined ? EINVAL : getFailure(key, length, flags, flagsHigh);
  if (errno !== 0) {
    u8.fill(0, to, to + length);
    return -errno;
  }
  u8.set(keyBytes(key!, (flags & BPF_F_TUNINFO_FLAGS) !== 0).subarray(0, length), to);
  return 0;
}

function getFailure(key: TunnelKey, length: number, flags: number, flagsHigh: number): number {
  if ((flags & ~GET_FLAGS) !== 0 || flagsHigh !== 0) return EINVAL;
  const six = key.source.length === IPV6_BYTES;
  if (six !== ((flags & BPF_F_TUNINFO_IPV6) !== 0)) return EPROTO;
  return !SIZES.includes(length) || (six && length === IPV4_SIZE) ? EINVAL : 0;
}

/** struct bpf_tunnel_key: its remote end is where the packet came from. IPv4 addresses are numbers. */
function keyBytes(key: TunnelKey, withFlags: boolean): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  const six = key.source.length === IPV6_BYTES;
  view.setUint32(fields.tunnel_id.offset, key.id, true);
  bytes.set(six ? key.source : key.source.slice().reverse(), fields.remote_ipv4.offset);
  bytes.set(six ? key.destination : key.destination.slice().reverse(), fields.local_ipv4.offset);
  view.setUint8(fields.tunnel_tos.offset, key.tos);
  view.setUint8(fields.tunnel_ttl.offset, key.ttl);
  if (withFlags) view.setUint16(fields.tunnel_flags.offset, key.flags);
  view.setUint32(fields.tunnel_label.offset, six ? key.label : 0, true);
  return bytes;
}

export const tunnelHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_skb_get_tunnel_key]: {
    name: "bpf_skb_get_tunnel_key",
    since: "4.3",
    gplOnly: false,
    args: ["ctx", "memOut", "size", "u64"],
    result: "errno",
    fn: getKey,
  },
  [BPF_FUNC_skb_set_tunnel_key]: {
    name: "bpf_skb_set_tunnel_key",
    since: "4.3",
    gplOnly: false,
    args: ["ctx", "mem", "size", "u64"],
    result: "errno",
    fn: setKey,
  },
};
