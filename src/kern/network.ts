/** The network around the runs of one client: what helpers that look up routes, devices and sockets find. */
import { LOOPBACK } from "./devices.ts";

export interface NetDevice {
  readonly ifindex: number;
  readonly mtu: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  /** Whether packets that came in there are forwarded. */
  readonly forwarding: boolean;
}

export interface NetRoute {
  /** 4 or 16 bytes, and how many bits of them count. */
  readonly destination: Uint8Array;
  readonly bits: number;
  readonly table: number;
  readonly metric: number;
  /** `local`: for this machine itself. */
  readonly type: "unicast" | "local" | "blackhole" | "unreachable" | "prohibit";
  readonly ifindex: number;
  readonly gateway?: Uint8Array;
  /** The address that packets of this machine's own have. */
  readonly source?: Uint8Array;
}

export interface NetNeighbour {
  readonly address: Uint8Array;
  readonly ifindex: number;
  readonly mac: Uint8Array;
}

export interface NetSocket {
  readonly protocol: "tcp" | "udp";
  /** 4 or 16 bytes; all zero: any address. */
  readonly local: Uint8Array;
  readonly localPort: number;
  /** Undefined: the socket is not connected, or listens. */
  readonly remote?: Uint8Array;
  readonly remotePort?: number;
  readonly mark: number;
}

/** What a packet came through a tunnel with, or is to go into one with. */
export interface TunnelKey {
  readonly id: number;
  /** 4 or 16 bytes. Of a packet that came in `source` is the other end. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly tos: number;
  readonly ttl: number;
  /** IPv6 only. */
  readonly label: number;
  /** TUNNEL_* of Linux: 1 checksum, 4 key, 8 sequence number, 0x100 do not fragment, 0x2000 not from a cache. */
  readonly flags: number;
}

export interface Network {
  readonly devices: readonly NetDevice[];
  readonly routes: readonly NetRoute[];
  readonly neighbours: readonly NetNeighbour[];
  readonly sockets: readonly NetSocket[];
  /** What packets come through; undefined: none. */
  readonly tunnel: TunnelKey | undefined;
  /** Of the network namespace. */
  readonly cookie: bigint;
}

export const MAIN_TABLE = 254;

/** Nothing but loopback. */
export const noNetwork: Network = {
  devices: [{ ifindex: LOOPBACK, mtu: 65536, mac: new Uint8Array(6), forwarding: false }],
  routes: [],
  neighbours: [],
  sockets: [],
  tunnel: undefined,
  cookie: 1n,
};

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function covers({ destination, bits }: NetRoute, address: Uint8Array): boolean {
  if (destination.length !== address.length) return false;
  const whole = bits >>> 3;
  for (let i = 0; i < whole; i++) if (destination[i] !== address[i]) return false;
  const mask = (0xff00 >>> (bits & 7)) & 0xff;
  return mask === 0 || ((destination[whole]! ^ address[whole]!) & mask) === 0;
}

/** The longest prefix, of those the smallest metric; over one device only where `ifindex` is not 0. */
export function routeTo(network: Network, address: Uint8Array, table: number, ifindex: number): NetRoute | undefined {
  let best: NetRoute | undefined;
  for (const route of network.routes) {
    if (route.table !== table || (ifindex !== 0 && route.ifindex !== ifindex) || !covers(route, address)) continue;
    const longer = best === undefined || route.bits > best.bits;
    if (longer || (route.bits === best!.bits && route.metric < best!.metric)) best = route;
  }
  return best;
}

export function neighbourOf(network: Network, address: Uint8Array, ifindex: number): NetNeighbour | undefined {
  return network.neighbours.find((each) => each.ifindex === ifindex && sameBytes(each.address, address));
}

/** The socket that a packet from `remote` to `local` belongs to, by its index: a connected one, or one that waits; -1. */
export function socketFor(
  network: Network,
  protocol: "tcp" | "udp",
  local: Uint8Array,
  localPort: number,
  remote: Uint8Array,
  remotePort: number,
): number {
  const there = (socket: NetSocket): boolean => socket.protocol === protocol && socket.localPort === localPort;
  const connected = network.sockets.findIndex(
    (socket) =>
      there(socket) &&
      socket.remote !== undefined &&
      socket.remotePort === remotePort &&
      sameBytes(socket.local, local) &&
      sameBytes(socket.remote, remote),
  );
  if (connected >= 0) return connected;
  const waits = (exact: boolean): number =>
    network.sockets.findIndex(
      (socket) =>
        there(socket) &&
        socket.remote === undefined &&
        socket.local.length === local.length &&
        (exact ? sameBytes(socket.local, local) : socket.local.every((byte) => byte === 0)),
    );
  const exact = waits(true);
  return exact >= 0 ? exact : waits(false);
}
