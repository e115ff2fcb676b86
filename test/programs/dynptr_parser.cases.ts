import { frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;
const XDP_TX = 3;

/** UDP in IPv4 with `options` words of options, to this port. */
function udp(size: number, port: number, options = 0): Uint8Array {
  const packet = frame(size, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45 + options);
  packet[23] = 17;
  packet.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  const at = 34 + options * 4;
  packet.set([0x12, 0x34, port >> 8, port & 0xff], at);
  for (let i = at + 8; i < size; i++) packet[i] = i;
  return packet;
}

function answer(request: Uint8Array, options = 0): Uint8Array {
  const packet = request.slice();
  packet.set(request.subarray(6, 12), 0);
  packet.set(request.subarray(0, 6), 6);
  packet.set(request.subarray(30, 34), 26);
  packet.set(request.subarray(26, 30), 30);
  const at = 34 + options * 4;
  packet.set(request.subarray(at + 2, at + 4), at);
  packet.set(request.subarray(at, at + 2), at + 2);
  return packet;
}

const ramp = frame(60, ...Array.from({ length: 60 }, (_, i) => i));
const shrunk = ramp.slice(0, 40);
shrunk.fill(0, 36);

export const cases: readonly ProgramCase[] = [
  {
    name: "echo: answered in place",
    program: "echo",
    kernel: "run",
    runs: [{ data: udp(70, 7) }],
    expect: { retval: XDP_TX, data: answer(udp(70, 7)), globals: { echoed: 1n } },
  },
  {
    name: "echo: behind options",
    program: "echo",
    kernel: "run",
    runs: [{ data: udp(100, 7, 5) }],
    expect: { retval: XDP_TX, data: answer(udp(100, 7, 5), 5), globals: { echoed: 1n } },
  },
  {
    name: "echo: a packet of several pages",
    program: "echo",
    kernel: "run",
    runs: [{ data: udp(9000, 7) }],
    expect: { retval: XDP_TX, data: answer(udp(9000, 7)), globals: { echoed: 1n } },
  },
  {
    name: "echo: too short, another port, another protocol",
    program: "echo",
    kernel: "run",
    runs: [{ data: udp(41, 7) }, { data: udp(90, 7, 10).subarray(0, 60) }, { data: udp(70, 9) }, { data: frame(60) }],
    expect: {
      retval: [XDP_DROP, XDP_DROP, XDP_PASS, XDP_PASS],
      globals: { too_short: 2n, not_udp: 1n, echoed: 0n },
    },
  },
  {
    name: "shrink: what was cut off since is not there",
    program: "shrink",
    kernel: "run",
    runs: [{ data: ramp }],
    expect: {
      retval: XDP_PASS,
      globals: { says: [-22n, -22n, 0n, 0n, 0n, 40n, 0n, 60n, -22n, -22n, -22n, 0n, -7n, 1n, -22n, -22n] },
    },
  },
];
