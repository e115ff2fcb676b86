import { expect } from "vitest";
import type { ProgramCase } from "./cases.ts";
import { address, ethernet, type Ipv4, skb, sumsRight, tcp, word } from "./packets.ts";

const ip: Ipv4 = { from: "10.0.0.7", to: "192.0.2.80" };
const little = (text: string): number => new DataView(Uint8Array.from(address(text)).buffer).getUint32(0, true);
const meter = (text: string, packets: number, bytes: number): unknown => [
  [0, 0, 0, little(text)],
  { packets: BigInt(packets), bytes: BigInt(bytes) },
];
const packet = (tos = 0): Uint8Array => ethernet(0x0800, tcp({ ...ip, tos }, 5000, 443, new Array<number>(60).fill(7)));
const ipv6 = ethernet(
  0x86dd,
  [0x60, 0, 0, 0, 0, 20, 6, 64],
  Array.from({ length: 32 }, (_, i) => i),
  new Array<number>(20).fill(0),
);
const DENY = 0;
const ALLOW = 1;

export const cases: readonly ProgramCase[] = [
  {
    name: "what comes in is metered by its source; beyond the budget it does not come in",
    program: "in",
    kernel: "run",
    runs: [{ data: packet(), ctx: skb() }, { data: packet() }],
    expect: {
      retval: [ALLOW, DENY],
      maps: { meters: [meter(ip.from, 2, 200)] },
      globals: { spent: 200n },
      after: (_scene, results) => {
        expect([0, 4, 8, 12].map((at) => word(results[0]!.ctx, "cb", at))).toEqual([little(ip.from), 1, 2, 0]);
      },
    },
    load: { globals: { budget: 150n } },
  },
  {
    name: "IPv6 has meters of its own, other protocols are denied",
    program: "in",
    kernel: "run",
    runs: [{ data: ipv6 }, { data: ethernet(0x0806, new Array<number>(40).fill(0)) }],
    expect: { retval: [ALLOW, DENY], globals: { spent: 60n } },
  },
  {
    name: "what goes out beyond the budget is marked and slowed down",
    program: "out",
    kernel: "run",
    runs: [{ data: packet(1) }, { data: packet(1), ctx: skb() }, { data: packet(0), ctx: skb() }],
    expect: {
      retval: [1, 3, 3],
      maps: { meters: [meter(ip.to, 3, 300)] },
      globals: { marked: 1n },
      after: (_scene, results) => {
        expect([0, 1, 2].map((i) => results[i]!.data![15])).toEqual([1, 3, 0]);
        expect(sumsRight(results[1]!.data!)).toBe(true);
        expect(word(results[1]!.ctx, "mark")).toBe(7);
      },
    },
    load: { globals: { budget: 150n } },
  },
];
