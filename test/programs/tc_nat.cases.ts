import { expect } from "vitest";
import { type CaseScene, type ProgramCase, put } from "./cases.ts";
import { address, ethernet, type Ipv4, skb, sumsRight, TCP, tcp, UDP, u16, udp } from "./packets.ts";

const asked: Ipv4 = { from: "10.0.0.7", to: "192.0.2.80" };
const served: Ipv4 = { from: "10.0.0.7", to: "10.9.9.9" };
const back = ({ from, to }: Ipv4): Ipv4 => ({ from: to, to: from });
const little = (bytes: readonly number[]): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);
const wire = (port: number): number => little(u16(port));
const OK = 0;
const REDIRECT = 7;

function services(scene: CaseScene): void {
  for (const protocol of [TCP, UDP]) {
    put(
      scene,
      "services",
      { address: little(address(asked.to)), port: wire(80), protocol, unused: 0 },
      { address: little(address(served.to)), port: wire(8080), unused: 0 },
    );
  }
}

const payload = Array.from({ length: 33 }, (_, i) => i * 3);
/** What comes of a request, and of its answer. */
const both = (
  name: string,
  make: (ip: Ipv4, source: number, destination: number) => number[],
  summed: boolean,
): readonly ProgramCase[] => [
  {
    name: `${name}: requests go to the backend`,
    program: "to_backend",
    kernel: "run",
    before: services,
    runs: [
      { data: ethernet(0x0800, make(asked, 4242, 81)) },
      { data: ethernet(0x0800, make(asked, 4242, 80)), ctx: skb({ mark: 1 }) },
    ],
    expect: {
      retval: [OK, REDIRECT],
      data: ethernet(0x0800, make(served, 4242, 8080)),
      globals: { rewritten: 1n, failed: 0n },
      after: (_scene, results) => expect(sumsRight(results[1]!.data!)).toBe(summed),
    },
  },
  {
    name: `${name}: answers come from the service`,
    program: "to_client",
    kernel: "run",
    before: (scene) =>
      put(
        scene,
        "flows",
        {
          client: little(address(asked.from)),
          backend: little(address(served.to)),
          client_port: wire(4242),
          backend_port: wire(8080),
        },
        { address: little(address(asked.to)), port: wire(80), protocol: TCP, unused: 0 },
      ),
    runs: [
      { data: ethernet(0x0800, make(back(served), 8081, 4242)) },
      { data: ethernet(0x0800, make(back(served), 8080, 4242)) },
    ],
    expect: {
      retval: OK,
      data: ethernet(0x0800, make(back(asked), 80, 4242)),
      globals: { rewritten: 1n, failed: 0n },
      after: (_scene, results) => expect(sumsRight(results[1]!.data!)).toBe(summed),
    },
  },
];

export const cases: readonly ProgramCase[] = [
  ...both("TCP", (ip, source, destination) => tcp(ip, source, destination, payload), true),
  ...both("UDP", (ip, source, destination) => udp(ip, source, destination, payload), true),
  ...both("UDP without a checksum", (ip, source, destination) => udp(ip, source, destination, payload, false), false),
  {
    name: "fragments and what is cut off stay as they are",
    program: "to_backend",
    kernel: "run",
    before: services,
    runs: [
      { data: ethernet(0x0800, udp({ ...asked, fragment: 1 }, 4242, 80)) },
      { data: ethernet(0x0800, tcp(asked, 4242, 80)).subarray(0, 37) },
      { data: ethernet(0x86dd, new Array<number>(60).fill(0)) },
    ],
    expect: { retval: OK, globals: { rewritten: 0n } },
  },
  {
    name: "a TCP header without room for its checksum",
    program: "to_backend",
    kernel: "run",
    before: services,
    runs: [{ data: ethernet(0x0800, tcp(asked, 4242, 80)).subarray(0, 48) }],
    expect: { retval: 2, globals: { failed: 1n } },
  },
];
