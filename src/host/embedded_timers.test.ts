/** When timers of programs run, and what ends them: the embedded hosts by themselves; the kernel's answers are in test/programs. */
import { expect, test } from "vitest";
import { loadProgram, readStderr, testRun } from "../../test/conformance/programs.ts";
import { BtfBuilder, parseBtf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import * as asm from "../insn/index.ts";
import { createKernel } from "../kern/create.ts";
import { OBJ_MAP, OBJ_PROG, OBJ_REFS, OBJ_USERS } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { createEmbeddedHost, EmbeddedHost } from "./embedded.ts";
import type { EmbeddedOptions } from "./embedded_options.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10 } = asm;
const MS = 1_000_000;
/** struct { struct bpf_timer timer; u64 calls, delay; } */
const CALLS = 16;
const DELAY = 24;
const VALUE_SIZE = 32;

function timerMap(host: EmbeddedHost, kind = "bpf_timer"): number {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long long", 8);
  const timer = b.struct(kind, 16, []);
  const value = b.struct("value", VALUE_SIZE, [
    { name: "timer", typeId: timer, bitOffset: 0 },
    { name: "calls", typeId: u64, bitOffset: CALLS * 8 },
    { name: "delay", typeId: u64, bitOffset: DELAY * 8 },
  ]);
  const bytes = b.build();
  const btf = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: VALUE_SIZE,
    max_entries: 4,
    btf_fd: btf,
    btf_key_type_id: u32,
    btf_value_type_id: value,
  });
  host.close(btf);
  return map;
}

/** Gives the n-th element's timer the function `callback`; the element is in r6 then. */
const armed = (n: number): readonly asm.AsmItem[] => [
  asm.st("u32", R10, -4, n),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.mov64(R1, R8),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  asm.mov64(R6, R0),
  asm.mov64(R1, R6),
  asm.mov64(R2, R8),
  asm.mov64Imm(R3, 1),
  asm.call(u.BPF_FUNC_timer_init),
  asm.mov64(R1, R6),
  asm.ldFunc(R2, "callback"),
  asm.call(u.BPF_FUNC_timer_set_callback),
];

/** A program that starts the timer of every element, the n-th in `delays[n]`; its function counts and does `body`. */
function starter(
  host: EmbeddedHost,
  map: number,
  delays: readonly number[],
  body: readonly asm.AsmItem[] = [],
): number {
  const start = delays.flatMap((delay, n) => [
    ...armed(n),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, delay),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_timer_start),
  ]);
  const { fd, log } = loadProgram(host, [
    asm.ldMapFd(R8, map),
    ...start,
    asm.mov64Imm(R0, 2),
    asm.exit(),
    asm.label("callback"),
    asm.mov64(R7, R2),
    asm.mov64(R9, R3),
    asm.ldx("u64", R4, R9, CALLS),
    asm.alu64Imm("add", R4, 1),
    asm.stx("u64", R9, R4, CALLS),
    ...body,
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ]);
  if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log}`);
  return fd;
}

const again = (delay: number): readonly asm.AsmItem[] => [
  asm.mov64(R1, R9),
  asm.mov64Imm(R2, delay),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_timer_start),
];

function calls(host: EmbeddedHost, map: number): number[] {
  return [0, 1, 2, 3].map((n) => {
    const key = new Uint8Array(Uint32Array.of(n).buffer);
    const value = new Uint8Array(VALUE_SIZE);
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key, value })).toBe(0);
    return Number(new DataView(value.buffer).getBigUint64(CALLS, true));
  });
}

function open(options: EmbeddedOptions): EmbeddedHost {
  return createEmbeddedHost({ memory: 16 * 1024 * 1024, clock: "virtual", seed: 1, ...options });
}

/** All is given back: maps, programs and timers hold each other, and none leaks. */
function end(host: EmbeddedHost, ...fds: readonly number[]): void {
  for (const fd of fds) host.close(fd);
  expect(host.openFds()).toEqual([]);
  expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  host.dispose();
}

const places = [{ shared: false }, { shared: true }];

test("no timer gets a program that a run has borrowed and whose last reference is just being dropped", () => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 2, shared: true, seed: 1, virtualClock: true });
  const { mem } = kernel;
  const host = new EmbeddedHost(kernel);
  const map = timerMap(host);
  const { fd } = loadProgram(
    host,
    [asm.ldMapFd(R8, map), ...armed(0), asm.exit(), asm.label("callback"), asm.mov64Imm(R0, 0), asm.exit()],
    { type: u.BPF_PROG_TYPE_SCHED_CLS },
  );
  const run = host.plainRun(fd);
  const data = new Uint8Array(64);
  const prog = kernel.get(fd, OBJ_PROG);
  kernel.done(prog);
  const mapAt = kernel.get(map, OBJ_MAP);
  kernel.done(mapAt);
  const { atomics } = mem;
  let dropped = false;
  // Who has dropped it looks for borrowers next.
  const load32 = (address: number): number => {
    if (dropped && address === mapAt + OBJ_USERS) mem.u32[(prog + OBJ_REFS) >>> 2] = 0;
    return atomics.load32(address);
  };
  Object.defineProperty(mem, "atomics", { value: { ...atomics, load32 } });
  dropped = true;
  expect(run(data)).toMatchObject({ retval: -u.ENOENT >>> 0 });
  expect(mem.u32[(prog + OBJ_REFS) >>> 2]).toBe(0);
  mem.u32[(prog + OBJ_REFS) >>> 2] = 1;
  dropped = false;
  expect(run(data)).toMatchObject({ retval: 0 });
  expect(mem.u32[(prog + OBJ_REFS) >>> 2]).toBe(2);
  end(host, fd, map);
});

test.for(places)("timers run as the virtual clock passes, $shared", (place) => {
  const host = open(place);
  const map = timerMap(host);
  const prog = starter(host, map, [5 * MS, 2 * MS, 2 * MS + 1]);
  expect(testRun(host, prog).ret).toBe(0);
  // The timers hold the program.
  host.close(prog);
  host.advance(BigInt(2 * MS - 1));
  expect(calls(host, map)).toEqual([0, 0, 0, 0]);
  host.advance(1n);
  expect(calls(host, map)).toEqual([0, 1, 0, 0]);
  host.advance(BigInt(10 * MS));
  expect(calls(host, map)).toEqual([1, 1, 1, 0]);
  end(host, map);
});

test.for(places)("a timer that starts itself again, $shared", (place) => {
  const host = open(place);
  const map = timerMap(host);
  const prog = starter(host, map, [MS], again(3 * MS));
  testRun(host, prog);
  host.advance(BigInt(10 * MS));
  expect(calls(host, map)).toEqual([4, 0, 0, 0]);
  host.advance(0n);
  expect(calls(host, map)).toEqual([4, 0, 0, 0]);
  end(host, prog, map);
});

test("a timer that starts itself again without delay does not hang the host", () => {
  const host = open({});
  const map = timerMap(host);
  const prog = starter(host, map, [MS], again(0));
  testRun(host, prog);
  expect(() => host.advance(BigInt(MS))).toThrow(InputError);
  end(host, prog, map);
});

test.for(places)("with the last fd of the map its timers go, $shared", (place) => {
  const host = open(place);
  const map = timerMap(host);
  const prog = starter(host, map, [MS, MS]);
  testRun(host, prog);
  const ids = { start_id: 0, next_id: 0 };
  host.bpf(u.BPF_MAP_GET_NEXT_ID, ids);
  host.close(map);
  host.advance(BigInt(5 * MS));
  const reopened = host.bpf(u.BPF_MAP_GET_FD_BY_ID, { map_id: ids.next_id });
  expect(calls(host, reopened)).toEqual([0, 0, 0, 0]);
  end(host, reopened, prog);
});

test.for(places)("a fault goes to the program's stderr, and the next timer runs, $shared", (place) => {
  const host = open(place);
  const map = timerMap(host);
  // The first element's function reads behind its key.
  const body = [
    asm.ldx("u32", R1, R7, 0),
    asm.jmpImm("jne", R1, 0, "good"),
    asm.ldx("u32", R1, R7, 4),
    asm.label("good"),
  ];
  const prog = starter(host, map, [MS, 2 * MS], body);
  testRun(host, prog);
  host.advance(BigInt(5 * MS));
  expect(calls(host, map)).toEqual([1, 1, 0, 0]);
  expect(readStderr(host, prog)).toMatch(/program "test" .*: read of 4 bytes at .*, outside of what it may touch/);
  end(host, prog, map);
});

const ids = parseBtf(kernelBtf());
const kfunc = (name: string): asm.AsmItem => asm.callKfunc(ids.find(name, "func")!);

test.for(places)("workqueue items run once the clock moves, $shared", (place) => {
  const host = open(place);
  const map = timerMap(host, "bpf_wq");
  const { fd, log } = loadProgram(host, [
    asm.ldMapFd(R8, map),
    asm.st("u32", R10, -4, 2),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.mov64(R1, R8),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    asm.mov64(R6, R0),
    asm.mov64(R1, R6),
    asm.mov64(R2, R8),
    asm.mov64Imm(R3, 0),
    kfunc("bpf_wq_init"),
    asm.mov64(R1, R6),
    asm.ldFunc(R2, "callback"),
    asm.mov64Imm(R3, 0),
    kfunc("bpf_wq_set_callback_impl"),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, 0),
    kfunc("bpf_wq_start"),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, 0),
    kfunc("bpf_wq_start"),
    asm.exit(),
    asm.label("callback"),
    asm.ldx("u64", R4, R3, CALLS),
    asm.alu64Imm("add", R4, 1),
    asm.stx("u64", R3, R4, CALLS),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ]);
  expect(fd, log).toBeGreaterThan(0);
  expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 0 });
  expect(calls(host, map)).toEqual([0, 0, 0, 0]);
  host.advance(0n);
  expect(calls(host, map)).toEqual([0, 0, 1, 0]);
  end(host, fd, map);
});

test("keys are read-only", () => {
  const host = open({});
  const map = timerMap(host);
  const prog = starter(host, map, [MS], [asm.st("u32", R7, 0, 1)]);
  testRun(host, prog);
  host.advance(BigInt(MS));
  expect(readStderr(host, prog)).toMatch(/write of 4 bytes/);
  end(host, prog, map);
});

test("what a program writes over the field does not reach the timer", () => {
  const host = open({});
  const map = timerMap(host);
  const scribble = [asm.st("u64", R9, 0, -1), asm.st("u64", R9, 8, 1 << 20), ...again(MS)];
  const prog = starter(host, map, [MS], scribble);
  testRun(host, prog);
  host.advance(BigInt(3 * MS));
  expect(calls(host, map)).toEqual([3, 0, 0, 0]);
  end(host, prog, map);
});

test.for(places)("with the real clock timers run by themselves, $shared", async (place) => {
  const host = open({ ...place, clock: "real" });
  const map = timerMap(host);
  const prog = starter(host, map, [20 * MS, MS]);
  testRun(host, prog);
  expect(calls(host, map)).toEqual([0, 0, 0, 0]);
  await expect.poll(() => calls(host, map), { timeout: 2000, interval: 5 }).toEqual([1, 1, 0, 0]);
  // Nothing runs on a host that is closed.
  testRun(host, prog);
  end(host, prog, map);
  await new Promise((resolve) => setTimeout(resolve, 30));
});

const contexts = [
  ["XDP", u.BPF_PROG_TYPE_XDP, [asm.mov64Imm(R2, 4096), asm.call(u.BPF_FUNC_xdp_adjust_tail)]],
  [
    "skb",
    u.BPF_PROG_TYPE_SCHED_CLS,
    [asm.mov64Imm(R2, 128), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_skb_change_tail)],
  ],
  ["skb, load", u.BPF_PROG_TYPE_SCHED_CLS, [asm.mov64(R6, R1), asm.ldAbs("u32", 0)]],
] as const;

test.each(contexts)(
  "a timer's function has no context: neither NULL nor that of the run before is one (%s)",
  (_, type, use) => {
    for (const forged of [false, true]) {
      const host = open({});
      const map = timerMap(host);
      const start = [
        asm.mov64(R9, R1),
        asm.ldMapFd(R8, map),
        asm.st("u32", R10, -4, 0),
        asm.mov64(R2, R10),
        asm.alu64Imm("add", R2, -4),
        asm.mov64(R1, R8),
        asm.call(u.BPF_FUNC_map_lookup_elem),
        asm.mov64(R7, R0),
        forged ? asm.stx("u64", R7, R9, DELAY) : asm.st("u64", R7, DELAY, 0),
        asm.mov64(R1, R7),
        asm.mov64(R2, R8),
        asm.mov64Imm(R3, 1),
        asm.call(u.BPF_FUNC_timer_init),
        asm.mov64(R1, R7),
        asm.ldFunc(R2, "callback"),
        asm.call(u.BPF_FUNC_timer_set_callback),
        asm.mov64(R1, R7),
        asm.mov64Imm(R2, 1),
        asm.mov64Imm(R3, 0),
        asm.call(u.BPF_FUNC_timer_start),
        asm.mov64Imm(R0, 0),
        asm.exit(),
      ];
      const callback = [
        asm.label("callback"),
        asm.mov64(R7, R3),
        asm.ldx("u64", R1, R7, DELAY),
        use,
        asm.st("u64", R7, CALLS, 1),
        asm.mov64Imm(R0, 0),
        asm.exit(),
      ];
      const { fd, log } = loadProgram(host, [...start, ...callback], { type });
      expect(fd, log).toBeGreaterThan(0);
      expect(testRun(host, fd).ret).toBe(0);
      host.advance(10n);
      expect(calls(host, map)[0]).toBe(0);
      expect(readStderr(host, fd)).toContain("is not the context");
      end(host, fd, map);
    }
  },
);
