/** bpf_get_stackid, bpf_perf_event_output and bpf_perf_event_read on the embedded hosts and, where it can, the kernel. */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import { bytes, createEmbedded } from "../../src/index.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, readResults, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R4, R5, R6, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = placesOf(hosts);

const perfArray = { map_type: u.BPF_MAP_TYPE_PERF_EVENT_ARRAY, key_size: 4, value_size: 4, max_entries: 2 };

/** The result of one call as a signed number. */
function answer(host: Host, body: readonly asm.AsmItem[]): number {
  const { fd, log } = loadProgram(host, [asm.mov64(R6, R1), asm.st("u64", R10, -8, 7), ...body, asm.exit()]);
  if (fd < 0) throw new Error(log);
  const { ret, retval } = testRun(host, fd);
  host.close(fd);
  expect(ret).toBe(0);
  return retval | 0;
}

const output = (map: number, flags: bigint, size = 8): readonly asm.AsmItem[] => [
  asm.mov64(R1, R6),
  asm.ldMapFd(R2, map),
  asm.ldImm64(R3, flags),
  asm.mov64(R4, R10),
  asm.alu64Imm("add", R4, -8),
  asm.mov64Imm(R5, size),
  asm.call(u.BPF_FUNC_perf_event_output),
];

const CURRENT = BigInt(u.BPF_F_CURRENT_CPU);

test.for(places)("%s: records without an event, and what the flags say wrong", ([, host]) => {
  const map = host.bpf(u.BPF_MAP_CREATE, perfArray);
  const answers: readonly (readonly [bigint, number])[] = [
    [0n, -u.ENOENT],
    [CURRENT, -u.ENOENT],
    [2n, -u.E2BIG],
    [1n << 52n, -u.EINVAL],
    [(64n << 32n) | CURRENT, -u.ENOENT],
    [(65n << 32n) | CURRENT, -u.EFAULT],
    [(65n << 32n) | 2n, -u.EFAULT],
    [(1n << 52n) | (65n << 32n), -u.EINVAL],
  ];
  for (const [flags, errno] of answers) expect([flags, answer(host, output(map, flags))]).toEqual([flags, errno]);
  host.close(map);
});

const readEvent = (map: number, flags: bigint): readonly asm.AsmItem[] => [
  asm.ldMapFd(R1, map),
  asm.ldImm64(R2, flags),
  asm.call(u.BPF_FUNC_perf_event_read),
];

/** r0: the helper's answer plus the first word of its buffer, which was 7. */
const readValue = (map: number, flags: bigint, size: number): readonly asm.AsmItem[] => [
  asm.st("u64", R10, -16, 7),
  asm.st("u64", R10, -24, 7),
  asm.ldMapFd(R1, map),
  asm.ldImm64(R2, flags),
  asm.mov64(R3, R10),
  asm.alu64Imm("add", R3, -24),
  asm.mov64Imm(R4, size),
  asm.call(u.BPF_FUNC_perf_event_read_value),
  asm.ldx("u64", R1, R10, -24),
  asm.alu64("add", R0, R1),
];

test.for(places)("%s: counters without an event", ([, host]) => {
  const map = host.bpf(u.BPF_MAP_CREATE, perfArray);
  for (const [flags, errno] of [
    [0n, -u.ENOENT],
    [CURRENT, -u.ENOENT],
    [2n, -u.E2BIG],
    [1n << 32n, -u.EINVAL],
  ] as const) {
    expect(answer(host, readEvent(map, flags))).toBe(errno);
    expect(answer(host, readValue(map, flags, 24))).toBe(errno);
  }
  expect(answer(host, readValue(map, 0n, 16))).toBe(-u.EINVAL);
  host.close(map);
});

test.for([false, true])("embedded, shared %s: records, counters, and whose they are", (shared) => {
  const host = createEmbedded({ cpus: 2, shared });
  const events = host.createMap({ type: "perf_event_array", maxEntries: 3 });
  const run = (body: readonly asm.AsmItem[], data: Uint8Array = new Uint8Array(64)): number => {
    const items = [asm.mov64(R6, R1), asm.st("u64", R10, -8, 7), ...body, asm.exit()];
    const program = host.loadProgram({ type: "xdp", insns: asm.assemble(items), license: "GPL" });
    const { retval } = program.run({ data });
    program.close();
    return retval | 0;
  };
  expect(() => events.open({ cpus: [3] })).toThrow("E2BIG");
  events.open({ pages: 1 });
  expect(run(output(events.fd, CURRENT, 5))).toBe(0);
  expect(run(output(events.fd, 1n))).toBe(-u.EOPNOTSUPP);
  expect(run(output(events.fd, 2n))).toBe(-u.ENOENT);
  const packet = new Uint8Array(64).fill(9);
  expect(run(output(events.fd, (4n << 32n) | CURRENT, 0), packet)).toBe(0);
  // As perf pads them: 4 bytes more make whole words.
  expect(events.read()).toEqual([
    { cpu: 0, data: Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
    { cpu: 0, data: Uint8Array.of(9, 9, 9, 9) },
  ]);
  // 24 bytes each in a ring of 4096, which is never quite full.
  let sent = 0;
  while (run(output(events.fd, CURRENT)) === 0) sent++;
  expect([sent, run(output(events.fd, CURRENT)), events.lost]).toEqual([170, -u.ENOSPC, 2]);
  expect(events.drain(() => {}, { max: 100 }) + events.read().length).toBe(170);
  expect(run(readEvent(events.fd, 0n))).toBe(0);
  events.setCounter(0, { counter: 5n, enabled: 3n, running: 2n });
  expect(run(output(events.fd, CURRENT))).toBe(-u.EINVAL);
  expect(run(readEvent(events.fd, CURRENT))).toBe(5);
  expect(run(readEvent(events.fd, 1n))).toBe(-u.EINVAL);
  events.setCounter(0, { counter: 6n });
  expect(run(readValue(events.fd, CURRENT, 24))).toBe(6);
  expect([events.delete(0), events.delete(0), run(readEvent(events.fd, 0n)), events.lost]).toEqual([
    true,
    false,
    -u.ENOENT,
    2,
  ]);
  host.dispose();
});

test("a record that is too long for perf is lost, and the program told that it was sent", () => {
  const host = createEmbedded();
  const events = host.createMap({ type: "perf_event_array", maxEntries: 1 }).open({ pages: 32 });
  const source = host.createMap({ type: "array", value: bytes(65_520), maxEntries: 1 });
  for (const [size, read, lost] of [
    [65_516, 1, 0],
    [65_517, 0, 1],
  ] as const) {
    const insns = asm.assemble([
      asm.mov64(R6, R1),
      asm.ldMapValue(R4, source.fd, 0),
      ...output(events.fd, CURRENT, size).filter((_, i) => i !== 3 && i !== 4),
      asm.exit(),
    ]);
    const program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
    expect(program.run({ data: new Uint8Array(64) }).retval).toBe(0);
    expect([events.read().length, events.lost]).toEqual([read, lost]);
  }
  host.dispose();
});

test("batches come from all CPUs and end with the map", async () => {
  const host = createEmbedded({ cpus: 2 });
  const events = host.createMap({ type: "perf_event_array", maxEntries: 2, record: (bytes) => bytes[0]! }).open();
  const items = [asm.mov64(R6, R1), asm.st("u64", R10, -8, 7), ...output(events.fd, CURRENT), asm.exit()];
  const program = host.loadProgram({ type: "xdp", insns: asm.assemble(items), license: "GPL" });
  setTimeout(() => program.run({ data: new Uint8Array(64) }), 1);
  const got: unknown[] = [];
  for await (const batch of events.batches()) {
    got.push(...batch);
    events.close();
  }
  expect(got).toEqual([{ cpu: 0, data: 7 }]);
  host.dispose();
});

const stackid = (map: number, flags: bigint): readonly asm.AsmItem[] => [
  asm.mov64(R1, R6),
  asm.ldMapFd(R2, map),
  asm.ldImm64(R3, flags),
  asm.call(u.BPF_FUNC_get_stackid),
];

/** Runs as a raw tracepoint, which the kernel runs too, and leaves the answers to these flags in a map. */
function ids(host: Host, map: number, flags: readonly bigint[]): number[] {
  const results = resultMap(host, 8 * flags.length);
  const body = flags.flatMap((each, i): asm.AsmItem[] => [
    ...stackid(map, each),
    asm.mov64(asm.R7, R0),
    asm.ldMapValue(R1, results, 8 * i),
    asm.stx("u64", R1, asm.R7, 0),
  ]);
  const { fd, log } = loadProgram(host, [asm.mov64(R6, R1), ...body, asm.mov64Imm(R0, 0), asm.exit()], {
    type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
  });
  if (fd < 0) throw new Error(log);
  expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: fd })).toBe(0);
  const answers = [...readResults(host, results, 8 * flags.length)].map((answer) => Number(BigInt.asIntN(64, answer)));
  for (const each of [fd, results]) host.close(each);
  return answers;
}

test.for(places)("%s: stack ids that are refused", ([, host]) => {
  const attr = { map_type: u.BPF_MAP_TYPE_STACK_TRACE, key_size: 4, value_size: 64, max_entries: 4 };
  const map = host.bpf(u.BPF_MAP_CREATE, attr);
  expect(ids(host, map, [1n << 11n, 1n << 32n, 255n, BigInt(u.BPF_F_USER_BUILD_ID) << 32n])).toEqual([
    -u.EINVAL,
    -u.EINVAL,
    -u.EFAULT,
    -u.EINVAL,
  ]);
  host.close(map);
});

test.skipIf(hosts.kernel === undefined)("kernel: a stack is found again by its id, and its hash is ours", () => {
  const host = hosts.kernel!;
  const attr = { map_type: u.BPF_MAP_TYPE_STACK_TRACE, key_size: 4, value_size: 1016, max_entries: 4096 };
  const map = host.bpf(u.BPF_MAP_CREATE, attr);
  const [id] = ids(host, map, [0n]);
  const value = new Uint8Array(1016);
  expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key: new Uint32Array([id!]), value })).toBe(0);
  const frames = [...new BigUint64Array(value.buffer)].filter((ip) => ip !== 0n);
  const embedded = createEmbedded();
  const stacks = embedded.createMap({ type: "stack_trace", depth: 127, maxEntries: 4096 });
  const insns = asm.assemble([asm.mov64(R6, R1), ...stackid(stacks.fd, 0n), asm.exit()]);
  const program = embedded.loadProgram({ type: "raw_tracepoint", insns, license: "GPL" });
  expect(program.run({ attachment: { kernelStack: frames } }).retval).toBe(id);
  expect(stacks.get(id!)?.map(({ ip }) => ip)).toEqual(frames);
  embedded.dispose();
  host.close(map);
});

test.for([false, true])("embedded, shared %s: stacks that are in each other's way", (shared) => {
  const host = createEmbedded({ shared });
  const stacks = host.createMap({ type: "stack_trace", depth: 2, maxEntries: 1, buildIds: true });
  const id = (flags: bigint, kernelStack: readonly bigint[], userStack: readonly bigint[] = []): number => {
    const insns = asm.assemble([asm.mov64(R6, R1), ...stackid(stacks.fd, flags), asm.exit()]);
    const program = host.loadProgram({ type: "perf_event", insns, license: "GPL" });
    const { retval } = program.run({ attachment: { kernelStack, userStack } });
    program.close();
    return retval | 0;
  };
  const shown = (): unknown => stacks.get(0)?.map(({ ip }) => ip);
  expect([id(0n, []), id(1n, [1n]), id(BigInt(u.BPF_F_USER_STACK), [1n])]).toEqual([-14, -14, -14]);
  expect([id(0n, [1n, 2n, 3n]), shown()]).toEqual([0, [1n, 2n]]);
  expect([id(0n, [1n, 2n, 4n]), id(1n, [0n, 1n, 2n]), id(0n, [1n])]).toEqual([0, 0, -u.EEXIST]);
  // One record is all there is: the old one goes only after the new one was taken.
  expect(id(BigInt(u.BPF_F_REUSE_STACKID), [1n])).toBe(-u.ENOMEM);
  expect([stacks.delete(0), stacks.delete(0), [...stacks]]).toEqual([true, false, []]);
  expect(() => stacks.delete(1)).toThrow("E2BIG");
  expect(id(BigInt(u.BPF_F_USER_STACK), [1n], [5n])).toBe(0);
  expect([...stacks]).toEqual([[0, [{ ip: 5n, buildId: undefined }]]]);
  expect([stacks.take(0)?.length, stacks.take(0), stacks.stats().entries]).toEqual([1, undefined, 0]);
  host.dispose();
  const two = createEmbedded();
  const roomy = two.createMap({ type: "stack_trace", depth: 2, maxEntries: 1 });
  expect(() => two.createMap({ type: "stack_trace", depth: 128, maxEntries: 1 })).toThrow("127");
  expect(roomy.depth).toBe(2);
  two.dispose();
});
