/**
 * What is around the runs of one client and no part of the map subsystem: who runs, memory that programs may probe, and
 * what programs did to the outside. It is the client's own: nobody else looks at it.
 */
import type { RanBy } from "./compiled.ts";
import { type Network, noNetwork, type TunnelKey } from "./network.ts";

/** Who runs: what bpf_get_current_* tell. */
export interface Task {
  readonly pid: number;
  readonly tgid: number;
  readonly uid: number;
  readonly gid: number;
  /** At most 15 bytes count. */
  readonly comm: string;
  /** Ids of its cgroups, from the root's on; the last one is its own. */
  readonly cgroups: readonly bigint[];
  /** What the net_cls controller says of its cgroup. */
  readonly classId: number;
  /** Where its struct task_struct is: programs read what `memory` has there. */
  readonly address: bigint;
  /** Device and inode number of its pid namespace, and what it is called in there. */
  readonly pidNamespace: { readonly dev: bigint; readonly ino: bigint; readonly pid: number; readonly tgid: number };
}

/** Bytes at an address of the kernel's or of user space, for helpers that probe and for typed pointers. */
export interface GivenMemory {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Programs may store through pointers to it; what they left is in `bytes` after the run. */
  readonly writable?: boolean;
}

/** Given memory of the run under way, in linear memory. */
export interface PlacedMemory {
  readonly low: number;
  readonly high: number;
  readonly size: number;
  readonly writable: boolean;
  /** Where it lies. */
  readonly at: number;
}

/** What a program of a cgroup decides about: a sysctl that is read or written. */
export interface Sysctl {
  /** Its path below /proc/sys, such as `net/ipv4/ip_forward`. */
  readonly name: string;
  /** As reading it gives: it ends in a line break. Undefined: it cannot be read. */
  readonly value?: string | Uint8Array;
  /** What is being written, for contexts with `write`. */
  readonly newValue?: string | Uint8Array;
}

/** Where the program was attached, and what the call that it was attached to is about. */
export interface Attachment {
  /** What bpf_get_func_ip and bpf_get_attach_cookie tell. */
  readonly ip: bigint;
  readonly cookie: bigint;
  /** What bpf_get_retval tells and bpf_set_retval changes. */
  retval: number;
  /** Return addresses, innermost first, for bpf_get_stack and bpf_get_stackid. */
  readonly kernelStack: readonly bigint[];
  readonly userStack: readonly bigint[];
  /** What bpf_sysctl_get_* tell and bpf_sysctl_set_new_value changes. */
  sysctl: Sysctl;
}

/** Something that a program did which cannot be seen in maps, packet or context. */
export type RunEvent =
  | RedirectMapEvent
  | RedirectEvent
  | CloneEvent
  | TunnelKeyEvent
  | AssignEvent
  | FrameEvent
  | PrintEvent
  | SignalEvent
  | OverrideEvent
  | SysctlEvent
  | MessageEvent;

/** bpf_trace_printk, bpf_trace_vprintk. */
export interface PrintEvent {
  readonly kind: "printk";
  readonly text: string;
}

/** bpf_send_signal; bpf_send_signal_thread with `thread`. */
export interface SignalEvent {
  readonly kind: "signal";
  readonly signal: number;
  readonly thread: boolean;
}

/** bpf_msg_apply_bytes, bpf_msg_cork_bytes: how many bytes the verdict is for, how many it waits for. */
export interface MessageEvent {
  readonly kind: "msg_apply_bytes" | "msg_cork_bytes";
  readonly bytes: number;
}

/** bpf_override_return: what the probed function returns in place of running. */
export interface OverrideEvent {
  readonly kind: "override_return";
  readonly value: bigint;
}

/** bpf_sysctl_set_new_value: what is written in place of what the system call gave. */
export interface SysctlEvent {
  readonly kind: "sysctl_set_new_value";
  readonly value: string;
}

/** bpf_redirect_map found a target; the packet goes there if the program returns XDP_REDIRECT. */
export interface RedirectMapEvent {
  readonly kind: "redirect_map";
  /** The map's id. */
  readonly map: number;
  readonly key: number;
  readonly flags: number;
}

/** bpf_redirect and its kin: where the packet goes if the program returns the helper's verdict. */
export interface RedirectEvent {
  readonly kind: "redirect" | "redirect_peer" | "redirect_neigh";
  readonly ifindex: number;
  /** Into the device, not out of it. */
  readonly ingress: boolean;
  /** struct bpf_redir_neigh; undefined: by the routes. */
  readonly nextHop: Uint8Array | undefined;
}

/** bpf_clone_redirect: a copy of the packet went there. */
export interface CloneEvent {
  readonly kind: "clone_redirect";
  readonly ifindex: number;
  readonly ingress: boolean;
  readonly data: Uint8Array;
}

/** bpf_skb_set_tunnel_key: what the packet is to be sent into a tunnel with. */
export interface TunnelKeyEvent {
  readonly kind: "tunnel_key";
  readonly key: TunnelKey;
}

/** bpf_sk_assign: which of the network's sockets gets the packet, counted from 0; undefined: none any more. */
export interface AssignEvent {
  readonly kind: "sk_assign";
  readonly socket: number | undefined;
}

/** A live frame after the program: XDP_*, and what is in it. */
export interface FrameEvent {
  readonly kind: "xdp_frame";
  readonly verdict: number;
  readonly data: Uint8Array;
}

/** Where a run was stopped, and why. */
export interface StoppedAt {
  /** Index of the instruction in its program. */
  readonly insn: number;
  /** The instruction: `r0 = *(u8 *)(r1 + 0)`. */
  readonly code: string;
  /** `file:line:column: text`; empty: the program came without line information. */
  readonly source: string;
  /** What it tried, and what lies there. */
  readonly what: string;
  /** What it tried to reach, or gave to a helper; undefined where no address is wrong: a spent budget, a size. */
  readonly address: bigint | undefined;
}

export interface Scene {
  task: Task;
  attachment: Attachment;
  /** Of the run under way. */
  placed: readonly PlacedMemory[];
  /** What an iterator program has written for its element; undefined: none runs. */
  output: Uint8Array[] | undefined;
  /** Of the run under way, or the last one: NO_EVENTS, or a list of its own. */
  events: RunEvent[];
  /** While a batch of packets is run: which packet a run is of, and that of each event. */
  batch: { readonly packet: () => number; readonly packets: number[] } | undefined;
  /** Of the last run, when it was stopped. */
  stopped: StoppedAt | undefined;
  /** What ran the last one. */
  ranBy: RanBy;
  network: Network;
  /** What a program has set last: see SKB_TUNNEL. */
  tunnel: TunnelKey | undefined;
}

export const nobody: Task = {
  pid: 1,
  tgid: 1,
  uid: 0,
  gid: 0,
  comm: "bpfmaps",
  cgroups: [1n],
  classId: 0,
  address: 0xffff_8880_0000_1000n,
  pidNamespace: { dev: 4n, ino: 0xf000_0002n, pid: 1, tgid: 1 },
};

export function nowhere(): Attachment {
  return { ip: 0n, cookie: 0n, retval: 0, kernelStack: [], userStack: [], sysctl: { name: "" } };
}

/** Events of one run that are kept: a program in a loop would fill the memory of the caller. */
const MAX_EVENTS = 10_000;

/** Most runs have none: they share this. */
export const NO_EVENTS = Object.freeze([]) as readonly RunEvent[] as RunEvent[];

/** What a program did; what comes after the first 10,000 is not kept. */
export function noteEvent(scene: Scene, event: RunEvent): void {
  if (scene.events === NO_EVENTS) scene.events = [];
  const { events, batch } = scene;
  if (batch === undefined) {
    if (events.length < MAX_EVENTS) events.push(event);
    return;
  }
  const packet = batch.packet();
  if (batch.packets[events.length - MAX_EVENTS] === packet) return;
  batch.packets.push(packet);
  events.push(event);
}

export function emptyScene(): Scene {
  return {
    task: nobody,
    attachment: nowhere(),
    placed: [],
    output: undefined,
    events: NO_EVENTS,
    batch: undefined,
    stopped: undefined,
    ranBy: { engine: "interp", why: undefined },
    network: noNetwork,
    tunnel: undefined,
  };
}
