/** Batches of packets. That each does what a run alone does: test/programs/run_many.test.ts. */
import { afterEach, beforeEach, expect, type MockInstance, test, vi } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import {
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_xdp_adjust_head,
  BPF_FUNC_xdp_adjust_tail,
  BpfError,
  createEmbedded,
  type EmbeddedBpfHost,
  InputError,
  type Insn,
  PacketList,
  type Program,
  RunFault,
} from "../index.ts";
import * as asm from "../insn/index.ts";

const { R0, R1, R2, R3, R4, R6 } = asm;

/** Returns byte 12; stores what it returns, plus 1, there. A packet whose byte 13 is 255 makes it read from 7. */
const marker: readonly Insn[] = asm.assemble([
  asm.ldx("u32", R2, R1, 0),
  asm.ldx("u32", R3, R1, 4),
  asm.mov64(R4, R2),
  asm.alu64Imm("add", R4, 14),
  asm.mov64Imm(R0, 99),
  { insn: asm.raw(asm.opcodeOf("jgt", { bits: 64, operand: "reg" }), R4, R3), field: "off", label: "out" },
  asm.ldx("u8", R0, R2, 13),
  { insn: asm.raw(asm.opcodeOf("jne", { bits: 64, operand: "imm" }), R0, 0, 0, 255), field: "off", label: "fine" },
  asm.mov64Imm(R6, 7),
  asm.ldx("u8", R0, R6, 0),
  asm.label("fine"),
  asm.ldx("u8", R0, R2, 12),
  asm.mov64(R3, R0),
  asm.alu64Imm("add", R3, 1),
  asm.stx("u8", R2, R3, 12),
  asm.label("out"),
  asm.exit(),
]);

const packet = (length: number, verdict: number, kind = 0): Uint8Array => {
  const bytes = new Uint8Array(length).fill(3);
  bytes[12] = verdict;
  bytes[13] = kind;
  return bytes;
};
const marked = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === 12 ? byte + 1 : byte));

onEachHost((host) => {
  test("verdicts, packets and counts in columns", () => {
    const program = host.loadProgram({ type: "xdp", name: "marker", insns: [asm.mov64Imm(R0, 2), asm.exit()] });
    const packets = [60, 14, 3000, 13, 64].map((length) => packet(length, 1));
    const { count, retvals, counts, failures, packets: after, engine } = program.runMany(packets, { packets: true });
    expect([count, [...retvals], [...counts]]).toEqual([5, [2, 2, 2, 0, 2], [[2, 4]]]);
    expect(failures.map(({ packet: at, error }) => [at, error.code])).toEqual([[3, "EINVAL"]]);
    expect([...after!]).toEqual(packets.map((each) => (each.length < 14 ? new Uint8Array(0) : each)));
    expect(engine).toBe(host.kind === "kernel" ? "kernel" : "jit");
    expect(program.runMany([])).toMatchObject({ count: 0, packets: undefined, failures: [], events: [] });
    program.close();
    expect(() => program.runMany([])).toThrow(/program `marker` is closed/);
  });
});

let host: EmbeddedBpfHost;
let program: Program;
let batches: MockInstance<EmbeddedHost["runPackets"]>;
beforeEach(() => {
  host = createEmbedded({ memory: 32 << 20, cpus: 4, seed: 1, runBudget: 1000 });
  program = load(marker);
  batches = vi.spyOn(EmbeddedHost.prototype, "runPackets");
});
afterEach(() => {
  vi.restoreAllMocks();
  host.close();
});

const load = (insns: readonly Insn[]): Program =>
  host.loadProgram({ type: "xdp", name: "under_test", insns, license: "GPL" });
/** How many packets the loop has run, call by call. */
const looped = (): number[] =>
  batches.mock.calls.map(([, { first }], i) => {
    const result = batches.mock.results[i]!.value as { readonly next: number } | number;
    return typeof result === "number" ? result : result.next - first;
  });

test("compiled XDP programs go through a loop of WebAssembly", () => {
  const packets = Array.from({ length: 10_000 }, (_, i) => packet(14 + (i % 200), i % 3));
  const { retvals, packets: after, counts, engine } = program.runMany(packets, { packets: true });
  expect(looped().every((n) => n > 0)).toBe(true);
  expect(retvals.join()).toBe(packets.map((each) => each[12]).join());
  expect(Buffer.concat([...after!]).equals(Buffer.concat(packets.map(marked)))).toBe(true);
  expect([...counts]).toEqual([0, 1, 2].map((verdict) => [verdict, Math.ceil((10_000 - verdict) / 3)]));
  expect(engine).toBe("jit");
  const again = program.runMany(PacketList.of(packets));
  expect([again.retvals.join() === retvals.join(), again.packets]).toEqual([true, undefined]);
  // What was given stays as it was.
  expect(packets[0]![12]).toBe(0);
});

test.each([
  ["an array", (packets: readonly Uint8Array[]) => packets],
  ["a list", (packets: readonly Uint8Array[]) => PacketList.of(packets)],
])("a fault ends its own run only: %s", (_, as) => {
  const packets = Array.from({ length: 100 }, (__, i) => packet(60, i, i % 40 === 7 ? 255 : 0));
  const { retvals, failures, count, counts } = program.runMany(as(packets));
  expect([count, failures.map((failure) => failure.packet)]).toEqual([100, [7, 47, 87]]);
  expect([...retvals]).toEqual(packets.map((each, i) => (i % 40 === 7 ? 0 : each[12])));
  expect([counts.get(0), counts.get(7), counts.size]).toEqual([1, undefined, 97]);
  const { error } = failures[0]!;
  expect(error).toBeInstanceOf(RunFault);
  expect((error as RunFault).stopped).toMatchObject({ insn: 9, address: 7n });
  const alone = new RunFaultOf(program, packets[7]!);
  expect([error.message, error.log]).toEqual([alone.message, alone.log]);
  expect(looped()).toEqual([7, 39, 39, 12]);
});

/** What `run` throws. */
class RunFaultOf {
  readonly message: string;
  readonly log: string | undefined;
  constructor(of: Program, data: Uint8Array) {
    try {
      of.run({ data });
      throw new Error("it ran");
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.message = error.message;
      this.log = error.log;
    }
  }
}

test("counts are those of the values returned, however these follow each other", () => {
  // Returns bytes 0 to 3; a packet whose byte 13 is 255 makes it read from 0.
  const teller = load(
    asm.assemble([
      asm.ldx("u32", R2, R1, 0),
      asm.ldx("u32", R3, R1, 4),
      asm.mov64(R4, R2),
      asm.alu64Imm("add", R4, 14),
      asm.mov64Imm(R0, 99),
      asm.jmp("jgt", R4, R3, "out"),
      asm.ldx("u32", R0, R2, 0),
      asm.ldx("u8", R3, R2, 13),
      asm.jmpImm("jne", R3, 255, "out"),
      asm.ldx("u8", R0, R3, 0),
      asm.label("out"),
      asm.exit(),
    ]),
  );
  const values = [
    ...new Array<number>(19).fill(2),
    ...new Array<number>(24).fill(64),
    ...new Array<number>(17).fill(0xffff_ffff),
    ...[2, 2, 2, 2, 2, 2, 2, 1, 2, 0, 63, 64, 2, 0x8000_0000, 1, 100],
    ...Array.from({ length: 100 }, (_, i) => (i * i) % 5),
    ...new Array<number>(9).fill(0),
    ...[3, 3, 3],
  ];
  const fails = (i: number): boolean => i % 50 === 7;
  const list = PacketList.of(
    values.map((value, i) => {
      const bytes = new Uint8Array(20);
      new DataView(bytes.buffer).setUint32(0, value, true);
      bytes[13] = fails(i) ? 255 : 0;
      return bytes;
    }),
  );
  const expected = new Map<number, number>();
  for (const [i, value] of values.entries()) if (!fails(i)) expected.set(value, (expected.get(value) ?? 0) + 1);
  const { counts, retvals, failures } = teller.runMany(list);
  expect([...counts]).toEqual([...expected].sort(([a], [b]) => a - b));
  expect([...retvals]).toEqual(values.map((value, i) => (fails(i) ? 0 : value)));
  expect(failures).toHaveLength(values.filter((_, i) => fails(i)).length);
});

test("onFailure: stop", () => {
  const packets = [packet(60, 1), packet(60, 2, 255), packet(60, 3)];
  for (const given of [packets, PacketList.of(packets)]) {
    const { count, retvals, failures } = program.runMany(given, { onFailure: "stop" });
    expect([count, [...retvals], failures.length]).toEqual([2, [1, 0], 1]);
  }
});

test("each run has a budget of its own", () => {
  const endless = load(
    asm.assemble([
      asm.label("again"),
      asm.mov64Imm(R0, 1),
      { insn: asm.raw(asm.opcodeOf("jeq", { bits: 64, operand: "imm" }), R0, 0, 0, 1), field: "off", label: "again" },
      asm.exit(),
    ]),
  );
  const { failures } = endless.runMany([packet(60, 1), packet(60, 1)]);
  expect(failures.map(({ packet: at, error }) => [at, error.code])).toEqual([
    [0, "ETIMEDOUT"],
    [1, "ETIMEDOUT"],
  ]);
  // 900 of 1000 instructions each.
  const long = load([...Array.from({ length: 900 }, () => asm.mov64Imm(R0, 2)), asm.exit()]);
  expect(long.runMany([packet(60, 1), packet(60, 1)]).failures).toEqual([]);
});

test("what lies in front of a packet is zero for the next one", () => {
  // Writes 8 bytes in front of the packet; returns what was there.
  const head = load(
    asm.assemble([
      asm.mov64(R6, R1),
      asm.mov64Imm(R2, -8),
      asm.call(BPF_FUNC_xdp_adjust_head),
      asm.ldx("u32", R2, R6, 0),
      asm.ldx("u32", R3, R6, 4),
      asm.mov64(R4, R2),
      asm.alu64Imm("add", R4, 8),
      asm.mov64Imm(R0, 99),
      { insn: asm.raw(asm.opcodeOf("jgt", { bits: 64, operand: "reg" }), R4, R3), field: "off", label: "out" },
      asm.ldx("u8", R0, R2, 0),
      asm.st("u8", R2, 0, 5),
      asm.label("out"),
      asm.exit(),
    ]),
  );
  const { retvals, packets } = head.runMany([packet(60, 1), packet(60, 1)], { packets: true });
  expect([[...retvals], [...packets!].map(({ length }) => length)]).toEqual([
    [0, 0],
    [68, 68],
  ]);
});

test("packets that grow have room", () => {
  const by = (delta: number): Program =>
    load(asm.assemble([asm.mov64Imm(R2, delta), asm.call(BPF_FUNC_xdp_adjust_tail), asm.mov64Imm(R0, 2), asm.exit()]));
  const packets = Array.from({ length: 1000 }, () => packet(60, 1));
  const { packets: after } = by(3000).runMany(packets, { packets: true });
  expect([...after!].every(({ length }) => length === 3060)).toBe(true);
  expect(after!.at(999)!.subarray(0, 60)).toEqual(packets[0]);
});

test("cpu, repeat", () => {
  const cpu = load([asm.call(BPF_FUNC_get_smp_processor_id), asm.exit()]);
  expect([...cpu.runMany([packet(60, 1)], { cpu: 3 }).retvals]).toEqual([3]);
  expect([...cpu.runMany([packet(60, 1)]).retvals]).toEqual([0]);
  const { retvals, packets } = program.runMany([packet(60, 1), packet(60, 5)], { repeat: 3, packets: true });
  expect([[...retvals], packets!.at(0)![12], packets!.at(1)![12]]).toEqual([[3, 7], 4, 8]);
  expect(() => cpu.runMany([], { cpu: 4 })).toThrow("cpu is 4, expected one of the host's, 0 to 3");
  expect(() => cpu.runMany([], { repeat: 0 })).toThrow("repeat is 0, expected a whole number from 1");
  // @ts-expect-error no such word
  expect(() => cpu.runMany([], { onFailure: "ignore" })).toThrow(
    /onFailure is "ignore", expected "continue" or "stop"/,
  );
});

test("what cannot go through the loop runs one by one, with the same results", () => {
  const packets = [packet(60, 1), packet(4000, 2), packet(60, 3)];
  expect([...program.runMany(packets).retvals]).toEqual([1, 2, 3]);
  const watched = host.observe({ before: () => {} });
  expect(program.runMany(packets)).toMatchObject({ engine: "interp", retvals: Uint32Array.of(1, 2, 3) });
  watched.stop();
  const skb = host.loadProgram({ type: "sched_cls", insns: [asm.mov64Imm(R0, 2), asm.exit()], license: "GPL" });
  expect(skb.runMany([packets[0]!, packets[2]!, packets[0]!])).toMatchObject({
    engine: "jit",
    retvals: Uint32Array.of(2, 2, 2),
  });
  const probe = host.loadProgram({ type: "kprobe", insns: [asm.mov64Imm(R0, 2), asm.exit()], license: "GPL" });
  expect(() => probe.runMany(packets)).toThrow(InputError);
});

test("the packets' source may run the program itself, and close it", () => {
  function* source(): Generator<Uint8Array> {
    yield packet(60, 1);
    expect([...program.runMany([packet(60, 9)]).retvals]).toEqual([9]);
    yield packet(60, 2);
  }
  expect([...program.runMany(source()).retvals]).toEqual([1, 2]);
  function* closing(): Generator<Uint8Array> {
    yield packet(60, 1);
    program.close();
    yield packet(60, 2);
  }
  expect(() => program.runMany(closing())).toThrow(/BPF_PROG_TEST_RUN: EBADF/);
});

test("a PacketList is its packets", () => {
  const list = PacketList.of([packet(60, 1), new Uint8Array(0), packet(14, 2)]);
  expect([list.length, list.bytes.length, [...list.ends], list.startOf(2)]).toEqual([3, 74, [60, 60, 74], 60]);
  expect([...list].map(({ length }) => length)).toEqual([60, 0, 14]);
  expect([list.at(2), list.at(3), list.at(-1)]).toEqual([packet(14, 2), undefined, undefined]);
  list.append(Uint8Array.of(1, 2, 3), Uint32Array.of(1, 3));
  expect([list.at(3), list.at(4)]).toEqual([Uint8Array.of(1), Uint8Array.of(2, 3)]);
  for (let i = 0; i < 3000; i++) list.push(packet(60, i & 255));
  expect([list.length, list.at(3004)![12]]).toEqual([3005, 2999 & 255]);
});
