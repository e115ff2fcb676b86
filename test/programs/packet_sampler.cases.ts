import { frame, type ProgramCase } from "./cases.ts";

const XDP_ABORTED = 0;
const XDP_PASS = 2;

const IPV4 = 0;
const IPV6 = 1;
const ARP = 2;
const OTHER = 3;

/** An Ethernet frame with this type, its other bytes counting up. */
export function ethernet(size: number, type: number): Uint8Array {
  const packet = Uint8Array.from(frame(size), (_, i) => i);
  packet.set([type >> 8, type & 255], 12);
  return packet;
}

const ipv4 = ethernet(60, 0x0800);
const ipv6 = ethernet(70, 0x86dd);

function sample(kind: number, packet: Uint8Array): Uint8Array {
  const record = new Uint8Array(40);
  new DataView(record.buffer).setUint32(0, kind, true);
  new DataView(record.buffer).setUint32(4, packet.length, true);
  record.set(packet.subarray(0, 32), 8);
  return record;
}

const counts = (...of: readonly number[]): bigint[] => of.map(BigInt);

export const cases: readonly ProgramCase[] = [
  {
    name: "every second packet of a kind",
    program: "sampler",
    kernel: "run",
    runs: [ipv4, ipv4, ipv4, ipv6, ethernet(64, 0x0806), ethernet(64, 0x0806), ethernet(64, 1)].map((data) => ({
      data,
    })),
    expect: {
      retval: XDP_PASS,
      maps: {
        packets: counts(3, 1, 2, 1),
        samples: [
          sample(IPV4, ipv4),
          sample(IPV4, ipv4),
          sample(IPV6, ipv6),
          sample(ARP, ethernet(64, 0x0806)),
          sample(OTHER, ethernet(64, 1)),
        ],
      },
    },
  },
  {
    name: "a constant that is set before loading switches it off",
    program: "sampler",
    kernel: "run",
    load: { globals: { every: 0 } },
    runs: [{ data: ipv4 }, { data: ipv6 }],
    expect: { retval: XDP_PASS, maps: { packets: counts(1, 1, 0, 0), samples: [] } },
  },
  {
    name: "a packet that is too short for a sample",
    program: "sampler",
    kernel: "run",
    runs: [{ data: ethernet(31, 0x0800) }],
    expect: { retval: XDP_ABORTED, maps: { packets: counts(1, 0, 0, 0), samples: [] } },
  },
  {
    name: "the other program counts only",
    program: "only_count",
    kernel: "run",
    runs: [{ data: ipv4, repeat: 5 }, { data: ethernet(64, 0x1234) }],
    expect: { retval: XDP_PASS, maps: { packets: counts(5, 0, 0, 1), samples: [] } },
  },
];
