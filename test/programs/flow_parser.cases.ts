import { bpf_flow_keys } from "../../src/uapi/index.ts";
import type { ProgramCase } from "./cases.ts";
import { address, ethernet, IPIP, type Ipv4, ipv4, tcp, u16, udp } from "./packets.ts";

const { fields } = bpf_flow_keys;
type Key = keyof typeof fields;
const ip: Ipv4 = { from: "10.0.0.7", to: "192.0.2.80" };
const v6 = Array.from({ length: 32 }, (_, i) => 0x20 + i);
const OK = 0;
const DROP = 2;
const CONTINUE = 129;

/** Flow keys: numbers as the machine has them, bytes as the packet has them. */
function keys(values: Partial<Record<Key, number | readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(bpf_flow_keys.size);
  for (const [name, value] of Object.entries(values)) {
    const { offset, size } = fields[name as Key];
    const parts = typeof value === "number" ? Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255) : value;
    bytes.set(parts, offset);
  }
  return bytes;
}
const flags = (n: number): Uint8Array => keys({ flags: n });
const found = (
  nhoff: number,
  ports: readonly number[],
  more: Partial<Record<Key, number | readonly number[]>> = {},
): Uint8Array =>
  keys({
    nhoff,
    thoff: nhoff + 20,
    addr_proto: 0x0800,
    ip_proto: 6,
    n_proto: [8, 0],
    ipv4_src: address(ip.from),
    ipv4_dst: address(ip.to),
    ...(ports.length === 0 ? {} : { sport: u16(ports[0]!), dport: u16(ports[1]!) }),
    ...more,
  });

const one = (name: string, data: Uint8Array, retval: number, after?: Uint8Array, ctx?: Uint8Array): ProgramCase => ({
  name,
  program: "dissect",
  kernel: "run",
  runs: [{ data, ...(ctx === undefined ? {} : { ctx }) }],
  expect: { retval, ...(after === undefined ? {} : { data: after }) },
});
const ipv6 = (next: number, ...rest: readonly (readonly number[])[]): Uint8Array =>
  ethernet(0x86dd, [0x60, 0x01, 0x02, 0x03, 0, 60, next, 64], v6, ...rest);
const found6 = (more: Partial<Record<Key, number | readonly number[]>>): Uint8Array =>
  keys({
    nhoff: 14,
    thoff: 54,
    addr_proto: 0x86dd,
    n_proto: [0x86, 0xdd],
    ipv6_src: v6.slice(0, 16),
    ipv6_dst: v6.slice(16),
    flow_label: [0, 1, 2, 3],
    ...more,
  });

export const cases: readonly ProgramCase[] = [
  one("TCP over IPv4", ethernet(0x0800, tcp(ip, 1000, 80)), OK, found(14, [1000, 80])),
  one(
    "behind two tags",
    ethernet(0x88a8, u16(7), u16(0x8100), u16(5), u16(0x0800), udp(ip, 53, 54)),
    OK,
    found(22, [53, 54], { ip_proto: 17 }),
  ),
  one(
    "the inner packet of a tunnel",
    ethernet(0x0800, ipv4({ from: "1.2.3.4", to: "5.6.7.8" }, IPIP, tcp(ip, 1, 2))),
    OK,
    found(34, [1, 2], { is_encap: 1 }),
  ),
  one(
    "the outer packet of a tunnel, where that is wanted",
    ethernet(0x0800, ipv4(ip, IPIP, tcp(ip, 1, 2))),
    OK,
    found(14, [], { ip_proto: 0, is_encap: 1, flags: 4 }),
    flags(4),
  ),
  one(
    "a first fragment",
    ethernet(0x0800, tcp({ ...ip, fragment: 0x2000 }, 9, 10)),
    OK,
    found(14, [], { is_frag: 1, is_first_frag: 1 }),
  ),
  one(
    "a first fragment, where its ports are wanted",
    ethernet(0x0800, tcp({ ...ip, fragment: 0x2000 }, 9, 10)),
    OK,
    found(14, [9, 10], { is_frag: 1, is_first_frag: 1, flags: 1 }),
    flags(1),
  ),
  one("a later fragment", ethernet(0x0800, tcp({ ...ip, fragment: 0x0010 }, 9, 10)), OK, found(14, [], { is_frag: 1 })),
  one(
    "IPv6 with a flow label",
    ipv6(6, u16(1000), u16(80), new Array<number>(16).fill(0)),
    OK,
    found6({ ip_proto: 6, sport: u16(1000), dport: u16(80) }),
  ),
  one("IPv6 up to the flow label", ipv6(6, u16(1000), u16(80)), OK, found6({ ip_proto: 6, flags: 2 }), flags(2)),
  one(
    "IPv6 with extension headers",
    ipv6(0, [60, 0, 0, 0, 0, 0, 0, 0], [17, 1, ...new Array<number>(14).fill(0)], u16(7), u16(8)),
    OK,
    found6({ ip_proto: 17, thoff: 78, sport: u16(7), dport: u16(8) }),
  ),
  one("cut off in the ports", ethernet(0x0800, tcp(ip, 1000, 80)).subarray(0, 36), DROP),
  one("cut off in the header", ethernet(0x0800, tcp(ip, 1000, 80)).subarray(0, 30), DROP),
  one(
    "what is left to the kernel",
    ethernet(0x0806, new Array<number>(28).fill(0)),
    CONTINUE,
    keys({ nhoff: 14, thoff: 14, n_proto: [8, 6] }),
  ),
];
