/**
 * Helpers that send packets on. Where to is an event of the run: there are no interfaces here. Kernel counterpart:
 * net/core/filter.c.
 */

import type { Kernel } from "../kern/kernel.ts";
import type { NetDevice } from "../kern/network.ts";
import { RUN_DATA, RUN_DATA_END, RUN_FRAGS_SIZE, RUN_RESULT_HIGH } from "../kern/run_record.ts";
import type { RedirectEvent } from "../kern/scene.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  __sk_buff,
  BPF_F_INGRESS,
  BPF_FUNC_check_mtu,
  BPF_FUNC_clone_redirect,
  BPF_FUNC_get_route_realm,
  BPF_FUNC_redirect,
  BPF_FUNC_redirect_neigh,
  BPF_FUNC_redirect_peer,
  BPF_MTU_CHK_RET_FRAG_NEEDED,
  BPF_MTU_CHK_RET_SEGS_TOOBIG,
  BPF_MTU_CHK_RET_SUCCESS,
  BPF_MTU_CHK_SEGS,
  bpf_redir_neigh,
  EINVAL,
  ENODEV,
  XDP_ABORTED,
  XDP_REDIRECT,
  xdp_md,
} from "../uapi/index.ts";
import { deviceAt, seesXdp } from "./device.ts";
import { SKB_DATA, skbLength, skbWord } from "./skb_buffer.ts";
import { ETH_HLEN } from "./skb_headers.ts";
import type { Helper } from "./types.ts";

/** What a classifier returns to have its packet dropped, or sent where the last redirect said. */
const TC_ACT_SHOT = 2;
const TC_ACT_REDIRECT = 7;

/** The device `ifindex`; the one that the packet came from for 0. */
function device(kernel: Kernel, ifindex: number): NetDevice | undefined {
  const given = ifindex >>> 0;
  const own = seesXdp(kernel) ? xdp_md.fields.ingress_ifindex : __sk_buff.fields.ifindex;
  return deviceAt(kernel, given === 0 ? skbWord(kernel, own.offset) : given);
}

function note(
  kernel: Kernel,
  kind: RedirectEvent["kind"],
  ifindex: number,
  ingress: boolean,
  nextHop?: Uint8Array,
): void {
  noteEvent(kernel.scene, { kind, ifindex: ifindex >>> 0, ingress, nextHop });
}

/** What is wrong is told by the verdict; whether there is such a device only turns out later. */
function redirect(kernel: Kernel, ifindex: number, flags: number, flagsHigh: number): number {
  if (seesXdp(kernel)) {
    if ((flags | flagsHigh) !== 0) return XDP_ABORTED;
    note(kernel, "redirect", ifindex, false);
    return XDP_REDIRECT;
  }
  if ((flags & ~BPF_F_INGRESS) !== 0 || flagsHigh !== 0) return TC_ACT_SHOT;
  note(kernel, "redirect", ifindex, (flags & BPF_F_INGRESS) !== 0);
  return TC_ACT_REDIRECT;
}

function redirectPeer(kernel: Kernel, ifindex: number, flags: number, flagsHigh: number): number {
  if ((flags | flagsHigh) !== 0) return TC_ACT_SHOT;
  note(kernel, "redirect_peer", ifindex, true);
  return TC_ACT_REDIRECT;
}

function redirectNeigh(
  kernel: Kernel,
  ifindex: number,
  params: number,
  size: number,
  flags: number,
  flagsHigh: number,
): number {
  const length = size >>> 0;
  if ((flags | flagsHigh) !== 0 || (length !== 0 && length < bpf_redir_neigh.size)) return TC_ACT_SHOT;
  const nextHop = length === 0 ? undefined : kernel.mem.u8.slice(params >>> 0, (params >>> 0) + bpf_redir_neigh.size);
  note(kernel, "redirect_neigh", ifindex, false, nextHop);
  return TC_ACT_REDIRECT;
}

/** A copy of the packet as it is now goes out; the program goes on with its own. */
function cloneRedirect(kernel: Kernel, _ctx: number, ifindex: number, flags: number, flagsHigh: number): number {
  if ((flags & ~BPF_F_INGRESS) !== 0 || flagsHigh !== 0) return -EINVAL;
  if (!kernel.deviceExists(ifindex >>> 0)) return -EINVAL;
  const data = skbWord(kernel, SKB_DATA);
  noteEvent(kernel.scene, {
    kind: "clone_redirect",
    ifindex: ifindex >>> 0,
    ingress: (flags & BPF_F_INGRESS) !== 0,
    data: kernel.mem.u8.slice(data, data + skbLength(kernel)),
  });
  return 0;
}

function xdpLength({ mem, run }: Kernel): number {
  const { u32 } = mem;
  return u32[(run + RUN_DATA_END) >>> 2]! - u32[(run + RUN_DATA) >>> 2]! + u32[(run + RUN_FRAGS_SIZE) >>> 2]!;
}

/** Whether the packet, or one of the length at `lengthAt`, made `diff` longer, fits; the device's MTU is told there. */
function checkMtu(
  kernel: Kernel,
  _ctx: number,
  ifindex: number,
  lengthAt: number,
  diff: number,
  flags: number,
  flagsHigh: number,
): number {
  const { view } = kernel.mem;
  const xdp = seesXdp(kernel);
  const given = view.getUint32(lengthAt >>> 0, true);
  if ((flags & ~(xdp ? 0 : BPF_MTU_CHK_SEGS)) !== 0 || flagsHigh !== 0) return -EINVAL;
  const segments = flags !== 0;
  if (segments && ((diff | 0) !== 0 || given !== 0)) return -EINVAL;
  const found = device(kernel, ifindex);
  if (found === undefined) return -ENODEV;
  view.setUint32(lengthAt >>> 0, found.mtu, true);
  // The given length is one from the network header on.
  const length = (given !== 0 ? given + ETH_HLEN : xdp ? xdpLength(kernel) : skbLength(kernel)) + (diff | 0);
  const segmented = !xdp && skbWord(kernel, __sk_buff.fields.gso_size.offset) !== 0;
  if (length <= found.mtu + ETH_HLEN) return BPF_MTU_CHK_RET_SUCCESS;
  if (!segmented) return BPF_MTU_CHK_RET_FRAG_NEEDED;
  return segments ? BPF_MTU_CHK_RET_SEGS_TOOBIG : BPF_MTU_CHK_RET_SUCCESS;
}

/** No packet here has come by a route. */
function routeRealm(kernel: Kernel): number {
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  return 0;
}

export const redirectHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_redirect]: {
    name: "bpf_redirect",
    since: "4.4",
    gplOnly: false,
    args: ["u32", "u64"],
    result: "errno",
    fn: redirect,
  },
  [BPF_FUNC_redirect_peer]: {
    name: "bpf_redirect_peer",
    since: "5.10",
    gplOnly: false,
    args: ["u32", "u64"],
    result: "errno",
    fn: redirectPeer,
  },
  [BPF_FUNC_redirect_neigh]: {
    name: "bpf_redirect_neigh",
    since: "5.10",
    gplOnly: false,
    args: ["u32", "memOrNull", "sizeOrZero", "u64"],
    result: "errno",
    fn: redirectNeigh,
  },
  [BPF_FUNC_clone_redirect]: {
    name: "bpf_clone_redirect",
    since: "4.2",
    gplOnly: false,
    args: ["ctx", "u32", "u64"],
    result: "errno",
    fn: cloneRedirect,
  },
  [BPF_FUNC_check_mtu]: {
    name: "bpf_check_mtu",
    since: "5.12",
    gplOnly: true,
    args: ["ctx", "u32", { fixed: 4, write: true }, "u32", "u64"],
    result: "errno",
    fn: checkMtu,
  },
  [BPF_FUNC_get_route_realm]: {
    name: "bpf_get_route_realm",
    since: "4.3",
    gplOnly: false,
    args: ["ctx"],
    result: "u64",
    fn: routeRealm,
  },
};
