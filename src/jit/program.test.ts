/** Functions and blocks of programs, and what is no program. */
import { expect, test } from "vitest";
import * as asm from "../insn/index.ts";
import { createKernel } from "../kern/create.ts";
import { allocProg, PROG_INSNS, setProgSubprogs } from "../kern/prog.ts";
import * as u from "../uapi/index.ts";
import { type JitProgram, readProgram } from "./program.ts";

const { R0, R1, R2, R3, R6, label } = asm;
type Items = readonly asm.AsmItem[];

const { mem } = createKernel({ memory: 16 << 20, cpus: 1, shared: false, seed: 1, virtualClock: true });

/** As it lies in memory, with nothing checked. */
function read(items: Items, starts?: readonly number[]): JitProgram | string {
  const insns = asm.assemble(items);
  const prog = allocProg(mem, insns.length);
  mem.u8.set(asm.encodeInsns(insns), mem.u32[(prog + PROG_INSNS) >>> 2]!);
  setProgSubprogs(mem, prog, starts ?? asm.functionStarts(insns), asm.addressedFunctions(insns));
  return readProgram(mem, prog);
}

/** Each function: its blocks as "instructions>following blocks". */
function blocksOf(items: Items): string[] {
  const program = read(items);
  if (typeof program === "string") return [program];
  return program.functions.map(({ blocks }) =>
    blocks.map(({ ops, next }) => `${ops.map(({ index }) => index).join()}>${next.join()}`).join(" "),
  );
}

const end: Items = [asm.mov64Imm(R0, 0), asm.exit()];

const programs: Readonly<Record<string, readonly [Items, readonly string[]]>> = {
  "one block": [end, ["0,1>"]],
  "a conditional jump: where it leads comes first, then what follows": [
    [asm.jmpImm("jeq", R1, 0, "out"), asm.mov64Imm(R0, 1), asm.exit(), label("out"), end],
    ["0>2,1 1,2> 3,4>"],
  ],
  "a jump to what follows it anyway": [[asm.jmpImm("jeq", R1, 0, 0), end], ["0>1,1 1,2>"]],
  "a loop, and its head inside what runs on": [
    [asm.mov64Imm(R0, 0), label("again"), asm.alu64Imm("add", R0, 1), asm.jmpImm("jlt", R0, 9, "again"), asm.exit()],
    ["0>1 1,2>1,2 3>"],
  ],
  "an immediate of two slots is one instruction": [[asm.ldImm64(R0, 5n), asm.exit()], ["0,2>"]],
  "a helper's call does not end a block": [[asm.call(u.BPF_FUNC_ktime_get_ns), end], ["0,1,2>"]],
  "a tail call does: what is behind it may not be reached": [
    [asm.mov64(R6, R1), asm.call(u.BPF_FUNC_tail_call), end],
    ["0,1>1 2,3>"],
  ],
  "a packet load does too": [[asm.mov64(R6, R1), asm.raw(0x20, 0, 0, 0, 4), end], ["0,1>1 2,3>"]],
  "what nothing leads to is left out": [
    [asm.ja("out"), asm.mov64Imm(R2, 1), asm.mov64Imm(R3, 1), label("out"), end],
    ["0>1 3,4>"],
  ],
  "a loop that nothing leads to is left out too": [
    [asm.ja("out"), label("dead"), asm.mov64Imm(R2, 1), asm.ja("dead"), label("out"), end],
    ["0>1 3,4>"],
  ],
  "an endless loop at the end": [[label("again"), asm.mov64Imm(R0, 0), asm.ja("again")], ["0,1>0"]],
  "functions have blocks of their own": [
    [
      asm.callRel("f"),
      end,
      label("f"),
      asm.jmpImm("jeq", R1, 0, 1),
      asm.mov64Imm(R0, 1),
      asm.mov64Imm(R0, 2),
      asm.exit(),
    ],
    ["0>1 1,2>", "3>2,1 4>2 5,6>"],
  ],
  "a call that does not come back may be the last": [
    [asm.jmpImm("jeq", R1, 0, 1), asm.exit(), asm.call(u.BPF_FUNC_ktime_get_ns)],
    ["0>2,1 1> 2>"],
  ],
};

test.each(Object.entries(programs))("%s", (_, [items, blocks]) => {
  expect(blocksOf(items)).toEqual(blocks);
});

test("functions are found by their first instruction", () => {
  const program = read([asm.ldFunc(R2, "g"), asm.callRel("f"), end, label("f"), end, label("g"), end]) as JitProgram;
  expect(program.functions.map(({ start, end: last }) => [start, last])).toEqual([
    [0, 5],
    [5, 7],
    [7, 9],
  ]);
  expect([...program.functionAt]).toEqual([
    [0, 0],
    [5, 1],
    [7, 2],
  ]);
  expect(program.insnCount).toBe(9);
});

test("the halves of an immediate", () => {
  const { functions } = read([asm.ldImm64(R0, 0xffff_fffe_8000_0001n), asm.exit()]) as JitProgram;
  const [op] = functions[0]!.blocks[0]!.ops;
  expect([op!.imm, op!.high]).toEqual([-0x7fff_ffff, -2]);
});

const refused: Readonly<Record<string, readonly [Items, string, (readonly number[])?]>> = {
  "a jump into another function": [
    [asm.jmpImm("jeq", R1, 0, 3), asm.callRel(1), asm.exit(), ...end],
    "instruction 0 jumps out of its function, to 4",
  ],
  "a jump back into another function": [
    [asm.callRel(1), asm.exit(), asm.ja(-2), asm.exit()],
    "instruction 2 jumps out of its function, to 1",
  ],
  "a jump in front of the program": [[asm.ja(-2), asm.exit()], "instruction 0 jumps out of its function, to -1"],
  "a jump behind the program": [
    [asm.jmpImm("jne", R1, 0, 1), asm.exit()],
    "instruction 0 jumps out of its function, to 2",
  ],
  "a jump into the middle of an immediate": [
    [asm.ja(1), asm.ldImm64(R0, 1n), asm.exit()],
    "instruction 0 jumps out of its function, to 2",
  ],
  "no end": [[asm.mov64Imm(R0, 0)], "the function at instruction 0 runs off its end"],
  "a function with no end": [
    [asm.callRel(1), asm.exit(), asm.mov64Imm(R0, 1)],
    "the function at instruction 2 runs off its end",
  ],
  "a function that runs on into the next": [
    [asm.callRel(2), asm.callRel(2), asm.exit(), asm.mov64Imm(R0, 1), ...end],
    "the function at instruction 3 runs off its end",
    [0, 3, 4],
  ],
  "a conditional jump as the last": [
    [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 0, -2)],
    "the function at instruction 0 runs off its end",
  ],
  "an opcode that is none": [[asm.raw(0xff), ...end], "instruction 0 is none"],
};

test.each(Object.entries(refused))("no program: %s", (_, [items, why, starts]) => {
  expect(read(items, starts)).toBe(why);
});
