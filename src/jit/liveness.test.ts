/** What reads registers that only the interpreter knows, and what does not although it looks like it. */
import { expect, test } from "vitest";
import * as asm from "../insn/index.ts";
import { createKernel } from "../kern/create.ts";
import { allocProg, isCallback, PROG_INSNS, setProgSubprogs } from "../kern/prog.ts";
import * as u from "../uapi/index.ts";
import { argumentsRead, readsTheUnknown } from "./liveness.ts";
import { readProgram } from "./program.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, label } = asm;
type Items = readonly asm.AsmItem[];

const { mem } = createKernel({ memory: 16 << 20, cpus: 1, shared: false, seed: 1, virtualClock: true });

/** Why it cannot be compiled. */
function reason(items: Items): string | undefined {
  const insns = asm.assemble(items);
  const prog = allocProg(mem, insns.length);
  mem.u8.set(asm.encodeInsns(insns), mem.u32[(prog + PROG_INSNS) >>> 2]!);
  setProgSubprogs(mem, prog, asm.functionStarts(insns), asm.addressedFunctions(insns));
  const program = readProgram(mem, prog);
  if (typeof program === "string") throw new Error(program);
  const args = argumentsRead(program);
  return typeof args === "string" ? args : readsTheUnknown(program, args, (start) => isCallback(mem, prog, start));
}

const end: Items = [asm.mov64Imm(R0, 0), asm.exit()];
/** A function of its own, with this in it, at instruction 3. */
const inFunction = (items: Items): Items => [asm.callRel("f"), end, label("f"), items];
const CALLERS = "the function at instruction 3 reads registers of its caller";

const callers: Readonly<Record<string, Items>> = {
  ...Object.fromEntries(
    ([R6, R7, R8, R9] as const).map((reg) => [`r${reg}`, [asm.mov64(R0, reg), asm.exit()] as Items]),
  ),
  "r6, as the address of a store": [asm.st("u64", R6, 0, 1), end],
  "r7, as what is stored": [asm.stx("u64", R10, R7, -8), end],
  "r8, by a jump": [asm.jmpImm("jeq", R8, 0, 0), end],
  "r6, on one way only": [
    asm.mov64Imm(R0, 0),
    asm.jmpImm("jeq", R1, 0, 1),
    asm.mov64Imm(R6, 1),
    asm.mov64(R0, R6),
    asm.exit(),
  ],
  "r9, at the head of a loop that writes it at its end": [
    label("again"),
    asm.mov64(R0, R9),
    asm.mov64Imm(R9, 1),
    asm.jmpImm("jne", R1, 0, "again"),
    asm.exit(),
  ],
  "r6, in arithmetic on itself": [asm.alu64Imm("add", R6, 1), end],
  "r6, by a packet load": [asm.raw(0x20, 0, 0, 0, 4), end],
  "r0, by a compare and exchange": [asm.mov64Imm(R2, 0), asm.atomic("cmpxchg", "u64", R10, R2, -8), end],
  "r7, by a fetch": [asm.atomic("fetchAdd", "u64", R10, R7, -8), end],
};

test.each(Object.entries(callers))("a function that reads its caller's %s", (_, items) => {
  expect(reason(inFunction(items))).toBe(CALLERS);
});

test.each(Object.entries(callers).filter(([, items]) => items.length > 1))(
  "the program's first function may: %s",
  (_, items) => {
    expect(reason(items)).toBeUndefined();
  },
);

const known: Readonly<Record<string, Items>> = {
  "its arguments": [([R1, R2, R3, R4, R5] as const).map((reg) => asm.stx("u64", R10, reg, -8)), end],
  "r6, written before": [asm.mov64Imm(R6, 1), asm.mov64(R0, R6), asm.exit()],
  "r6, written on both ways": [
    asm.jmpImm("jeq", R1, 0, "other"),
    asm.mov64Imm(R6, 1),
    asm.ja("out"),
    label("other"),
    asm.mov64Imm(R6, 2),
    label("out"),
    asm.mov64(R0, R6),
    asm.exit(),
  ],
  "r6, in code that nothing reaches": [asm.mov64Imm(R0, 0), asm.ja(1), asm.mov64(R0, R6), asm.exit()],
  "r0, of a call": [asm.call(u.BPF_FUNC_ktime_get_ns), asm.exit()],
  "r0, of a packet load": [asm.mov64(R6, R1), asm.raw(0x20, 0, 0, 0, 4), asm.exit()],
  "what a fetch brought": [
    asm.mov64Imm(R6, 1),
    asm.atomic("fetchAdd", "u64", R10, R6, -8),
    asm.mov64(R0, R6),
    asm.exit(),
  ],
};

test.each(Object.entries(known))("a function that reads %s", (_, items) => {
  expect(reason(inFunction(items))).toBeUndefined();
});

/** Calls whose function or program may leave anything in r1 .. r5. */
const loop: Items = [
  asm.mov64Imm(R1, 1),
  asm.ldFunc(R2, "f"),
  asm.mov64Imm(R3, 0),
  asm.mov64Imm(R4, 0),
  asm.call(u.BPF_FUNC_loop),
];
const tail: Items = [asm.mov64Imm(R2, 0), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call)];
const spoilers: Readonly<Record<string, readonly [Items, number]>> = {
  "a local call": [[asm.callRel("f")], 0],
  "a helper that calls a function": [loop, 5],
  "a tail call that went nowhere": [tail, 2],
};
const f: Items = [label("f"), end];

for (const [name, [call, at]] of Object.entries(spoilers)) {
  test.each([R1, R2, R3, R4, R5] as const)(`r%i after ${name}`, (reg) => {
    const why = `what instruction ${at} leaves in r1 to r5 is read`;
    expect(reason([call, asm.mov64(R0, reg), asm.exit(), f])).toBe(why);
    expect(reason([call, asm.mov64Imm(reg, 1), asm.mov64(R0, reg), asm.exit(), f])).toBeUndefined();
  });

  test(`after ${name}: on one way, by another call, in the next turn`, () => {
    const why = `what instruction ${at} leaves in r1 to r5 is read`;
    expect(reason([call, asm.jmpImm("jeq", R0, 0, 1), asm.mov64Imm(R1, 1), asm.stx("u64", R10, R1, -8), end, f])).toBe(
      why,
    );
    expect(reason([call, asm.call(u.BPF_FUNC_get_prandom_u32), asm.exit(), f])).toBeUndefined();
    // A call takes as many as it has arguments.
    expect(reason([call, asm.mov64Imm(R1, 0), asm.call(u.BPF_FUNC_redirect), asm.exit(), f])).toBe(why);
    const both = [asm.mov64Imm(R1, 0), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_redirect), asm.exit()];
    expect(reason([call, both, f])).toBeUndefined();
    const turns = [label("again"), asm.stx("u64", R10, R5, -8), call, asm.jmpImm("jne", R0, 0, "again"), asm.exit()];
    expect(reason([turns, f])).toBe(why.replace(/\d+/, `${at + 1}`));
    // r6 .. r9 and r0 are as they should be.
    expect(reason([asm.mov64Imm(R6, 1), call, asm.alu64("add", R0, R6), asm.exit(), f])).toBeUndefined();
  });
}

test("what other helpers leave is known", () => {
  expect(reason([asm.call(u.BPF_FUNC_ktime_get_ns), asm.mov64(R0, R1), asm.exit()])).toBeUndefined();
});

test("r0 of a function without a result may not be read: it would be the caller's", () => {
  const nothing: Items = [label("f"), asm.exit()];
  const at = (start: number): string => `the function at instruction ${start} reads registers of its caller`;
  expect(reason([asm.callRel("f"), end, nothing])).toBeUndefined();
  expect(reason([asm.callRel("f"), asm.exit(), nothing])).toBe(at(2));
  expect(reason([asm.callRel("f"), asm.stx("u64", R10, R0, -8), end, nothing])).toBe(at(4));
  // On one way only.
  const sometimes = [label("f"), asm.jmpImm("jeq", R1, 0, 1), asm.mov64Imm(R0, 1), asm.exit()];
  expect(reason([asm.callRel("f"), asm.exit(), sometimes])).toBe(at(2));
  expect(reason([asm.callRel("f"), end, sometimes])).toBeUndefined();
  // By way of a function that calls it last.
  const outer = [label("g"), asm.mov64Imm(R0, 7), asm.callRel("f"), asm.exit()];
  expect(reason([asm.callRel("g"), end, outer, nothing])).toBeUndefined();
  const passesOn = [label("g"), asm.callRel("f"), asm.exit()];
  expect(reason([asm.callRel("g"), end, passesOn, nothing])).toBeUndefined();
  expect(reason([asm.callRel("g"), asm.exit(), passesOn, nothing])).toBe(at(2));
  // Helpers look at what their functions return.
  expect(reason([loop, end, nothing])).toBe(at(8));
});

test("a first function that is called has a caller", () => {
  const body = [asm.mov64(R0, R6), asm.mov64Imm(R6, 1), asm.jmpImm("jeq", R1, 0, 1)];
  expect(reason([body, asm.callRel("f"), asm.exit(), f])).toBeUndefined();
  expect(reason([body, asm.callRel(-4), asm.exit()])).toBe(
    "the function at instruction 0 reads registers of its caller",
  );
});
