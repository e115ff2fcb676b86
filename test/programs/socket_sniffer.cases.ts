import { expect } from "vitest";
import { type ProgramCase, put } from "./cases.ts";
import { ethernet, type Ipv4, skb, tcp, udp, word } from "./packets.ts";

const ip: Ipv4 = { from: "10.0.0.7", to: "192.0.2.80" };
const wanted = ethernet(0x0800, tcp(ip, 5000, 443, [1, 2, 3]));

export const cases: readonly ProgramCase[] = [
  {
    name: "TCP to a port of interest, as much as is asked for",
    program: "sniff",
    kernel: "run",
    before: (scene) => put(scene, "snap_lengths", 443, 96),
    runs: [
      { data: ethernet(0x0800, tcp(ip, 443, 5000)) },
      { data: ethernet(0x0800, udp(ip, 5000, 443)) },
      { data: ethernet(0x86dd, new Array<number>(60).fill(0)) },
      { data: ethernet(0x0800, tcp({ ...ip, fragment: 3 }, 5000, 443)) },
      { data: wanted, ctx: skb(), repeat: 2 },
    ],
    expect: {
      retval: [0, 0, 0, 0, 96],
      maps: { ports: [[443, { packets: 2n, last_source: 0x0a00_0007, last_word: 0x0102_0304 }]] },
      after: (_scene, results) => expect(word(results[4]!.ctx, "cb")).toBe(443),
    },
  },
  {
    name: "a load behind the end is the end of the program, with 0",
    program: "sniff",
    kernel: "run",
    before: (scene) => put(scene, "snap_lengths", 443, 96),
    runs: [{ data: wanted.subarray(0, 36) }, { data: wanted.subarray(0, 40) }, { data: wanted.subarray(0, 42) }],
    // Of the second one the ports are there, but not the sequence number.
    expect: {
      retval: [0, 0, 96],
      maps: { ports: [[443, { packets: 2n, last_source: 0x0a00_0007, last_word: 0x0102_0304 }]] },
    },
  },
];
