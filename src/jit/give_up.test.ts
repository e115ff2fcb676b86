/**
 * Compiled code leaves a function to the interpreter, which goes on from there: at accesses that are not where they were
 * thought to be, and are right all the same; and where the budget may end. Then it ends at the same instruction.
 */
import { afterAll, expect, test } from "vitest";
import { loadProgram, readStderr, resultMap, testRun } from "../../test/conformance/programs.ts";
import { loadFunction } from "../../test/jit/pairs.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { readProgram } from "./program.ts";
import { prove } from "./prove/index.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R10, label } = asm;
type Items = readonly asm.AsmItem[];
const SIZE = 256;
const BUDGETS = 150;

interface Side {
  readonly kernel: Kernel & { runBudget: number };
  readonly host: EmbeddedHost;
  readonly map: number;
}

const sides = (["jit", "interp"] as const).map((engine): Side => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
  kernel.engine = engine;
  const host = new EmbeddedHost(kernel);
  return { kernel, host, map: resultMap(host, SIZE) };
});
afterAll(() => {
  for (const { host } of sides) host.dispose();
});

/** r6 = where the map's value is; r1 = 0, which nobody knows. */
const zero = (map: number): Items => [asm.ldMapValue(R6, map, 0), asm.ldx("u64", R1, R6, SIZE - 8)];
/** r8 = r10. */
const onStack = (map: number): Items => [zero(map), asm.mov64(R8, R10), asm.alu64("add", R8, R1)];
/** r8 = byte 64 of the value, and for all that is known a place in the frame: what it is made from is added and taken off. */
const elsewhere = (map: number): Items => [
  zero(map),
  asm.mov64(R2, R6),
  asm.alu64Imm("add", R2, 64),
  asm.alu64("add", R2, R1),
  asm.mov64(R3, R10),
  asm.stx("u64", R10, R3, -8),
  asm.ldx("u32", R3, R10, -8),
  asm.alu64("sub", R2, R3),
  asm.mov64(R8, R10),
  asm.alu64("add", R8, R2),
];
const count = (name: string, turns: number, body: Items): Items => [
  asm.mov64Imm(R7, 0),
  label(name),
  body,
  asm.alu64Imm("add", R7, 1),
  asm.jmpImm("jlt", R7, turns, name),
];
/** The word at r8 + off counts. */
const more = (off: number): Items => [
  asm.ldx("u64", R0, R8, off),
  asm.alu64Imm("add", R0, 3),
  asm.stx("u64", R8, R0, off),
];
const exit: Items = [asm.mov64(R0, R7), asm.exit()];

const programs: Readonly<Record<string, (map: number) => Items>> = {
  "one after the other": (map) => [elsewhere(map), count("a", 2, []), more(0), count("b", 3, []), exit],
  "in a loop, and a loop behind it": (map) => [elsewhere(map), count("a", 3, more(8)), count("b", 2, more(0)), exit],
  "in the third turn": (map) => [
    asm.mov64Imm(R7, 0),
    label("again"),
    onStack(map),
    asm.jmpImm("jne", R7, 2, 1),
    asm.ja("there"),
    label("on"),
    more(-16),
    asm.alu64Imm("add", R7, 1),
    asm.jmpImm("jlt", R7, 4, "again"),
    exit,
    label("there"),
    elsewhere(map),
    asm.ja("on"),
  ],
  "in a function that is called twice": (map) => [
    count("a", 2, [asm.callRel("f")]),
    asm.alu64("add", R7, R0),
    exit,
    label("f"),
    elsewhere(map),
    count("b", 2, more(0)),
    asm.mov64(R0, R8),
    asm.alu64("sub", R0, R6),
    asm.exit(),
  ],
  "in a frame of its caller's": (map) => [
    asm.st("u64", R10, -16, 5),
    asm.mov64(R1, R10),
    asm.callRel("f"),
    asm.ldx("u64", R7, R10, -16),
    exit,
    label("f"),
    asm.mov64(R7, R1),
    zero(map),
    asm.mov64(R8, R7),
    asm.alu64("add", R8, R1),
    more(-16),
    exit,
  ],
  "in callbacks": (map) => [
    asm.mov64Imm(R7, 9),
    asm.mov64Imm(R1, 3),
    asm.ldFunc(R2, "callback"),
    asm.mov64Imm(R3, 0),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_loop),
    asm.alu64("add", R7, R0),
    exit,
    label("callback"),
    elsewhere(map),
    more(16),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ],
  "calls and a helper behind it": (map) => [
    elsewhere(map),
    more(0),
    asm.callRel("f"),
    asm.mov64(R7, R0),
    exit,
    label("f"),
    asm.call(u.BPF_FUNC_get_smp_processor_id),
    asm.alu64Imm("add", R0, 4),
    asm.exit(),
  ],
  "a fault behind it": (map) => [elsewhere(map), more(0), asm.ldx("u8", R0, R8, SIZE), exit],
  "a fault there": (map) => [elsewhere(map), more(SIZE), exit],
  "two entries into a loop": (map) => [
    elsewhere(map),
    asm.mov64Imm(R7, 0),
    asm.jmpImm("jeq", R7, 0, "in"),
    label("again"),
    asm.alu64Imm("add", R7, 1),
    label("in"),
    more(8),
    asm.alu64Imm("add", R7, 1),
    asm.jmpImm("jlt", R7, 7, "again"),
    exit,
  ],
};

/** How the program ends on either engine with each budget, what it leaves in the map, and what is said. */
function endsOf(make: (map: number) => Items, guesses: boolean): readonly (readonly [number, string, string])[][] {
  return sides.map(({ kernel, host, map }) => {
    const { fd, log } = loadProgram(host, make(map));
    if (fd < 0) throw new Error(log);
    if (guesses) expect(waysOf(kernel, fd)).toContain("stack");
    const key = new Uint8Array(4);
    const ends = Array.from({ length: BUDGETS }, (_, i): readonly [number, string, string] => {
      kernel.runBudget = i + 1;
      host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key, value: new Uint8Array(SIZE) });
      const { ret, retval } = testRun(host, fd);
      const value = new Uint8Array(SIZE);
      host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key, value });
      // The program's number is another one on the other host.
      const text = readStderr(host, fd).replace(/id \d+/, "");
      return [ret, `${retval} ${Buffer.from(value).toString("hex")}`, text];
    });
    expect(host.ranBy().engine).toBe(kernel.engine);
    host.close(fd);
    return ends;
  });
}

test.each(Object.entries(programs))("both engines do the same: %s", (name, make) => {
  const [jit, interp] = endsOf(make, true);
  expect(jit).toEqual(interp);
  const end = name.includes("fault") ? -u.EFAULT : 0;
  expect([jit!.at(0)![0], jit!.at(-1)![0]]).toEqual([-u.ETIMEDOUT, end]);
});

/** The word of the map's value at `off` counts; r6 is where the value is. */
const tick = (off: number): Items => [
  asm.ldx("u64", R0, R6, off),
  asm.alu64Imm("add", R0, 1),
  asm.stx("u64", R6, R0, off),
];
const value = (map: number): Items => [asm.ldMapValue(R6, map, 0)];
const turns = (n: number, callback: string): Items => [
  asm.mov64Imm(R1, n),
  asm.ldFunc(R2, callback),
  asm.mov64Imm(R3, 0),
  asm.mov64Imm(R4, 0),
  asm.call(u.BPF_FUNC_loop),
];
const done: Items = [asm.mov64Imm(R0, 0), asm.exit()];

const spenders: Readonly<Record<string, (map: number) => Items>> = {
  "blocks one after the other, some of them skipped": (map) => [
    value(map),
    tick(0),
    asm.jmpImm("jeq", R0, 5, "skip"),
    [tick(8), tick(16)],
    label("skip"),
    [tick(24), tick(32)],
    done,
  ],
  "loops in loops, with ways of different length": (map) => [
    value(map),
    asm.mov64Imm(R8, 0),
    label("outer"),
    count("inner", 3, [tick(0), asm.jmpImm("jset", R0, 1, 3), tick(8)]),
    tick(16),
    asm.alu64Imm("add", R8, 1),
    asm.jmpImm("jlt", R8, 3, "outer"),
    done,
  ],
  "functions, and what stands behind their calls": (map) => [
    value(map),
    [tick(0), asm.callRel("f"), tick(8), tick(16), asm.callRel("f"), tick(24)],
    done,
    [label("f"), value(map), count("in f", 2, tick(32)), asm.callRel("g"), tick(40), done],
    [label("g"), value(map), tick(48), done],
  ],
  "turns of bpf_loop, which call functions and loop": (map) => [
    value(map),
    [turns(3, "turn"), tick(0), tick(8)],
    done,
    [label("turn"), value(map), tick(16), turns(2, "small"), tick(24), done],
    [label("small"), value(map), tick(32), done],
  ],
  "elements of a map": (map) => [
    value(map),
    asm.ldMapFd(R1, map),
    asm.ldFunc(R2, "each"),
    asm.mov64Imm(R3, 0),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_for_each_map_elem),
    tick(0),
    done,
    [label("each"), value(map), tick(8), tick(16), done],
  ],
  "a fault that the budget may not reach": (map) => [
    value(map),
    [tick(0), tick(8)],
    asm.mov64Imm(R1, 0),
    asm.ldx("u64", R0, R1, 0),
    tick(16),
    done,
  ],
  "may_goto, and two ways into a loop": (map) => [
    value(map),
    asm.mov64Imm(R7, 0),
    asm.jmpImm("jeq", R7, 0, "in"),
    label("again"),
    tick(0),
    label("in"),
    [tick(8), asm.callRel("f")],
    asm.raw(0xe5, 0, 0, 2, 0),
    asm.alu64Imm("add", R7, 1),
    asm.jmpImm("jlt", R7, 4, "again"),
    tick(16),
    done,
    [label("f"), value(map), tick(24), done],
  ],
};

test.each(Object.entries(spenders))("a budget ends both engines at the same instruction: %s", (name, make) => {
  const [jit, interp] = endsOf(make, false);
  for (const [i, end] of jit!.entries()) expect(end, `a budget of ${i + 1}`).toEqual(interp![i]);
  const end = name.includes("fault") ? -u.EFAULT : 0;
  expect([jit!.at(0)![0], jit!.at(-1)![0]]).toEqual([-u.ETIMEDOUT, end]);
});

test("a context that is shorter than what the program reads and writes of it", () => {
  const items = [
    asm.ldx("u64", R0, R1, 0),
    asm.ldx("u32", R2, R1, 12),
    asm.alu64("add", R0, R2),
    asm.stx("u64", R1, R0, 16),
    asm.exit(),
  ];
  const [jit, interp] = sides.map(({ kernel, host }) => {
    kernel.runBudget = 1000;
    const results = [4, 8, 15, 16, 23, 24].map((size) => {
      const { fd, log } = loadProgram(host, items, { type: u.BPF_PROG_TYPE_SYSCALL, flags: u.BPF_F_SLEEPABLE });
      if (fd < 0) throw new Error(log);
      expect(waysOf(kernel, fd)).toContain("context");
      const context = new Uint8Array(size).fill(7);
      const attr = { prog_fd: fd, ctx_in: context, ctx_size_in: size, retval: 0 };
      const ret = host.bpf(u.BPF_PROG_TEST_RUN, attr);
      const text = readStderr(host, fd).replace(/id \d+/, "");
      host.close(fd);
      return [ret, attr.retval, Buffer.from(context).toString("hex"), text] as const;
    });
    return results;
  });
  expect(jit).toEqual(interp);
  expect(jit!.map(([ret]) => ret)).toEqual([-u.EFAULT, -u.EFAULT, -u.EFAULT, -u.EFAULT, -u.EFAULT, 0]);
});

test("a tail call behind it, from a function: the caller goes on in its own program", () => {
  const ends = sides.map(({ kernel, host, map }) => {
    kernel.runBudget = 1000;
    // It has none of the maps, and other instructions.
    const target = loadProgram(host, [asm.mov64Imm(R0, 5), asm.exit()]).fd;
    const [map_type, size] = [u.BPF_MAP_TYPE_PROG_ARRAY, 4];
    const queue = host.bpf(u.BPF_MAP_CREATE, { map_type, key_size: size, value_size: size, max_entries: 1 });
    const value = new Uint8Array(Uint32Array.of(target).buffer);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: queue, key: new Uint8Array(size), value })).toBe(0);
    const tailCall = [asm.mov64(R1, R7), asm.ldMapFd(R2, queue), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call)];
    // Nobody knows the address any more: the map has to be the program's.
    const forget = [asm.stx("u64", R10, R6, -8), asm.atomic("xchg", "u64", R10, R6, -8)];
    const main = [
      asm.mov64(R7, R1),
      zero(map),
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.mov64(R7, R0),
      forget,
      asm.stx("u64", R6, R7, 0),
      exit,
    ].flat();
    const fd = loadFunction(host, main, [asm.mov64(R7, R1), elsewhere(map), more(0), tailCall, exit].flat());
    expect(waysOf(kernel, fd)).toContain("stack");
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: new Uint8Array(4), value: new Uint8Array(SIZE) });
    const { ret, retval } = testRun(host, fd);
    const text = readStderr(host, fd).replace(/id \d+/, "");
    for (const each of [fd, queue, target]) host.close(each);
    return { ret, retval, text };
  });
  expect(ends[0]).toEqual(ends[1]);
  expect(ends[0]).toMatchObject({ ret: 0, retval: 5 });
});

function waysOf(kernel: Kernel, fd: number): readonly unknown[] {
  const prog = kernel.get(fd, OBJ_PROG);
  const program = readProgram(kernel.mem, prog);
  if (typeof program === "string") throw new Error(program);
  const { access } = prove(kernel, prog, program);
  kernel.done(prog);
  return access.map((each) => each?.how);
}

test("may_goto that leads to what follows it takes a turn", () => {
  const { host } = sides[0]!;
  const mayGoto = (off: number): asm.Insn => asm.raw(0xe5, 0, 0, off, 0);
  const items = [
    asm.mov64Imm(R0, 0),
    label("again"),
    asm.alu64Imm("add", R0, 1),
    mayGoto(0),
    mayGoto(1),
    asm.ja("again"),
  ];
  const { fd, log } = loadProgram(host, [...items, asm.exit()]);
  if (fd < 0) throw new Error(log);
  sides[0]!.kernel.runBudget = 100_000_000;
  expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 ** 22 + 1 });
  host.close(fd);
});
