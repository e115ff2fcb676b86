/**
 * Packets made up from a seed, as a busy link has them: many flows of which few send most, sizes of three kinds, TCP, UDP
 * with DNS, ICMP, ARP, IPv6 and VLAN tags, with good lengths and header checksums.
 */
import { randomOf } from "../test/random.ts";

type Random = ReturnType<typeof randomOf>;

const ETHERNET = 14;
const VLAN_TAG = 4;
const IPV4 = 20;
const IPV6 = 40;
const TCP = 20;
const UDP = 8;
const LONGEST = 1514;
const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const FLOWS = 1_500;
const PORTS = [443, 443, 443, 443, 80, 80, 22, 8080, 5432, 53];

interface Flow {
  readonly ipv6: boolean;
  readonly vlan: number;
  readonly protocol: number;
  /** Of the client; of the server: 4 or 16 bytes each. */
  readonly addresses: readonly [Uint8Array, Uint8Array];
  readonly ports: readonly [number, number];
}

function address(ipv6: boolean, net: readonly number[], random: Random): Uint8Array {
  const made = new Uint8Array(ipv6 ? 16 : 4);
  made.set(net);
  for (let i = net.length; i < made.length; i++) made[i] = ipv6 && i < 14 ? 0 : 1 + random(250);
  return made;
}

/** The networks of examples/traffic/networks.json, and others. */
function flow(random: Random): Flow {
  const ipv6 = random(100) < 15;
  const [client, server] = ipv6
    ? [[0x20, 0x01, 0x0d, 0xb8, 0, 1], random(2) === 0 ? [0x20, 0x01, 0x0d, 0xb8, 0, 2] : [0x26, 0x06, 0x47]]
    : [[192, 0, 2], random(2) === 0 ? [198, 51, 100] : [1 + random(220), random(250)]];
  const kind = random(100);
  const protocol = kind < 78 ? PROTOCOL_TCP : kind < 97 || ipv6 ? PROTOCOL_UDP : PROTOCOL_ICMP;
  const port = protocol === PROTOCOL_UDP ? (random(3) === 0 ? 443 : 53) : PORTS[random(PORTS.length)]!;
  return {
    ipv6,
    vlan: random(100) < 5 ? 1 + random(4000) : 0,
    protocol,
    addresses: [address(ipv6, client, random), address(ipv6, server, random)],
    ports: [32_768 + random(28_000), port],
  };
}

/** Most packets are as short as can be or as long as can be. */
function lengthOf(flow: Flow, shortest: number, random: Random): number {
  const kind = random(100);
  if (flow.protocol !== PROTOCOL_TCP) return Math.max(shortest, 64 + random(flow.ports[1] === 443 ? 1_200 : 120));
  if (kind < 45) return Math.max(shortest, 60 + random(20));
  return kind < 60 ? 80 + random(1_300) : LONGEST;
}

function checksum(view: DataView, from: number, length: number): number {
  let sum = 0;
  for (let at = from; at < from + length; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function arp(bytes: Uint8Array, random: Random): number {
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(12, 0x0806);
  bytes.set([0, 1, 8, 0, 6, 4, 0, 1], ETHERNET);
  bytes[ETHERNET + 27] = random(250);
  return 60;
}

/** Writes a packet of the flow, in one of its directions; its length. */
function write(bytes: Uint8Array, of: Flow, random: Random): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { ipv6, vlan, protocol, addresses, ports } = of;
  const ip = ETHERNET + (vlan > 0 ? VLAN_TAG : 0);
  const transport = ip + (ipv6 ? IPV6 : IPV4);
  const header = protocol === PROTOCOL_TCP ? TCP : UDP;
  const length = lengthOf(of, transport + header, random);
  const to = random(100) < 60 ? 0 : 1;
  view.setUint16(12, vlan > 0 ? 0x8100 : ipv6 ? 0x86dd : 0x0800);
  if (vlan > 0) view.setUint16(14, vlan);
  if (vlan > 0) view.setUint16(16, ipv6 ? 0x86dd : 0x0800);
  if (ipv6) {
    bytes[ip] = 0x60;
    view.setUint16(ip + 4, length - transport);
    bytes.set([protocol, 64], ip + 6);
    bytes.set(addresses[to]!, ip + 8);
    bytes.set(addresses[1 - to]!, ip + 24);
  } else {
    bytes[ip] = 0x45;
    view.setUint16(ip + 2, length - ip);
    view.setUint16(ip + 4, random(0x10000));
    bytes.set([64, protocol], ip + 8);
    bytes.set(addresses[to]!, ip + 12);
    bytes.set(addresses[1 - to]!, ip + 16);
    view.setUint16(ip + 10, checksum(view, ip, IPV4));
  }
  if (protocol === PROTOCOL_ICMP) {
    bytes[transport] = 8;
    return length;
  }
  view.setUint16(transport, ports[to]!);
  view.setUint16(transport + 2, ports[1 - to]!);
  if (protocol === PROTOCOL_UDP) view.setUint16(transport + 4, length - transport);
  else bytes.set([0x50, 0x10], transport + 12);
  return length;
}

/** So many packets, the same for the same seed. */
export function makeCapture(count: number, seed: number): readonly Uint8Array[] {
  const random = randomOf(seed);
  const flows = Array.from({ length: FLOWS }, () => flow(random));
  return Array.from({ length: count }, () => {
    const bytes = new Uint8Array(LONGEST);
    bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    // The third power: a twentieth of the flows sends a third of the packets.
    const place = Math.floor(FLOWS * (random(1_000_000) / 1_000_000) ** 3);
    return bytes.slice(0, random(500) === 0 ? arp(bytes, random) : write(bytes, flows[place]!, random));
  });
}
