import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

/** Ethernet and IPv4 headers of a packet that carries `protocol`. */
function ipv4(protocol: number, size: number): Uint8Array {
  const packet = frame(size);
  packet.set([0x08, 0x00, 0x45], 12);
  packet.set([64, protocol], 22);
  return packet;
}

const answered = ipv4(1, 60);
answered[22] = 1;
const XDP_ABORTED = 0;
const XDP_PASS = 2;
const XDP_TX = 3;

const counts = (of: Readonly<Record<number, { packets: bigint; bytes: bigint }>>): unknown[] =>
  Array.from({ length: 256 }, (_, protocol) => of[protocol] ?? { packets: 0n, bytes: 0n });

export const cases: readonly ProgramCase[] = [
  {
    name: "packets are counted by protocol, per CPU",
    program: "dispatch",
    kernel: "run",
    runs: [{ data: ipv4(6, 100) }, { data: ipv4(17, 80) }, { data: ipv4(6, 64) }, { data: answered }],
    expect: {
      retval: [XDP_PASS, XDP_PASS, XDP_PASS, XDP_TX],
      data: answered,
      maps: {
        by_protocol: counts({
          1: { packets: 1n, bytes: 60n },
          6: { packets: 2n, bytes: 164n },
          17: { packets: 1n, bytes: 80n },
        }),
      },
      globals: { not_ipv4: 0n },
    },
  },
  {
    name: "a tail call into an empty slot falls through",
    program: "dispatch",
    kernel: "run",
    runs: [{ data: frame(64), repeat: 3 }],
    expect: { retval: XDP_PASS, globals: { not_ipv4: 3n } },
  },
  {
    name: "33 tail calls and no more",
    program: "chain",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_ABORTED,
      after: ({ object }) => expect(object.globals.get("links")).toBe(34n),
    },
  },
];
