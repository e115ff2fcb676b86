import { expect } from "vitest";
import type { AnyMap } from "../../src/index.ts";
import { type CaseScene, frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;
const XDP_TX = 3;
const TCP = 6;
const UDP = 17;
const FORWARDED = 0;
const NEW_FLOW = 1;
const DENIED = 2;
const NO_BACKEND = 3;

interface Ends {
  readonly source: readonly number[];
  readonly target: readonly number[];
  readonly ports: readonly [number, number];
}

/** Ethernet, so many VLAN tags, IPv4 or IPv6 (by the length of the addresses), TCP or UDP. */
function packetOf(protocol: number, { source, target, ports }: Ends, vlans = 0): Uint8Array {
  const packet = frame(100);
  const view = new DataView(packet.buffer);
  let at = 12;
  for (let i = 0; i < vlans; i++, at += 4) view.setUint32(at, 0x8100_0005);
  const v4 = source.length === 4;
  view.setUint16(at, v4 ? 0x0800 : 0x86dd);
  at += 2;
  const header = v4 ? [0x45, 0, 0, 60, 0, 0, 0, 0, 64, protocol, 0, 0] : [0x60, 0, 0, 0, 0, 40, protocol, 64];
  packet.set([...header, ...source, ...target], at);
  if (v4) view.setUint16(at + 10, 0xffff - sumOf(packet, at));
  at += v4 ? 20 : 40;
  view.setUint16(at, ports[0]);
  view.setUint16(at + 2, ports[1]);
  // SYN, with a maximum segment size behind two NOPs.
  if (protocol === TCP) packet.set([0x80, 0x02, 1, 1, 0xab, 0xcd, 0, 0, 1, 1, 2, 4, 5, 0xb4], at + 12);
  return packet;
}

/** Of the 20 bytes of an IPv4 header; 0xffff when its checksum is right. */
function sumOf(packet: Uint8Array, at: number): number {
  const view = new DataView(packet.buffer, packet.byteOffset);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(at + i);
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Fills a map through the codec of its BTF. */
function put(map: AnyMap, key: unknown, value: unknown): void {
  (map as unknown as { set(key: unknown, value: unknown): void }).set(key, value);
}

const words = (address: readonly number[]): number[] => {
  const bytes = new Uint8Array(16);
  bytes.set(address);
  return [...new Uint32Array(bytes.buffer)];
};
const swapped = (port: number): number => ((port & 0xff) << 8) | (port >> 8);

function setUp({ object }: CaseScene): void {
  const services: readonly (readonly [number[], number, number, number, number])[] = [
    [[192, 0, 2, 1], 80, TCP, 4, 3],
    [[192, 0, 2, 2], 53, UDP, 4, 23],
    [[192, 0, 2, 3], 53, UDP, 4, 5],
    [[0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 9], 443, TCP, 6, 3],
  ];
  for (const [address, port, protocol, family, service] of services) {
    put(object.map("services"), { address: { words: words(address) }, port: swapped(port), protocol, family }, service);
  }
  for (const service of [3, 23]) {
    for (let i = 0; i < 16; i++) {
      const mac = Uint8Array.of(2, 0, 0, 0, service, i);
      put(object.map(`backends_${service}`), i, { address: { words: words([10, 0, service, i]) }, mac, weight: 1 });
    }
  }
  put(object.map("acl_23"), { prefixLen: 24, data: { words: words([198, 51, 100]) } }, 1);
}

const web: Ends = { source: [203, 0, 113, 7], target: [192, 0, 2, 1], ports: [40000, 80] };
const web6: Ends = {
  source: [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 1],
  target: [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 9],
  ports: [40001, 443],
};
const name = (address: number[], port = 5353): Ends => ({
  source: address,
  target: [192, 0, 2, 2],
  ports: [port, 53],
});

interface Counters {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Packets of each outcome of a service, on the CPU where runs take place. */
function outcomes({ object }: CaseScene, service: number): number[] {
  const stats = object.map(`stats_${service}`);
  if (stats.type !== "percpu_array") throw new Error(stats.type);
  return [0, 1, 2, 3, 4].map((outcome) => Number((stats.get(outcome)!.get(0) as Counters).packets));
}

export const cases: readonly ProgramCase[] = [
  {
    name: "services by address and port, connections that stay, access lists",
    memory: 16 << 20,
    program: "balance",
    kernel: "run",
    before: setUp,
    runs: [
      { data: packetOf(TCP, web) },
      { data: packetOf(TCP, web, 2) },
      { data: packetOf(TCP, web6, 1) },
      { data: packetOf(UDP, name([198, 51, 100, 9])) },
      { data: packetOf(UDP, name([203, 0, 113, 8])) },
      { data: packetOf(UDP, { ...name([203, 0, 113, 8]), target: [192, 0, 2, 3] }) },
      { data: packetOf(UDP, { ...name([203, 0, 113, 8]), target: [192, 0, 2, 99] }) },
      { data: frame(60) },
      { data: packetOf(TCP, web).subarray(0, 40) },
    ],
    expect: {
      retval: [XDP_TX, XDP_TX, XDP_TX, XDP_DROP, XDP_TX, XDP_DROP, XDP_PASS, XDP_PASS, XDP_PASS],
      globals: { seen: 9n, unknown_service: 1n },
      after: (scene, results) => {
        const [web, dns, empty] = [outcomes(scene, 3), outcomes(scene, 23), outcomes(scene, 5)];
        expect([web[FORWARDED], web[NEW_FLOW]]).toEqual([3, 2]);
        expect([dns[FORWARDED], dns[NEW_FLOW], dns[DENIED]]).toEqual([1, 1, 1]);
        expect(empty[NO_BACKEND]).toBe(1);
        // Both packets of a connection went to one backend, and its checksum was brought up to date.
        const [first, second] = results.map(({ data }) => data!);
        expect(first!.subarray(0, 5)).toEqual(Uint8Array.of(2, 0, 0, 0, 3));
        expect(second!.subarray(0, 12)).toEqual(first!.subarray(0, 12));
        expect(first![22]).toBe(63);
        expect([sumOf(first!, 14), sumOf(second!, 22)]).toEqual([0xffff, 0xffff]);
      },
    },
  },
];
