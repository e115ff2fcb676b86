import { EmbeddedBpfHost } from "../../src/index.ts";
import { BPF_F_TEST_XDP_LIVE_FRAMES } from "../../src/uapi/index.ts";
import { type CaseScene, type ProgramCase, put } from "./cases.ts";
import { address, ethernet, IPIP, type Ipv4, ipv4, tcp, u16, udp } from "./packets.ts";

const ip: Ipv4 = { from: "198.51.100.7", to: "192.0.2.80" };
const little = (bytes: readonly number[]): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);
const vip = { address: little(address(ip.to)), port: little(u16(80)), protocol: 6 };
const server = "10.1.0.5";
const request = tcp(ip, 4000, 80, [1, 2, 3]);
const ABORTED = 0;
const DROP = 1;
const PASS = 2;
const TX = 3;
const REDIRECT = 4;
const outcomes = (...n: readonly number[]): readonly bigint[] => [0, 1, 2, 3, 4].map((i) => BigInt(n[i] ?? 0));
const wrapped = ethernet(0x0800, ipv4({ from: "10.0.0.1", to: server }, IPIP, request));
// Without an identification, from here to the next hop.
wrapped.set([2, 0, 0, 0, 0, 0x22, 2, 0, 0, 0, 0, 0x11], 0);
wrapped.set([0, 0], 18);
wrapped.set([0, 0], 24);
wrapped.set(u16(headerSum(wrapped)), 24);

function headerSum(packet: Uint8Array): number {
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += (packet[i]! << 8) | packet[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function servers(scene: CaseScene): void {
  put(scene, "vips", vip, { count: 1, address: [little(address(server)), 0, 0, 0, 0, 0, 0, 0] });
}

/** Where the routes lead, on hosts that can be told. */
function network(scene: CaseScene): void {
  servers(scene);
  if (!(scene.host instanceof EmbeddedBpfHost)) return;
  scene.host.setNetwork({
    devices: [
      { ifindex: 1, mtu: 65536 },
      { ifindex: 5, mtu: 1400, mac: "02:00:00:00:00:11" },
    ],
    routes: [
      { to: "10.0.0.0/8", type: "unreachable" },
      { to: "10.1.0.0/16", ifindex: 5, via: "10.0.0.2" },
    ],
    neighbours: [{ address: "10.0.0.2", ifindex: 5, mac: "02:00:00:00:00:22" }],
    sockets: [
      { protocol: "tcp", local: "0.0.0.0:80" },
      { protocol: "tcp", local: "192.0.2.80:81", remote: "198.51.100.7:4000" },
      { protocol: "udp", local: "0.0.0.0:82" },
    ],
  });
}

export const cases: readonly ProgramCase[] = [
  {
    name: "what is for nobody here passes, and without routes nothing is sent",
    program: "balance",
    kernel: "run",
    before: servers,
    runs: [
      { data: ethernet(0x0800, tcp(ip, 4000, 81)) },
      { data: ethernet(0x86dd, request) },
      { data: ethernet(0x0800, udp(ip, 4000, 80)) },
    ],
    expect: { retval: PASS, maps: { outcomes: outcomes(3) } },
  },
  {
    name: "requests go through a tunnel to a server, each flow to the same",
    program: "balance",
    kernel: "load",
    why: "the machine's own routes are not ours to change",
    before: network,
    runs: [{ data: ethernet(0x0800, request) }, { data: ethernet(0x0800, request), repeat: 1 }],
    expect: {
      retval: REDIRECT,
      data: wrapped,
      maps: {
        outcomes: outcomes(0, 0, 0, 0, 2),
        flows: [
          [
            { source: little(address(ip.from)), destination: vip.address, ports: [little(u16(4000)), vip.port] },
            little(address(server)),
          ],
        ],
      },
    },
  },
  {
    name: "too long for the way there",
    program: "balance",
    kernel: "load",
    why: "the machine's own routes are not ours to change",
    before: network,
    runs: [
      { data: ethernet(0x0800, tcp(ip, 4000, 80, new Array<number>(1340).fill(0))) },
      { data: ethernet(0x0800, tcp(ip, 4000, 80, new Array<number>(1341).fill(0))) },
    ],
    expect: { retval: [REDIRECT, DROP], maps: { outcomes: outcomes(0, 0, 0, 1, 1) } },
  },
  {
    name: "sockets are looked up and released",
    program: "keep_local",
    kernel: "load",
    why: "the machine's own sockets are not ours to change",
    before: network,
    runs: [80, 81, 82].map((port) => ({ data: ethernet(0x0800, tcp(ip, 4000, port)) })),
    expect: { retval: [PASS, TX, DROP] },
  },
  {
    name: "live frames: the results are those of no run",
    program: "balance",
    kernel: "load",
    why: "the kernel would hand the frames to the machine's own stack",
    before: network,
    runs: [{ data: ethernet(0x0800, request), flags: BPF_F_TEST_XDP_LIVE_FRAMES, repeat: 3 }],
    expect: { retval: ABORTED, data: ethernet(0x0800, request), maps: { outcomes: outcomes(0, 0, 0, 0, 3) } },
  },
];
