/**
 * Programs that no verifier would let pass, written against one rule of the compiler each: they must not touch a byte that
 * is not theirs, and must end as they do where they are interpreted.
 */
import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import { createEmbedded } from "../../src/index.ts";
import * as asm from "../../src/insn/index.ts";
import { FUNC_HIGH } from "../../src/kern/run_record.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "../conformance/programs.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, label } = asm;
type Items = readonly asm.AsmItem[];

const options = { memory: 16 << 20, seed: 1, clock: "virtual", cpus: 2, runBudget: 20_000 } as const;
const jit = createEmbeddedHost(options);
const interp = createEmbeddedHost({ ...options, engine: "interp" });
afterAll(() => {
  jit.dispose();
  interp.dispose();
});

/** How the run ends: its result or errno, what the values hold, and what went wrong. */
interface End {
  readonly ret: number;
  readonly retval: number;
  readonly values: readonly bigint[];
  readonly fault: string;
}

const WORDS = 8;
/** r9: the value that is left behind. */
type Make = (values: number, host: EmbeddedHost) => Items;

function endOn(host: EmbeddedHost, make: Make, given: readonly bigint[], type?: number): End {
  const values = resultMap(host, WORDS * 8);
  const value = new Uint8Array(new BigUint64Array([...given, ...new Array(WORDS).fill(0n)].slice(0, WORDS)).buffer);
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: values, key: new Uint8Array(4), value, flags: 0 });
  const items = [asm.mov64(R6, R1), asm.ldMapValue(R9, values, 0), ...make(values, host)];
  const { fd, log } = loadProgram(host, items, type === undefined ? {} : { type });
  if (fd < 0) throw new Error(log);
  const { ret, retval } = testRun(host, fd);
  // Addresses are not the same on two hosts.
  const fault = readStderr(host, fd).replaceAll(/0x[0-9a-f]+|\d{5,}/g, "…");
  const end = { ret, retval, values: [...readResults(host, values, WORDS * 8)], fault };
  host.close(fd);
  host.close(values);
  return end;
}

/** The compiled program ends as the interpreted one; returns how. */
function same(make: Make, given: readonly bigint[] = [], type?: number): End {
  const compiled = endOn(jit, make, given, type);
  expect(compiled).toEqual(endOn(interp, make, given, type));
  return compiled;
}

const end: Items = [asm.mov64Imm(R0, 2), asm.exit()];

test("a constant address or NULL, compared with that address", () => {
  // r7 is r9 or NULL: where it is not r9 it is NULL, and r8 becomes a number.
  const { ret, fault } = same(
    () => [
      asm.mov64Imm(R7, 0),
      asm.ldx("u64", R1, R9, 0),
      asm.jmpImm("jne", R1, 0, "null"),
      asm.mov64(R7, R9),
      label("null"),
      asm.mov64(R8, R9),
      asm.jmp("jeq", R7, R9, "store"),
      asm.mov64Imm(R8, 0x10000),
      label("store"),
      asm.st("u64", R8, 0, 0x1234),
      ...end,
    ],
    [1n],
  );
  expect({ ret, fault }).toMatchObject({ ret: -u.EFAULT });
});

/** Nothing runs on for long once the budget is spent. */
function spendsAll(make: Make): void {
  const { ret, values } = endOn(jit, make, []);
  expect(ret).toBe(-u.ETIMEDOUT);
  expect(values[0]).toBeLessThan(BigInt(options.runBudget));
}

test("functions that call functions, again and again, without a loop", () => {
  const counts: Items = [asm.ldx("u64", R1, R6, 0), asm.alu64Imm("add", R1, 1), asm.stx("u64", R6, R1, 0)];
  const level = (n: number): Items => [
    label(`f${n}`),
    asm.mov64(R6, R1),
    n === 7 ? counts : Array.from({ length: 8 }, () => [asm.mov64(R1, R6), asm.callRel(`f${n + 1}`)]).flat(),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ];
  spendsAll(() => [asm.mov64(R1, R9), asm.callRel("f1"), ...end, [1, 2, 3, 4, 5, 6, 7].flatMap(level)]);
});

test("loops of helpers inside loops of helpers", () => {
  const loop = (name: string, ctx: asm.Reg): Items => [
    asm.mov64(R3, ctx),
    asm.mov64Imm(R1, 1 << 9),
    asm.ldFunc(R2, name),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_loop),
  ];
  const counts: Items = [asm.ldx("u64", R1, R2, 0), asm.alu64Imm("add", R1, 1), asm.stx("u64", R2, R1, 0)];
  spendsAll(() => [
    loop("outer", R9),
    end,
    [label("outer"), loop("inner", R2), asm.mov64Imm(R0, 0), asm.exit()],
    [label("inner"), counts, asm.mov64Imm(R0, 0), asm.exit()],
  ]);
});

/** Reads a register of its caller's, which only the interpreter knows. */
const nosy: Items = [label("nosy"), asm.mov64(R0, R6), asm.exit()];

test("a program that is interpreted goes on where the budget is spent already", () => {
  const programs = jit.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_PROG_ARRAY,
    key_size: 4,
    value_size: 4,
    max_entries: 1,
  });
  const count = (turns: number): Items => [
    asm.mov64Imm(R7, turns),
    label("again"),
    asm.alu64Imm("sub", R7, 1),
    asm.jmpImm("jne", R7, 0, "again"),
  ];
  const { runBudget } = options;
  const target = loadProgram(jit, [count(10 * runBudget), asm.mov64Imm(R6, 2), asm.callRel("nosy"), asm.exit(), nosy]);
  const value = new Uint8Array(Uint32Array.of(target.fd).buffer);
  expect(jit.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: programs, key: new Uint8Array(4), value, flags: 0 })).toBe(0);
  const { fd } = loadProgram(jit, [
    asm.mov64(R6, R1),
    count(runBudget / 2 - 50),
    Array.from({ length: 200 }, () => asm.mov64Imm(R0, 0)),
    asm.mov64(R1, R6),
    asm.ldMapFd(R2, programs),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_tail_call),
    end,
  ]);
  expect(testRun(jit, fd).ret).toBe(-u.ETIMEDOUT);
  for (const each of [fd, target.fd, programs]) jit.close(each);
});

test("what runs in front of a loop counts once, not in every turn", () => {
  const { ret, retval } = same(() => [
    asm.mov64Imm(R7, options.runBudget / 10),
    Array.from({ length: 100 }, () => asm.mov64Imm(R0, 0)),
    label("again"),
    asm.alu64Imm("sub", R7, 1),
    asm.jmpImm("jne", R7, 0, "again"),
    end,
  ]);
  expect({ ret, retval }).toEqual({ ret: 0, retval: 2 });
});

test("a function whose address only code takes that nothing reaches", () => {
  const callback = 10;
  const insns = asm.assemble([
    asm.mov64Imm(R1, 3),
    asm.ldImm64(R2, (BigInt(FUNC_HIGH) << 32n) | BigInt(callback)),
    asm.mov64Imm(R3, 0),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_loop),
    asm.exit(),
    asm.ldFunc(R2, "callback"),
    asm.exit(),
    label("callback"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ]);
  // The kernel's rules, by which programs are loaded, refuse such code.
  using host = createEmbedded({ memory: 16 << 20 });
  expect(host.execute(insns)).toMatchObject({ r0: 3n, engine: "jit" });
});
