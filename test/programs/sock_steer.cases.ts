import { bpf_sk_lookup } from "../../src/uapi/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";

const { fields, size } = bpf_sk_lookup;
const TCP = 6;
const UDP = 17;
const SK_DROP = 0;
const SK_PASS = 1;
const AF_INET = 2;
const AF_INET6 = 10;

function arrival(family: number, protocol: number, localPort: number, remotePort: number, remoteIp = 0): Uint8Array {
  const ctx = new DataView(new ArrayBuffer(size));
  ctx.setUint32(fields.family.offset, family, true);
  ctx.setUint32(fields.protocol.offset, protocol, true);
  ctx.setUint32(fields.local_port.offset, localPort, true);
  ctx.setUint16(fields.remote_port.offset, remotePort);
  ctx.setUint32(fields.remote_ip4.offset, remoteIp);
  return new Uint8Array(ctx.buffer);
}

interface Settable {
  set(key: unknown, value: unknown): void;
}

function rules({ object }: CaseScene): void {
  const ranges = object.map("ranges") as unknown as Settable;
  ranges.set(0, { first: 8000, last: 8999, protocol: TCP });
  ranges.set(3, { first: 53, last: 53, protocol: UDP });
  // 10.0.0.0/8: its bytes behind the prefix length.
  (object.map("banned") as unknown as Settable).set({ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) }, 1);
}

export const cases: readonly ProgramCase[] = [
  {
    name: "ranges by protocol, and networks that are turned away",
    program: "steer",
    kernel: "run",
    before: rules,
    runs: [
      { ctx: arrival(AF_INET, TCP, 8000, 40000, 0xc0a80001) },
      { ctx: arrival(AF_INET, TCP, 9000, 40000, 0xc0a80001) },
      { ctx: arrival(AF_INET, UDP, 8000, 1023) },
      { ctx: arrival(AF_INET, UDP, 53, 1, 0x0a010203) },
      { ctx: arrival(AF_INET6, UDP, 53, 1, 0x0a010203) },
      { ctx: arrival(AF_INET6, TCP, 8999, 1), repeat: 5 },
    ],
    expect: {
      retval: [SK_PASS, SK_PASS, SK_DROP, SK_DROP, SK_PASS, SK_PASS],
      ctx: arrival(AF_INET6, TCP, 8999, 1),
      maps: { verdicts: [1n, 7n, 2n] },
    },
  },
];
