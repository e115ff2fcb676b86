/** bpf_fib_lookup: where a packet would go, by the routes and neighbours of the run's network. Linux: net/core/filter.c. */
import type { Kernel } from "../kern/kernel.ts";
import { MAIN_TABLE, type NetRoute, neighbourOf, routeTo } from "../kern/network.ts";
import {
  __sk_buff,
  AF_INET,
  AF_INET6,
  BPF_FIB_LKUP_RET_BLACKHOLE,
  BPF_FIB_LKUP_RET_FRAG_NEEDED,
  BPF_FIB_LKUP_RET_FWD_DISABLED,
  BPF_FIB_LKUP_RET_NO_NEIGH,
  BPF_FIB_LKUP_RET_NO_SRC_ADDR,
  BPF_FIB_LKUP_RET_NOT_FWDED,
  BPF_FIB_LKUP_RET_PROHIBIT,
  BPF_FIB_LKUP_RET_SUCCESS,
  BPF_FIB_LKUP_RET_UNREACHABLE,
  BPF_FIB_LOOKUP_DIRECT,
  BPF_FIB_LOOKUP_MARK,
  BPF_FIB_LOOKUP_OUTPUT,
  BPF_FIB_LOOKUP_SKIP_NEIGH,
  BPF_FIB_LOOKUP_SRC,
  BPF_FIB_LOOKUP_TBID,
  BPF_FUNC_fib_lookup,
  bpf_fib_lookup,
  EAFNOSUPPORT,
  EINVAL,
  ENODEV,
} from "../uapi/index.ts";
import { deviceAt, seesXdp } from "./device.ts";
import { skbLength, skbWord } from "./skb_buffer.ts";
import { ETH_HLEN, VLAN_HLEN } from "./skb_headers.ts";
import type { Helper } from "./types.ts";

const { fields } = bpf_fib_lookup;
const FLAGS =
  BPF_FIB_LOOKUP_DIRECT |
  BPF_FIB_LOOKUP_OUTPUT |
  BPF_FIB_LOOKUP_SKIP_NEIGH |
  BPF_FIB_LOOKUP_TBID |
  BPF_FIB_LOOKUP_SRC |
  BPF_FIB_LOOKUP_MARK;

const refusals: Partial<Readonly<Record<NetRoute["type"], number>>> = {
  blackhole: BPF_FIB_LKUP_RET_BLACKHOLE,
  unreachable: BPF_FIB_LKUP_RET_UNREACHABLE,
  prohibit: BPF_FIB_LKUP_RET_PROHIBIT,
  local: BPF_FIB_LKUP_RET_NOT_FWDED,
};

function lookup(kernel: Kernel, _ctx: number, params: number, size: number, flags: number): number {
  const at = params >>> 0;
  if (size >>> 0 < bpf_fib_lookup.size || (flags & ~FLAGS) !== 0) return -EINVAL;
  const family = kernel.mem.u8[at + fields.family.offset]!;
  if (family !== AF_INET && family !== AF_INET6) return -EAFNOSUPPORT;
  const bytes = family === AF_INET ? 4 : 16;
  const { network } = kernel.scene;
  const { u8, view } = kernel.mem;
  const from = deviceAt(kernel, view.getUint32(at + fields.ifindex.offset, true));
  if (from === undefined) return -ENODEV;
  if (!from.forwarding) return BPF_FIB_LKUP_RET_FWD_DISABLED;
  const address = u8.slice(at + fields.ipv4_dst.offset, at + fields.ipv4_dst.offset + bytes);
  const direct = (flags & BPF_FIB_LOOKUP_DIRECT) !== 0 && (flags & BPF_FIB_LOOKUP_TBID) !== 0;
  const table = direct ? view.getUint32(at + fields.tbid.offset, true) : MAIN_TABLE;
  const output = (flags & BPF_FIB_LOOKUP_OUTPUT) !== 0;
  const route = routeTo(network, address, table, output ? from.ifindex : 0);
  if (route === undefined) return BPF_FIB_LKUP_RET_NOT_FWDED;
  return refusals[route.type] ?? forward(kernel, at, bytes, route, flags);
}

/** Fills the answer in. */
function forward(kernel: Kernel, at: number, bytes: number, route: NetRoute, flags: number): number {
  const { mem, scene } = kernel;
  const { u8, view } = mem;
  const to = deviceAt(kernel, route.ifindex);
  if (to === undefined) return -ENODEV;
  const length = view.getUint16(at + fields.tot_len.offset, true);
  if (length > to.mtu) {
    view.setUint16(at + fields.mtu_result.offset, to.mtu, true);
    return BPF_FIB_LKUP_RET_FRAG_NEEDED;
  }
  if (route.gateway !== undefined) {
    if (route.gateway.length !== bytes) view.setUint8(at + fields.family.offset, AF_INET6);
    u8.set(route.gateway, at + fields.ipv4_dst.offset);
  }
  view.setUint32(at + fields.rt_metric.offset, route.metric, true);
  view.setUint32(at + fields.ifindex.offset, to.ifindex, true);
  if ((flags & BPF_FIB_LOOKUP_SRC) !== 0) {
    if (route.source === undefined) return BPF_FIB_LKUP_RET_NO_SRC_ADDR;
    u8.set(route.source, at + fields.ipv4_src.offset);
  }
  if ((flags & BPF_FIB_LOOKUP_SKIP_NEIGH) === 0) {
    const nextHop = route.gateway ?? u8.slice(at + fields.ipv4_dst.offset, at + fields.ipv4_dst.offset + bytes);
    const neighbour = neighbourOf(scene.network, nextHop, to.ifindex);
    if (neighbour === undefined) return BPF_FIB_LKUP_RET_NO_NEIGH;
    u8.set(neighbour.mac, at + fields.dmac.offset);
    u8.set(to.mac, at + fields.smac.offset);
  }
  view.setUint16(at + fields.h_vlan_proto.offset, 0, true);
  view.setUint16(at + fields.h_vlan_TCI.offset, 0, true);
  view.setUint16(at + fields.mtu_result.offset, to.mtu, true);
  // Who tells no length means the packet's own.
  return length === 0 && !seesXdp(kernel) && tooLong(kernel, to.mtu)
    ? BPF_FIB_LKUP_RET_FRAG_NEEDED
    : BPF_FIB_LKUP_RET_SUCCESS;
}

function tooLong(kernel: Kernel, mtu: number): boolean {
  return skbWord(kernel, __sk_buff.fields.gso_size.offset) === 0 && skbLength(kernel) > mtu + ETH_HLEN + VLAN_HLEN;
}

export const fibHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_fib_lookup]: {
    name: "bpf_fib_lookup",
    since: "4.18",
    gplOnly: true,
    args: ["ctx", "memOut", "size", "u32"],
    result: "errno",
    fn: lookup,
  },
};
