/** The network around runs on an embedded host, in the words of `ip`: devices, routes, neighbours, sockets. */
import { InputError } from "../errors.ts";
import {
  MAIN_TABLE,
  type NetDevice,
  type NetNeighbour,
  type NetRoute,
  type NetSocket,
  type Network,
  noNetwork,
  type TunnelKey,
} from "../kern/network.ts";

/** What bpf_fib_lookup, bpf_check_mtu, bpf_clone_redirect, bpf_sk_lookup_* and bpf_skb_get_tunnel_key find. Loopback (1) is always there. */
export interface NetworkOptions {
  readonly devices?: readonly {
    readonly ifindex: number;
    /** Default 1500. */
    readonly mtu?: number;
    /** `"02:00:00:00:00:01"`; default all zero. */
    readonly mac?: string;
    /** Whether packets that come in there are forwarded; default true. */
    readonly forwarding?: boolean;
  }[];
  readonly routes?: readonly {
    /** `"10.1.0.0/16"`, `"2001:db8::/32"`; without a length one address; `"0.0.0.0/0"` for all. */
    readonly to: string;
    /** Default `unicast`; `local`: addresses of this machine. */
    readonly type?: NetRoute["type"];
    /** Which device; needed for unicast routes. */
    readonly ifindex?: number;
    /** The gateway, of either family. Default: who is addressed is a neighbour. */
    readonly via?: string;
    /** Address that packets of this machine's own have (BPF_FIB_LOOKUP_SRC). */
    readonly src?: string;
    /** Default 0. */
    readonly metric?: number;
    /** Default 254, the main table. */
    readonly table?: number;
  }[];
  readonly neighbours?: readonly { readonly address: string; readonly ifindex: number; readonly mac: string }[];
  readonly sockets?: readonly {
    readonly protocol: "tcp" | "udp";
    /** Address and port: `"10.0.0.1:80"`, `"[2001:db8::1]:80"`; `"0.0.0.0:80"` for any address. */
    readonly local: string;
    /** Likewise; default: a TCP socket listens, a UDP socket takes packets from everybody. */
    readonly remote?: string;
    /** Default 0. */
    readonly mark?: number;
  }[];
  /** The tunnel that packets come through (bpf_skb_get_tunnel_key). Default: none. */
  readonly tunnel?: {
    /** Its other end, and this one. */
    readonly from: string;
    readonly to: string;
    /** Default 0, as all that follow. */
    readonly id?: number;
    readonly tos?: number;
    readonly ttl?: number;
    /** The flow label, IPv6 only. */
    readonly label?: number;
    /** TUNNEL_* of Linux: 1 checksum, 4 key, 8 sequence number. */
    readonly flags?: number;
  };
  /** bpf_get_netns_cookie; default 1. */
  readonly cookie?: bigint;
}

const MAC_BYTES = 6;

/** Reads it all. Throws `InputError` that names what is wrong. */
export function networkOf(options: NetworkOptions): Network {
  const devices = (options.devices ?? []).map(
    ({ ifindex, mtu = 1500, mac, forwarding = true }): NetDevice => ({
      ifindex,
      mtu,
      mac: mac === undefined ? new Uint8Array(MAC_BYTES) : macOf(mac),
      forwarding,
    }),
  );
  const given = new Set(devices.map((device) => device.ifindex));
  return {
    devices: [...noNetwork.devices.filter((device) => !given.has(device.ifindex)), ...devices],
    routes: (options.routes ?? []).map(routeOf),
    neighbours: (options.neighbours ?? []).map(
      ({ address, ifindex, mac }): NetNeighbour => ({ address: addressOf(address), ifindex, mac: macOf(mac) }),
    ),
    sockets: (options.sockets ?? []).map(socketOf),
    tunnel: options.tunnel === undefined ? undefined : tunnelOf(options.tunnel),
    cookie: options.cookie ?? noNetwork.cookie,
  };
}

function routeOf(route: NonNullable<NetworkOptions["routes"]>[number]): NetRoute {
  const { to, type = "unicast", ifindex = 0, via, src, metric = 0, table = MAIN_TABLE } = route;
  const [text, length] = to.split("/");
  const destination = addressOf(text!);
  const bits = length === undefined ? destination.length * 8 : Number(length);
  if (!Number.isInteger(bits) || bits < 0 || bits > destination.length * 8) {
    throw new InputError(
      `network: route to ${to}: a prefix of ${length} bits, expected 0 to ${destination.length * 8}`,
    );
  }
  if (type === "unicast" && ifindex === 0) {
    throw new InputError(`network: route to ${to} has no device, expected ifindex`);
  }
  return {
    destination,
    bits,
    table,
    metric,
    type,
    ifindex,
    ...(via === undefined ? {} : { gateway: addressOf(via) }),
    ...(src === undefined ? {} : { source: addressOf(src) }),
  };
}

function socketOf(socket: NonNullable<NetworkOptions["sockets"]>[number]): NetSocket {
  const local = endOf(socket.local);
  const { protocol, mark = 0 } = socket;
  const base: NetSocket = { protocol, mark, local: local.address, localPort: local.port };
  if (socket.remote === undefined) return base;
  const remote = endOf(socket.remote);
  if (remote.address.length !== local.address.length) {
    throw new InputError(`network: socket from ${socket.local} to ${socket.remote}: two families of addresses`);
  }
  return { ...base, remote: remote.address, remotePort: remote.port };
}

function tunnelOf(tunnel: NonNullable<NetworkOptions["tunnel"]>): TunnelKey {
  const { from, to, id = 0, tos = 0, ttl = 0, label = 0, flags = 0 } = tunnel;
  const source = addressOf(from);
  const destination = addressOf(to);
  if (source.length !== destination.length) {
    throw new InputError(`network: tunnel from ${from} to ${to}: two families of addresses`);
  }
  return { id, source, destination, tos, ttl, label, flags };
}

function endOf(text: string): { readonly address: Uint8Array; readonly port: number } {
  const found = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port > 0xffff) {
    throw new InputError(`network: ${JSON.stringify(text)}, expected "address:port" or "[address]:port"`);
  }
  return { address: addressOf(found[1] ?? found[2]!), port };
}

function macOf(text: string): Uint8Array {
  const parts = text.split(":");
  if (parts.length === MAC_BYTES && parts.every((part) => /^[0-9a-f]{2}$/i.test(part))) {
    return Uint8Array.from(parts, (part) => Number.parseInt(part, 16));
  }
  throw new InputError(`network: ${JSON.stringify(text)}, expected a MAC address as "02:00:00:00:00:01"`);
}

/** An IPv4 or IPv6 address (RFC 4291, section 2.2) as 4 or 16 bytes. */
function addressOf(text: string): Uint8Array {
  const bytes = text.includes(":") ? ipv6(text) : ipv4(text);
  if (bytes === undefined) throw new InputError(`network: ${JSON.stringify(text)} is no IPv4 or IPv6 address`);
  return Uint8Array.from(bytes);
}

function ipv4(text: string): number[] | undefined {
  const parts = text.split(".");
  const ok = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  return ok ? parts.map(Number) : undefined;
}

function ipv6(text: string): number[] | undefined {
  const halves = text.split("::").map((half) => groups(half));
  const [front, back] = halves;
  if (halves.length > 2 || front === undefined || (halves.length === 2 && back === undefined)) return undefined;
  const missing = 16 - front.length - (back?.length ?? 0);
  if (halves.length === 1) return missing === 0 ? front : undefined;
  return missing < 2 ? undefined : [...front, ...new Array<number>(missing).fill(0), ...back!];
}

/** Groups of 16 bits; the last may be an IPv4 address. Undefined: one is wrong. */
function groups(text: string): number[] | undefined {
  const bytes: number[] = [];
  for (const group of text === "" ? [] : text.split(":")) {
    const four = group.includes(".") ? ipv4(group) : undefined;
    if (four !== undefined) bytes.push(...four);
    else if (/^[0-9a-f]{1,4}$/i.test(group))
      bytes.push(Number.parseInt(group, 16) >>> 8, Number.parseInt(group, 16) & 255);
    else return undefined;
  }
  return bytes;
}
