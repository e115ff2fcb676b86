/**
 * How unit tests of a BPF program look: packets in, return values and maps out, without root and without a kernel. `npm
 * test` runs it; what it covered of traffic.bpf.c is in coverage/traffic.info then (`genhtml coverage/traffic.info`).
 */
import { createEmbedded } from "bpfmaps";
import { bpfCoverage, expectMap } from "bpfmaps/vitest";
import { afterEach, beforeEach, expect, test } from "vitest";

const here = import.meta.dirname;
const XDP_DROP = 1;
const XDP_PASS = 2;

const coverage = bpfCoverage({
  file: "coverage/traffic.info",
  // The object names its source as it was compiled: in this folder.
  source: (name) => name.replace(/^\.\//, `${here}/`),
});

function load() {
  const host = createEmbedded({ seed: 1, clock: "virtual" });
  host.observe(coverage);
  const object = host.loadObject(`${here}/traffic.bpf.o`);
  return { host, object, traffic: object.program("traffic") };
}
let loaded: ReturnType<typeof load>;
beforeEach(() => {
  loaded = load();
});
afterEach(() => loaded.host.close());

/** An IPv4 packet from 192.0.2.1 to 192.0.2.2 with a UDP datagram of 8 bytes to this port. */
function udp(port: number): Uint8Array {
  const packet = new Uint8Array(14 + 20 + 16);
  const view = new DataView(packet.buffer);
  view.setUint16(12, 0x0800);
  packet.set([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17], 14);
  packet.set([192, 0, 2, 1, 192, 0, 2, 2], 26);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  view.setUint16(24, ~(sum + (sum >>> 16)) & 0xffff);
  view.setUint16(34, 40_000);
  view.setUint16(36, port);
  view.setUint16(38, 16);
  return packet;
}

const networkOrder = (port: number): number => ((port & 255) << 8) | (port >> 8);
/** An IPv4 address as the program keeps it: mapped into IPv6. */
const mapped = (...ipv4: number[]): Uint8Array => Uint8Array.of(...new Array<number>(10).fill(0), 255, 255, ...ipv4);

test("a packet that is cut short is dropped, and noted", () => {
  const { traffic, object } = loaded;
  expect(traffic.run({ data: udp(53).subarray(0, 30) }).retval).toBe(XDP_DROP);
  expectMap(object.map("last_rejected")).toHaveSize(1);
  expectMap(object.map("flows")).toBeEmpty();
});

test("packets of a flow are counted together", () => {
  const { traffic, object } = loaded;
  for (let i = 0; i < 3; i++) expect(traffic.run({ data: udp(4000) }).retval).toBe(XDP_PASS);
  const key = {
    source: { bytes: mapped(192, 0, 2, 1) },
    destination: { bytes: mapped(192, 0, 2, 2) },
    source_port: networkOrder(40_000),
    destination_port: networkOrder(4000),
    protocol: 17,
    padding: new Uint8Array(3),
  };
  expectMap(object.map("flows")).toEqual([[key, { packets: 3n, bytes: 150n, first_seen: 0n, last_seen: 0n }]]);
  expectMap(object.map("last_dns")).toBeEmpty();
});

test("the test run covers what it must", () => {
  loaded.traffic.run({ data: udp(53) });
  const [file] = coverage.files();
  const hits = Object.fromEntries(file!.functions.map(({ name, hits: n }) => [name, n]));
  expect(hits.count_flow).toBeGreaterThan(0);
  expect(hits.answer_echo).toBe(0);
});
