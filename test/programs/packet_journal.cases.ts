import { frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;

function packet(size: number): Uint8Array {
  return frame(size, ...Array.from({ length: Math.min(size, 200) }, (_, i) => i));
}

function entry(length: number, kept: number): Uint8Array {
  const bytes = new Uint8Array(8 + kept);
  new DataView(bytes.buffer).setUint32(0, length, true);
  new DataView(bytes.buffer).setUint32(4, kept, true);
  bytes.set(packet(length).subarray(0, kept), 8);
  return bytes;
}

const started = new Uint8Array(64).fill(0xaa);
started.set(packet(60).subarray(0, 16));

export const cases: readonly ProgramCase[] = [
  {
    name: "records of as many bytes as each packet has",
    program: "record",
    kernel: "run",
    runs: [{ data: packet(14) }, { data: packet(60) }, { data: packet(33) }],
    expect: {
      retval: XDP_PASS,
      maps: { journal: [entry(14, 14), entry(60, 40), entry(33, 33)] },
      globals: { written: 3n, last_error: 0 },
    },
  },
  {
    name: "a packet of several pages, kept across the end of the first",
    program: "record",
    kernel: "run",
    load: { globals: { limit: 3600 } },
    runs: [{ data: frame(3600, 1, 2, 3) }],
    expect: { retval: XDP_PASS, globals: { written: 1n, last_error: 0 } },
  },
  {
    name: "records that are discarded are not seen",
    program: "record",
    kernel: "run",
    load: { globals: { boring: 1 } },
    runs: [{ data: packet(60) }, { data: frame(20, 9, 9) }],
    expect: {
      retval: XDP_PASS,
      maps: { journal: [Uint8Array.of(20, 0, 0, 0, 20, 0, 0, 0, 9, 9, ...new Uint8Array(18))] },
      globals: { written: 1n, passed_over: 1n },
    },
  },
  {
    name: "a full ring, and a record that never fits",
    program: "record",
    kernel: "run",
    load: { globals: { limit: 3000 } },
    runs: [{ data: packet(3000) }, { data: packet(1500) }, { data: packet(60) }],
    expect: { retval: [XDP_PASS, XDP_DROP, XDP_PASS], globals: { written: 2n, full: 1n, last_error: -22 } },
  },
  {
    name: "a pointer into the record, and what is beyond its end",
    program: "record_start",
    kernel: "run",
    runs: [{ data: packet(60) }],
    expect: { retval: XDP_PASS, maps: { journal: [started] }, globals: { last_error: -7 } },
  },
];
