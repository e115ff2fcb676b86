/**
 * Sockets that programs see: the one of the packet, and those of the run's network that they look up, which they have to
 * release. Kernel counterpart: net/core/filter.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { type NetSocket, socketFor } from "../kern/network.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import {
  findHeld,
  HELD_BYTES,
  HELD_OBJECT,
  HELD_SOCKET,
  hold,
  letGo,
  RUN_CURRENT,
  RUN_RESULT_HIGH,
} from "../kern/run_record.ts";
import { noteEvent } from "../kern/scene.ts";
import { alloc, free } from "../mem/alloc.ts";
import {
  AF_INET,
  AF_INET6,
  BPF_FUNC_get_listener_sock,
  BPF_FUNC_get_socket_cookie,
  BPF_FUNC_get_socket_uid,
  BPF_FUNC_sk_assign,
  BPF_FUNC_sk_fullsock,
  BPF_FUNC_sk_lookup_tcp,
  BPF_FUNC_sk_lookup_udp,
  BPF_FUNC_sk_release,
  BPF_FUNC_skc_lookup_tcp,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_SK_LOOKUP_F_NO_REUSEPORT,
  BPF_SK_LOOKUP_F_REPLACE,
  bpf_sock,
  bpf_sock_tuple,
  EINVAL,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { swap16 } from "./skb_headers.ts";
import type { Helper, HelperFn } from "./types.ts";

const { fields: sock } = bpf_sock;
const { ipv4, ipv6 } = bpf_sock_tuple.fields;
const CURRENT_NETNS = 0xffff_ffff;
const INT_MAX = 0x7fff_ffff;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const TCP_ESTABLISHED = 1;
const TCP_CLOSE = 7;
const TCP_LISTEN = 10;
const NO_QUEUE = 0xffff_ffff;

function lookUp(protocol: "tcp" | "udp"): HelperFn {
  return (kernel, _ctx, tuple, size, netns, netnsHigh, flags, flagsHigh) => {
    const version = size >>> 0 === ipv4.size ? ipv4 : size >>> 0 === ipv6.size ? ipv6 : undefined;
    if (version === undefined || (flags | flagsHigh) !== 0) return 0;
    // Ids of other namespaces mean nothing here; who asks for the current one says -1.
    const current = netns >>> 0 === CURRENT_NETNS && netnsHigh >>> 0 === CURRENT_NETNS;
    if (!current && (netns >>> 0 > INT_MAX || netnsHigh !== 0 || netns !== 0)) return 0;
    const { u8, view } = kernel.mem;
    const { saddr, daddr, sport, dport } = version.fields;
    const part = ({ offset, size: n }: { readonly offset: number; readonly size: number }): Uint8Array =>
      u8.slice((tuple >>> 0) + offset, (tuple >>> 0) + offset + n);
    const port = ({ offset }: { readonly offset: number }): number => view.getUint16((tuple >>> 0) + offset);
    const { network } = kernel.scene;
    const index = socketFor(network, protocol, part(daddr), port(dport), part(saddr), port(sport));
    return index < 0 ? 0 : show(kernel, network.sockets[index]!, index);
  };
}

/** A struct bpf_sock of the socket, which the run holds until it is released. 0: out of memory. */
function show(kernel: Kernel, socket: NetSocket, index: number): number {
  const { mem, run } = kernel;
  const at = alloc(mem, bpf_sock.size);
  if (at === 0) return 0;
  mem.zero(at, bpf_sock.size);
  const { u32, u8 } = mem;
  const put = (field: { readonly offset: number }, value: number): void => {
    u32[(at + field.offset) >>> 2] = value;
  };
  const v4 = socket.local.length === 4;
  const tcp = socket.protocol === "tcp";
  put(sock.family, v4 ? AF_INET : AF_INET6);
  put(sock.type, tcp ? SOCK_STREAM : SOCK_DGRAM);
  put(sock.protocol, tcp ? IPPROTO_TCP : IPPROTO_UDP);
  put(sock.mark, socket.mark);
  put(sock.src_port, socket.localPort);
  // In network byte order, unlike the other.
  put(sock.dst_port, swap16(socket.remotePort ?? 0));
  u8.set(socket.local, at + (v4 ? sock.src_ip4 : sock.src_ip6).offset);
  if (socket.remote !== undefined) u8.set(socket.remote, at + (v4 ? sock.dst_ip4 : sock.dst_ip6).offset);
  put(sock.state, socket.remote !== undefined ? TCP_ESTABLISHED : tcp ? TCP_LISTEN : TCP_CLOSE);
  put(sock.rx_queue_mapping, NO_QUEUE);
  if (hold(mem, run, HELD_SOCKET, index, at, bpf_sock.size)) return at;
  free(mem, at, bpf_sock.size);
  return 0;
}

function release(kernel: Kernel, socket: number): number {
  const { mem, run } = kernel;
  const entry = findHeld(mem, run, HELD_SOCKET, socket >>> 0);
  const bytes = mem.u32[(entry + HELD_BYTES) >>> 2]!;
  letGo(mem, run, entry);
  free(mem, socket >>> 0, bytes);
  return 0;
}

/** All sockets here are full ones. */
function fullSock(_kernel: Kernel, socket: number): number {
  return socket;
}

function listener(kernel: Kernel, socket: number): number {
  return kernel.mem.u32[((socket >>> 0) + sock.state.offset) >>> 2] === TCP_LISTEN ? socket : 0;
}

/** The packet's own socket is the first that anybody asks for. */
function cookie(kernel: Kernel): number {
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  return 1;
}

/** It belongs to root. */
function uid(): number {
  return 0;
}

/**
 * Which socket gets the packet. Only one that is in a table can: the packet's own is not. A test run of the kernel's is
 * no ingress (-EOPNOTSUPP for all); here the packet counts as one that came in. sk_lookup programs may take it back.
 */
function assign(kernel: Kernel, _ctx: number, socket: number, flags: number, flagsHigh: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const type = u32[(u32[(run + RUN_CURRENT) >>> 2]! + PROG_TYPE) >>> 2]!;
  const known = type === BPF_PROG_TYPE_SK_LOOKUP ? BPF_SK_LOOKUP_F_REPLACE | BPF_SK_LOOKUP_F_NO_REUSEPORT : 0;
  if ((flags & ~known) !== 0 || flagsHigh !== 0) return -EINVAL;
  if (socket === 0) {
    if (known === 0) return -EINVAL;
    noteEvent(kernel.scene, { kind: "sk_assign", socket: undefined });
    return 0;
  }
  const entry = findHeld(mem, run, HELD_SOCKET, socket >>> 0);
  if (entry === 0) return -EOPNOTSUPP;
  noteEvent(kernel.scene, { kind: "sk_assign", socket: u32[(entry + HELD_OBJECT) >>> 2]! });
  return 0;
}

const lookupArgs = ["ctx", "mem", "size", "u64", "u64"] as const;

export const socketHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_sk_lookup_tcp]: {
    name: "bpf_sk_lookup_tcp",
    since: "4.20",
    gplOnly: false,
    args: lookupArgs,
    result: "pointer",
    fn: lookUp("tcp"),
  },
  [BPF_FUNC_skc_lookup_tcp]: {
    name: "bpf_skc_lookup_tcp",
    since: "5.2",
    gplOnly: false,
    args: lookupArgs,
    result: "pointer",
    fn: lookUp("tcp"),
  },
  [BPF_FUNC_sk_lookup_udp]: {
    name: "bpf_sk_lookup_udp",
    since: "4.20",
    gplOnly: false,
    args: lookupArgs,
    result: "pointer",
    fn: lookUp("udp"),
  },
  [BPF_FUNC_sk_release]: {
    name: "bpf_sk_release",
    since: "4.20",
    gplOnly: false,
    args: ["lookedUp"],
    result: "errno",
    fn: release,
  },
  [BPF_FUNC_sk_fullsock]: {
    name: "bpf_sk_fullsock",
    since: "5.1",
    gplOnly: false,
    args: ["socket"],
    result: "pointer",
    fn: fullSock,
  },
  [BPF_FUNC_get_listener_sock]: {
    name: "bpf_get_listener_sock",
    since: "5.1",
    gplOnly: false,
    args: ["socket"],
    result: "pointer",
    fn: listener,
  },
  [BPF_FUNC_sk_assign]: {
    name: "bpf_sk_assign",
    since: "5.7",
    gplOnly: false,
    args: ["ctx", "socketOrNull", "u64"],
    result: "errno",
    fn: assign,
  },
  [BPF_FUNC_get_socket_cookie]: {
    name: "bpf_get_socket_cookie",
    since: "4.12",
    gplOnly: false,
    args: ["ctx"],
    result: "u64",
    fn: cookie,
  },
  [BPF_FUNC_get_socket_uid]: {
    name: "bpf_get_socket_uid",
    since: "4.12",
    gplOnly: false,
    args: ["ctx"],
    result: "u32",
    fn: uid,
  },
};
