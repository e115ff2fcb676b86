import { bpf_sock, sk_reuseport_md } from "../../src/uapi/index.ts";
import type { ProgramCase } from "./cases.ts";
import { u16, u32 } from "./packets.ts";

const why = "programs of sk_reuseport have no PROG_TEST_RUN";
const { fields, size } = sk_reuseport_md;
const UDP = 17;
const TCP = 6;
const [DROP, PASS] = [0, 1];

type Values = Partial<Record<"len" | "ip_protocol" | "bind_inany" | "hash", number>>;

function context(values: Values, migrating = 0n): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  for (const [name, value] of Object.entries({ ip_protocol: UDP, ...values })) {
    view.setUint32(fields[name as keyof Values].offset, value, true);
  }
  view.setBigUint64(fields.migrating_sk.offset, migrating, true);
  return new Uint8Array(view.buffer);
}

/** A datagram from its UDP header on. */
const udp = (...payload: readonly number[]): Uint8Array =>
  Uint8Array.from([...u16(40_000), ...u16(443), ...u16(8 + payload.length), 0, 0, ...payload]);
const long = (version: number, firstOfId: number): Uint8Array =>
  udp(0xc0, ...u32(version), 8, firstOfId, 1, 2, 3, 4, 5, 6, 7);

const sock = new Uint8Array(bpf_sock.size);
new DataView(sock.buffer).setUint32(bpf_sock.fields.src_port.offset, 443, true);

const none = { datagrams: 0n, bytes: 0n, last_hash: 0, port: 0 };
const workers = (which: number, counts: Partial<typeof none>): unknown[] =>
  [0, 1, 2, 3].map((i) => (i === which ? { ...none, port: 443, ...counts } : none));

export const cases: readonly ProgramCase[] = [
  {
    name: "the id of the connection names the worker",
    program: "choose",
    kernel: "load",
    why,
    runs: [7, 3, 255].map((id) => ({ data: long(1, id), ctx: context({ len: 22, hash: 0xcafe_0000 }), sock })),
    expect: {
      retval: PASS,
      maps: { workers: workers(3, { datagrams: 3n, bytes: 66n, last_hash: 0xcafe_0000 }) },
      globals: { short_ones: 0n, strange: 0n },
    },
  },
  {
    name: "where there is no id, the hash does",
    program: "choose",
    kernel: "load",
    why,
    runs: [{ data: udp(0x40, 9, 9), ctx: context({ len: 11, hash: 0x1234_567a }), sock }],
    expect: { retval: PASS, maps: { workers: workers(2, { datagrams: 1n, bytes: 11n, last_hash: 0x1234_567a }) } },
  },
  {
    name: "another version, a head that is cut off, nothing at all, another protocol: nobody gets it",
    program: "choose",
    kernel: "load",
    why,
    runs: [
      { data: long(2, 7), ctx: context({}), sock },
      { data: long(1, 7).subarray(0, 21), ctx: context({}), sock },
      { data: udp(), ctx: context({}), sock },
      { data: udp(0).subarray(0, 7), ctx: context({}), sock },
      { data: long(1, 7), ctx: context({ ip_protocol: TCP }), sock },
    ],
    expect: {
      retval: DROP,
      maps: { workers: workers(-1, {}) },
      globals: { short_ones: 2n, strange: 1n },
    },
  },
  {
    name: "connections move to another listener, unless it listens on any address",
    program: "choose_again",
    kernel: "load",
    why,
    runs: [
      { ctx: context({}) },
      { ctx: context({}, 0xffff_8881_0000_0040n) },
      { ctx: context({ bind_inany: 1 }, 0xffff_8881_0000_0040n) },
    ],
    expect: { retval: [PASS, PASS, DROP], globals: { moved: 1n, dropped_moves: 1n } },
  },
];
