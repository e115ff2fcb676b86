import { frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;
const TCP = 6;
const UDP = 17;
const ACCEPT = 1;
const DROP = 2;

/** Ethernet and IPv4 headers of a packet from 10.0.0.`host`. */
export function from(host: number, protocol: number): Uint8Array {
  const packet = frame(64);
  packet.set([0x08, 0x00, 0x45], 12);
  packet.set([64, protocol, 0, 0, 10, 0, 0, host], 22);
  return packet;
}

/** The address as the program reads it: the packet's bytes as a number of this machine. */
const address = (host: number): number => ((host << 24) | 10) >>> 0;
const all = 0xffff_ffff;
const rule = (host: number, mask: number, protocol: number, verdict: number): object => ({
  address: (address(host) & mask) >>> 0,
  mask,
  protocol,
  verdict,
  unused: 0,
});

/** UDP of host 1 may pass, all else of it not; host 2 may not send TCP. */
export const rules: readonly object[] = [rule(1, all, UDP, ACCEPT), rule(1, all, 0, DROP), rule(2, all, TCP, DROP)];

export const cases: readonly ProgramCase[] = [
  {
    name: "the first rule that fits decides, drops are noted by another program",
    program: "filter",
    kernel: "run",
    load: { globals: { rule_count: 3 } },
    before: ({ object }) => {
      const table = object.map("rules");
      if (table.type === "array") for (const [i, each] of rules.entries()) table.set(i, each);
    },
    runs: [from(1, UDP), from(1, TCP), from(2, UDP), from(2, TCP), from(1, TCP), from(3, TCP)].map((data) => ({
      data,
    })),
    expect: {
      retval: [XDP_PASS, XDP_DROP, XDP_PASS, XDP_DROP, XDP_DROP, XDP_PASS],
      maps: {
        dropped: [
          [address(1), 2n],
          [address(2), 1n],
        ],
      },
      globals: { tried: 1n + 2n + 3n + 3n + 2n + 3n },
    },
  },
  {
    name: "without rules everything passes, what is no IPv4 too",
    program: "filter",
    kernel: "run",
    runs: [{ data: from(1, TCP) }, { data: frame(64) }, { data: frame(20) }],
    expect: { retval: XDP_PASS, maps: { dropped: [] }, globals: { tried: 0n } },
  },
];
