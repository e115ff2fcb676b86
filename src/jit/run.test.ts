/** How runs end on both engines: by budgets, inside each other, by faults and bugs; and what the next run finds. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { loadProgram, readStderr, testRun } from "../../test/conformance/programs.ts";
import { Bug } from "../errors.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import type { RanBy } from "../kern/compiled.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { RUN_HELD_COUNT } from "../kern/run_record.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, label } = asm;
type Items = readonly asm.AsmItem[];
type Engine = "jit" | "interp";
const BUDGET = 100_000;

/** A kernel whose budget, and whose random numbers, a test may change. */
interface Side {
  readonly kernel: Kernel & { runBudget: number };
  readonly host: EmbeddedHost;
  /** Of a run that is not inside another one. */
  readonly record: number;
}

function side(engine: Engine): Side {
  const kernel = createKernel({ memory: 8 << 20, cpus: 2, shared: false, seed: 1, virtualClock: false });
  kernel.engine = engine;
  const record = acquireRun(kernel, 0);
  releaseRun(kernel, record);
  return { kernel, host: new EmbeddedHost(kernel), record };
}

const sides: Readonly<Record<Engine, Side>> = { jit: side("jit"), interp: side("interp") };
const engines: readonly Engine[] = ["jit", "interp"];
const { nowNumber } = sides.jit.kernel;
beforeEach(() => {
  for (const { kernel } of Object.values(sides)) {
    kernel.runBudget = BUDGET;
    kernel.nowNumber = nowNumber;
  }
});
afterAll(() => {
  for (const { host } of Object.values(sides)) host.dispose();
});

function load({ host }: Side, items: Items): number {
  const { fd, log } = loadProgram(host, items);
  if (fd < 0) throw new Error(log);
  return fd;
}

/** A program array with these programs from key 0 on. */
function programs({ host }: Side, ...fds: readonly number[]): number {
  const max_entries = Math.max(1, fds.length);
  const map_fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_PROG_ARRAY,
    key_size: 4,
    value_size: 4,
    max_entries,
  });
  fds.forEach((fd, i) => {
    const [key, value] = [Uint32Array.of(i), Uint32Array.of(fd)].map(({ buffer }) => new Uint8Array(buffer));
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: key!, value: value!, flags: 0 })).toBe(0);
  });
  return map_fd;
}

const end: Items = [asm.mov64Imm(R0, 2), asm.exit()];
/** Turns of three instructions; one in front. */
const turns = (n: number, name: string): Items => [
  asm.mov64Imm(R7, 0),
  label(name),
  asm.alu64Imm("add", R7, 1),
  asm.mov64(R8, R7),
  asm.jmpImm("jlt", R7, n, name),
];
const callbacks = (n: number): Items => [
  asm.mov64Imm(R1, n),
  asm.ldFunc(R2, "callback"),
  asm.mov64Imm(R3, 0),
  asm.mov64Imm(R4, 0),
  asm.call(u.BPF_FUNC_loop),
];
const tailCall = (map: number): Items => [
  asm.mov64(R1, R6),
  asm.ldMapFd(R2, map),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_tail_call),
];
/** What the compiler does not take: it reads what a call left. */
const spoiled: Items = [
  asm.callRel("f"),
  asm.mov64(R0, R1),
  turns(3, "x"),
  end,
  label("f"),
  asm.mov64Imm(R0, 0),
  asm.exit(),
];

const endings: Readonly<Record<string, (side: Side) => Items>> = {
  "a loop": () => [turns(5, "a"), end],
  "a loop in a loop": () => [
    asm.mov64Imm(R9, 0),
    label("outer"),
    turns(2, "a"),
    asm.alu64Imm("add", R9, 1),
    asm.jmpImm("jlt", R9, 3, "outer"),
    end,
  ],
  "local calls": () => [
    asm.callRel("f"),
    asm.mov64Imm(R1, 1),
    asm.callRel("g"),
    end,
    label("f"),
    turns(3, "a"),
    asm.callRel("g"),
    asm.exit(),
    label("g"),
    asm.jmpImm("jeq", R1, 0, 1),
    asm.mov64Imm(R2, 1),
    end,
  ],
  callbacks: () => [callbacks(3), end, label("callback"), turns(2, "a"), asm.mov64Imm(R0, 0), asm.exit()],
  "callbacks that stop early": () => [callbacks(9), end, label("callback"), asm.mov64Imm(R0, 1), asm.exit()],
  "a tail call": (on) => {
    const target = load(on, [turns(3, "a"), end]);
    return [asm.mov64(R6, R1), tailCall(programs(on, target)), turns(2, "b"), end];
  },
  "a tail call that goes nowhere": (on) => [asm.mov64(R6, R1), tailCall(programs(on)), turns(2, "b"), end],
  "a tail call to what is interpreted": (on) => {
    const target = load(on, spoiled);
    return [asm.mov64(R6, R1), turns(2, "b"), tailCall(programs(on, target)), end];
  },
  "two entries into a loop": () => [
    asm.mov64Imm(R7, 0),
    asm.jmpImm("jeq", R7, 0, "in"),
    label("again"),
    asm.alu64Imm("add", R7, 1),
    label("in"),
    asm.alu64Imm("add", R7, 1),
    asm.jmpImm("jlt", R7, 7, "again"),
    end,
  ],
};

test.each(Object.entries(endings))("the budget decides the same on both engines: %s", (_, make) => {
  const [jit, interp] = engines.map((engine) => {
    const on = sides[engine];
    const fd = load(on, make(on));
    const rets = Array.from({ length: 60 }, (__, i) => {
      on.kernel.runBudget = i + 1;
      return testRun(on.host, fd).ret;
    });
    expect(on.host.ranBy()).toEqual({ engine, why: undefined });
    on.host.close(fd);
    return rets;
  });
  expect(jit).toEqual(interp);
  // Up to a number it is spent, from there on it is enough.
  const enough = interp!.indexOf(0);
  expect(enough).toBeGreaterThan(2);
  expect(new Set(interp!.slice(0, enough))).toEqual(new Set([-u.ETIMEDOUT]));
  expect(new Set(interp!.slice(enough))).toEqual(new Set([0]));
});

/** Calls `hook` in the middle, between two callbacks' frames; the result is 7 where all goes well. */
const calls: Items = [
  asm.mov64Imm(R6, 6),
  callbacks(2),
  // The machine is asked for once more.
  callbacks(0),
  asm.alu64Imm("add", R6, 1),
  asm.mov64(R0, R6),
  asm.exit(),
  label("callback"),
  asm.st("u64", R10, -8, 9),
  asm.mov64Imm(R6, 1),
  asm.callRel("f"),
  asm.ldx("u64", R1, R10, -8),
  asm.mov64Imm(R0, 0),
  asm.jmpImm("jeq", R1, 9, 1),
  asm.mov64Imm(R0, 1),
  asm.exit(),
  label("f"),
  asm.st("u64", R10, -8, 5),
  asm.call(u.BPF_FUNC_ktime_get_ns),
  asm.exit(),
];

/** Seven calls deep: as many frames as there are. */
const deepest: Items = [[1, 2, 3, 4, 5, 6, 7].map((n) => [asm.callRel(`f${n}`), end, label(`f${n}`)]), end];

/** Nothing is open or held, and the next run has all its frames. */
function isFresh(on: Side): void {
  const { kernel } = on;
  expect([kernel.run, kernel.cpu]).toEqual([0, 0]);
  const { record } = on;
  expect(kernel.mem.u32[(record + RUN_HELD_COUNT) >>> 2]).toBe(0);
  const fd = load(on, deepest);
  expect(testRun(on.host, fd)).toMatchObject({ ret: 0, retval: 2 });
  on.host.close(fd);
}

test.each(engines)("runs inside a run, to the fourth, leave the outer ones as they were: %s", (engine) => {
  const on = sides[engine];
  const fd = load(on, calls);
  const inner: [number, number][] = [];
  const ran: RanBy[] = [];
  on.kernel.nowNumber = () => {
    const { ret, retval } = testRun(on.host, fd);
    inner.push([ret, retval]);
    ran.push(on.host.ranBy());
    return 3;
  };
  expect(testRun(on.host, fd)).toMatchObject({ ret: 0, retval: 7 });
  // Two calls in each of the runs; a fifth is refused.
  expect(inner.filter(([ret]) => ret === 0)).toEqual(Array.from({ length: 2 + 4 + 8 }, () => [0, 7]));
  expect(inner.filter(([ret]) => ret < 0)).toEqual(Array.from({ length: 16 }, () => [-u.EBUSY, 0]));
  expect(new Set(ran.map((each) => each.engine))).toEqual(new Set([engine]));
  isFresh(on);
});

test.each(engines)("a fault of the inner run does not touch the outer one, on either engine: %s", (engine) => {
  const on = sides[engine];
  const outer = load(on, calls);
  const faulty = load(on, [asm.mov64Imm(R1, 0), asm.ldx("u64", R0, R1, 0), asm.exit()]);
  const rets: number[] = [];
  on.kernel.nowNumber = () => {
    // The inner one on the other engine, every second time.
    on.kernel.engine = rets.length % 2 === 0 ? "jit" : "interp";
    rets.push(testRun(on.host, faulty).ret);
    on.kernel.engine = engine;
    return 0;
  };
  expect(testRun(on.host, outer)).toMatchObject({ ret: 0, retval: 7 });
  expect(rets).toEqual([-u.EFAULT, -u.EFAULT]);
  isFresh(on);
});

test.each(engines)("a bug in a helper leaves the host usable: %s", (engine) => {
  const on = sides[engine];
  const fd = load(on, calls);
  for (let i = 0; i < 6; i++) {
    on.kernel.nowNumber = () => {
      throw new Bug("of a helper");
    };
    expect(() => testRun(on.host, fd)).toThrow("of a helper");
    isFresh(on);
    on.kernel.nowNumber = nowNumber;
    expect(testRun(on.host, fd)).toMatchObject({ ret: 0, retval: 7 });
  }
});

test.each(engines)("a fault in callbacks at depth: nothing stays open or held: %s", (engine) => {
  const on = sides[engine];
  const ring = on.host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_RINGBUF,
    key_size: 0,
    value_size: 0,
    max_entries: 4096,
  });
  const reserve: Items = [
    asm.ldMapFd(R1, ring),
    asm.mov64Imm(R2, 2000),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_ringbuf_reserve),
  ];
  const faulty = load(on, [
    reserve,
    callbacks(2),
    end,
    label("callback"),
    asm.callRel("f"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
    label("f"),
    reserve,
    asm.mov64Imm(R1, 0),
    asm.ldx("u64", R0, R1, 0),
    asm.exit(),
  ]);
  for (let i = 0; i < 5; i++) {
    expect(testRun(on.host, faulty).ret).toBe(-u.EFAULT);
    expect(readStderr(on.host, faulty)).toContain("0x0");
    isFresh(on);
  }
});

test("a function without a result gives its caller what stood in r0, on both engines", () => {
  const items = [asm.mov64Imm(R0, 5), asm.callRel("f"), asm.exit(), label("f"), asm.mov64Imm(R1, 1), asm.exit()];
  const results = engines.map((engine) => testRun(sides[engine].host, load(sides[engine], items)).retval);
  expect(results).toEqual([5, 5]);
});

const fallbacks: Readonly<Record<string, readonly [Items, string]>> = {
  "what a call left": [spoiled, "what instruction 0 leaves in r1 to r5 is read"],
  "the caller's r6": [
    [asm.mov64Imm(R6, 4), asm.callRel("f"), end, label("f"), asm.mov64(R0, R6), asm.exit()],
    "the function at instruction 4 reads registers of its caller",
  ],
  "too long": [
    [Array.from({ length: 100_000 }, () => asm.mov64Imm(R0, 2)), asm.exit()],
    "it has 100001 instructions, more than 100000",
  ],
};

test.each(Object.entries(fallbacks))("interpreted, and it is told why: %s", (_, [items, why]) => {
  const { host, kernel } = sides.jit;
  kernel.runBudget = 200_000;
  const fd = load(sides.jit, items);
  expect(host.compile(fd)).toMatchObject({ why, bytes: 0 });
  expect(testRun(host, fd)).toMatchObject({ ret: 0 });
  expect(host.ranBy()).toEqual({ engine: "interp", why });
});
