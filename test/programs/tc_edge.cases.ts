import { expect } from "vitest";
import { type ProgramCase, put } from "./cases.ts";
import { ethernet, IPIP, ipv4, skb, sumsRight, tcp, u16, word } from "./packets.ts";

const ip = tcp({ from: "10.1.0.1", to: "10.2.0.2" }, 1000, 80, [1, 2, 3, 4]);
const plain = ethernet(0x0800, ip);
const tagged = ethernet(0x8100, u16(0x6123), u16(0x0800), ip);
const twice = ethernet(0x88a8, u16(7), u16(0x8100), u16(0x6123), u16(0x0800), ip);
const OK = 0;
const SHOT = 2;
const UNSPEC = 0xffff_ffff;
const counts = (...n: readonly number[]): readonly bigint[] => [0, 1, 2, 3, 4].map((i) => BigInt(n[i] ?? 0));
/** Of bytes as they lie in memory. */
const little = ([a, b, c, d]: readonly number[]): number =>
  new DataView(Uint8Array.of(a!, b!, c!, d!).buffer).getUint32(0, true);
const tunnel = { from: little([192, 0, 2, 1]), to: little([192, 0, 2, 9]), ttl: 9 };
const wrapped = ethernet(0x0800, ipv4({ from: "192.0.2.1", to: "192.0.2.9", ttl: 9, fragment: 0x4000 }, IPIP, ip));
wrapped.set([0, 0], 18);
wrapped.set([0, 0], 24);
wrapped.set(u16(checkAt(wrapped)), 24);

function checkAt(packet: Uint8Array): number {
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += (packet[i]! << 8) | packet[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export const cases: readonly ProgramCase[] = [
  {
    name: "a tag becomes mark and class",
    program: "untag",
    kernel: "run",
    runs: [{ data: tagged, ctx: skb() }],
    expect: {
      retval: OK,
      data: plain,
      maps: { counts: counts(1) },
      after: (_scene, [result]) => {
        expect([word(result!.ctx, "mark"), word(result!.ctx, "priority")]).toEqual([0x123, 3]);
        expect([0, 4, 8].map((at) => word(result!.ctx, "cb", at))).toEqual([8, plain.length, 3]);
      },
    },
  },
  {
    name: "of two tags the second one stands beside the packet, where nothing of it is seen",
    program: "untag",
    kernel: "run",
    runs: [
      { data: ethernet(0x8100, u16(0x6123), u16(0x8100), u16(0x0005), u16(0x0800), ip), ctx: skb() },
      { data: twice },
      { data: plain },
    ],
    expect: { retval: [OK, SHOT, SHOT], data: plain, maps: { counts: counts(1, 0, 0, 0, 2) } },
  },
  {
    name: "two tags go on, the outer one beside the packet",
    program: "tag",
    kernel: "run",
    runs: [{ data: plain }, { data: plain, ctx: skb({ mark: 0x2_0123 }) }],
    expect: {
      retval: [UNSPEC, OK],
      data: ethernet(0x8100, u16(0x0123), u16(0x0800), ip),
      maps: { counts: counts(0, 1) },
      after: (_scene, results) => {
        expect([0, 4, 8].map((at) => word(results[1]!.ctx, "cb", at))).toEqual([1, 7, 0xa888]);
      },
    },
  },
  {
    name: "a packet goes into a tunnel",
    program: "wrap",
    kernel: "run",
    before: (scene) => put(scene, "tunnels", 5, tunnel),
    runs: [
      { data: plain, ctx: skb({ mark: 4 }) },
      { data: tagged, ctx: skb({ mark: 5 }) },
      { data: plain, ctx: skb({ mark: 5 }) },
    ],
    expect: { retval: [SHOT, SHOT, OK], data: wrapped, maps: { counts: counts(0, 0, 1, 0, 2) } },
  },
  {
    name: "and out of it",
    program: "unwrap",
    kernel: "run",
    runs: [{ data: plain }, { data: wrapped.subarray(0, 50) }, { data: wrapped }],
    expect: {
      retval: [UNSPEC, SHOT, OK],
      data: plain,
      maps: { counts: counts(0, 0, 0, 1, 1) },
      after: (_scene, results) => expect(sumsRight(results[2]!.data!)).toBe(true),
    },
  },
];
