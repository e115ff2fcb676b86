import type { LpmTrieMap } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";
import { address, ethernet, IPIP, type Ipv4, ipv4, u16, udp } from "./packets.ts";

const noRuns = "programs of lwt_seg6local have no PROG_TEST_RUN";
const [OK, DROP, REROUTE] = [0, 2, 128];
const [IP, IP6] = [0x0800, 0x86dd];

const from = (source: string, ttl = 64): Ipv4 => ({ from: source, to: "192.0.2.80", ttl });
const packet = (ip: Ipv4): Uint8Array => ethernet(IP, udp(ip, 1000, 53, [1, 2, 3]));
const little = (bytes: readonly number[]): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);

function keepOut({ object }: CaseScene): void {
  const trie = object.map("unwanted") as LpmTrieMap<number, number>;
  trie.set({ prefixLen: 8, data: little(address("10.0.0.0")) }, 0);
  trie.set({ prefixLen: 24, data: little(address("10.1.2.0")) }, 0);
}

/** Packets come back with a link header that is empty. */
function withoutLink(...bytes: readonly number[]): Uint8Array {
  return Uint8Array.from([...Array<number>(14).fill(0), ...bytes]);
}

const outer: Ipv4 = { from: "10.0.0.1", to: "10.0.0.2" };
const inner = from("203.0.113.9", 17);
/** Its identification is 0, others have 1. */
const outerHeader = (payload: number[]): number[] => {
  const bytes = ipv4(outer, IPIP, payload);
  const sum = (bytes[10]! << 8) + bytes[11]! + 1;
  bytes.splice(4, 2, 0, 0);
  bytes.splice(10, 2, ...u16(sum > 0xffff ? sum - 0xffff : sum));
  return bytes;
};
const routed = (ip: Ipv4): number[] => udp(ip, 1000, 53, [1, 2, 3]);

/** IPv6 with a segment routing header of two segments. */
function segments(left: number, tag: number, type = 4): Uint8Array {
  const list = [1, 2].flatMap((n) => [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), n]);
  const route = [59, 4, type, left, 1, 0, ...u16(tag), ...list];
  const to = list.slice(16 * (left & 1), 16 * (left & 1) + 16);
  const ip = [0x60, 0, 0, 0, ...u16(route.length), 43, 64, ...Array<number>(15).fill(0), 1, ...to];
  return Uint8Array.from([...ip, ...route]);
}
const ipv6 = (bytes: Uint8Array): Uint8Array => ethernet(IP6, [...bytes]);

export const cases: readonly ProgramCase[] = [
  {
    name: "sources that must not come in",
    program: "come_in",
    kernel: "run",
    before: keepOut,
    runs: ["10.9.9.9", "10.1.2.3", "11.0.0.1", "10.1.3.3"].map((source) => ({ data: packet(from(source)) })),
    expect: {
      retval: [DROP, DROP, OK, DROP],
      globals: { refused: 3n },
      maps: {
        unwanted: [
          [{ prefixLen: 8, data: 10 }, 2],
          [{ prefixLen: 24, data: little(address("10.1.2.0")) }, 1],
        ],
      },
    },
  },
  {
    name: "other protocols come in",
    program: "come_in",
    kernel: "run",
    before: keepOut,
    runs: [{ data: ipv6(segments(1, 7)) }],
    expect: { retval: OK, globals: { refused: 0n } },
  },
  {
    name: "what goes out is counted, from the network header on",
    program: "go_out",
    kernel: "run",
    runs: [{ data: packet(from("10.0.0.1")) }, { data: packet(from("10.0.0.2")), repeat: 3 }],
    expect: { retval: OK, maps: { by_realm: [[0, { packets: 4n, bytes: 4n * 31n }]] } },
  },
  {
    name: "into another IPv4 header, with one hop less inside",
    program: "wrap",
    kernel: "run",
    runs: [{ data: packet(inner) }],
    expect: {
      retval: REROUTE,
      data: withoutLink(...outerHeader(routed({ ...inner, ttl: 16 }))),
      globals: { wrapped: 1n },
    },
  },
  {
    name: "the last hop",
    program: "wrap",
    kernel: "run",
    runs: [{ data: packet(from("203.0.113.9", 1)) }],
    expect: { retval: DROP, globals: { wrapped: 0n } },
  },
  {
    name: "what is no IPv4 goes as it is",
    program: "wrap",
    kernel: "run",
    runs: [{ data: ipv6(segments(0, 7)) }],
    expect: { retval: OK, data: withoutLink(...segments(0, 7)), globals: { wrapped: 0n } },
  },
  {
    name: "the next segment of a source route",
    program: "segment",
    kernel: "load",
    why: noRuns,
    runs: [{ data: ipv6(segments(1, 7)) }],
    expect: {
      retval: OK,
      globals: { last_segments: 1n, next_segment: Uint8Array.of(0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 2) },
    },
  },
  {
    name: "another tag, more segments than there are, another kind of route, a header that is cut off, no route",
    program: "segment",
    kernel: "load",
    why: noRuns,
    runs: [
      { data: ipv6(segments(1, 8)) },
      { data: ipv6(segments(2, 7)) },
      { data: ipv6(segments(1, 7, 2)) },
      { data: ipv6(segments(1, 7)).subarray(0, 14 + 40 + 30) },
      { data: packet(inner) },
    ],
    expect: { retval: DROP, globals: { last_segments: 1n } },
  },
];
