/** An XDP program, that of examples/traffic, over a capture: packets per second. */
import { readFileSync } from "node:fs";
import { fillMaps } from "../src/cli/fill.ts";
import { type BpfHost, PacketList, type Program } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { makeCapture } from "./capture.ts";
import { compiled, INTERPRETER, JIT, KERNEL, type ProgramHost } from "./hosts.ts";
import { cpuNs, measure, ratio, type Side } from "./measure.ts";
import type { ProgramBench } from "./program_bench.ts";
import { formatNs } from "./report.ts";

const TITLE = "An XDP program over a capture";
const PACKETS = 100_000;
/** The interpreter's part of them: it would take most of the time of the whole benchmark. */
const INTERPRETED = 5_000;
const SEED = 2026;
const EXAMPLE = "examples/traffic";
const { test } = u.bpf_attr;
const ATTR_SIZE = test.batch_size.offset + test.batch_size.size;

/** Of all packets, in order. */
interface PacketSide extends Side {
  retvals(): Uint32Array;
}

/** `each` runs one packet, and gives what the program returned. */
function overPackets(name: string, packets: readonly Uint8Array[], each: (packet: Uint8Array) => number): PacketSide {
  return {
    name,
    few: packets.length,
    time: () =>
      cpuNs(() => {
        for (const packet of packets) each(packet);
      }) / packets.length,
    retvals: () => Uint32Array.from(packets, each),
  };
}

/** One call of bpf(2) a packet, with attributes that are made once and nothing that is copied back. */
class KernelPackets {
  readonly #host: BpfHost;
  readonly #address: number;
  readonly #attr: DataView;
  readonly #data: Uint8Array;

  constructor(host: BpfHost, program: Program) {
    const attr = host.user.alloc(ATTR_SIZE);
    const data = host.user.alloc(2048);
    this.#host = host;
    this.#address = Number(attr.address);
    this.#attr = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, ATTR_SIZE);
    this.#data = data.bytes;
    this.#attr.setUint32(test.prog_fd.offset, program.fd, true);
    this.#attr.setBigUint64(test.data_in.offset, data.address, true);
  }

  run(packet: Uint8Array): number {
    this.#data.set(packet);
    this.#attr.setUint32(test.data_size_in.offset, packet.length, true);
    // The last call has left the packet's size there, which would be the room that there is.
    this.#attr.setUint32(test.data_size_out.offset, 0, true);
    const ret = this.#host.bpf(u.BPF_PROG_TEST_RUN, this.#address, ATTR_SIZE);
    if (ret !== 0) throw new Error(`${KERNEL}: PROG_TEST_RUN gave ${ret}`);
    return this.#attr.getUint32(test.retval.offset, true);
  }

  /** Of the last run, as the kernel counts it. */
  duration(): number {
    return this.#attr.getUint32(test.duration.offset, true);
  }
}

const CALLS = "kernel, a call a packet";
const SINGLE = `${JIT}, a call a packet`;

function kernelSides(host: BpfHost, program: Program, packets: readonly Uint8Array[]): PacketSide[] {
  const kernel = new KernelPackets(host, program);
  const calls = overPackets(CALLS, packets, (packet) => kernel.run(packet));
  const time = (): number => {
    let sum = 0;
    for (const packet of packets) {
      kernel.run(packet);
      sum += kernel.duration();
    }
    return sum / packets.length;
  };
  return [{ ...calls, name: KERNEL, time }, calls];
}

function sidesOn({ name, host }: ProgramHost, program: Program, packets: readonly Uint8Array[]): PacketSide[] {
  if (host.kind === "kernel") return kernelSides(host, program, packets);
  const some = name === INTERPRETER ? packets.slice(0, INTERPRETED) : packets;
  const list = PacketList.of(some);
  const time = (): number => cpuNs(() => void program.runMany(list)) / some.length;
  const many: PacketSide = { name, few: some.length, time, retvals: () => program.runMany(list).retvals };
  return name === JIT ? [many, overPackets(SINGLE, some, (data) => program.run({ data }).retval)] : [many];
}

export function benchPackets(bench: ProgramBench): void {
  const { report, hosts } = bench;
  if (!bench.wants(TITLE)) return;
  const packets = makeCapture(PACKETS, SEED);
  const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
  const file = new Uint8Array(readFileSync(`${EXAMPLE}/traffic.bpf.o`));
  const objects = hosts.map(({ host }) => host.loadObject(file, { name: "traffic" }));
  for (const [i, { host }] of hosts.entries()) fillMaps(host, objects[i]!, `${EXAMPLE}/networks.json`);
  for (const [i, on] of hosts.entries()) compiled(on, objects[i]!.program("traffic"));
  const sides = hosts.flatMap((host, i) => sidesOn(host, objects[i]!.program("traffic"), packets));
  const retvals = sides.map((side) => side.retvals());
  for (const [i, own] of retvals.entries()) {
    const at = own.findIndex((retval, packet) => retval !== retvals[0]![packet]);
    if (at >= 0)
      throw new Error(`packet ${at}: ${sides[i]!.name} returns ${own[at]}, ${sides[0]!.name} ${retvals[0]![at]}`);
  }
  report.note(
    `Packets: the program of ${EXAMPLE} over ${PACKETS.toLocaleString("en")} packets, on average of ${(bytes / PACKETS).toFixed(0)} bytes, made from a seed; the interpreter runs the first ${INTERPRETED.toLocaleString("en")} of them. PROG_TEST_RUN takes one packet a call: "${KERNEL}" is the sum of the durations that the kernel counts, each of one run of a program that the call before has driven out of the CPU's caches in part, and with the clock read twice; "${CALLS}" is what the calls take, with nothing copied back. The embedded hosts take all packets by \`runMany\`, "${SINGLE}" by \`run\`. All hosts return the same for each packet.`,
  );
  const rows = measure(sides);
  const base = rows.find((row) => row.name === KERNEL);
  report.table({
    title: TITLE,
    columns: ["", "ns a packet", "middle half", "packets per second", ...(base ? [`x ${KERNEL}`] : [])],
    rows: rows.map((row) => [
      row.name,
      formatNs(row.median),
      `${formatNs(row.low)}..${formatNs(row.high)}`,
      Math.round(1e9 / row.median).toLocaleString("en"),
      ...(base ? [ratio(row, base).toFixed(2)] : []),
    ]),
  });
  for (const object of objects) object.close();
}
