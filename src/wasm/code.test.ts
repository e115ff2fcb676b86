/** Numbers at the edges of their encodings, against a reference in BigInt; locals; branches by levels. */
import { expect, test } from "vitest";
import { Bug } from "../errors.ts";
import { Bytes, Code, EXTERNREF, I32, I64 } from "./code.ts";
import { RETURN_CALLS } from "./features.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "./module.ts";
import { BLOCK, I32_ADD, I32_EQZ, I32_SUB, I64_ADD, IF } from "./opcodes.ts";

/** LEB128 as the specification defines it (section 5.2.2). */
function reference(value: bigint, signed: boolean): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    const last = signed ? rest === (byte & 0x40 ? -1n : 0n) : rest === 0n;
    bytes.push(last ? byte : byte | 0x80);
    if (last) return bytes;
  }
}

const around = (power: number): bigint[] => [-1n, 0n, 1n].map((by) => (1n << BigInt(power)) + by);
const powers = Array.from({ length: 65 }, (_, power) => around(power)).flat();
const edges = (signed: boolean, bits: number): bigint[] => {
  const within = signed ? BigInt.asIntN : BigInt.asUintN;
  const all = [...powers, ...powers.map((value) => -value), 0x1234_5678_9abc_def0n, -0x1234_5678_9abc_def0n];
  return [...new Set(all.map((value) => within(bits, value)))];
};

function written(write: (to: Bytes) => void): number[] {
  const bytes = new Bytes();
  write(bytes);
  return [...bytes.view];
}

test("unsigned numbers of 32 bits", () => {
  for (const value of edges(false, 32)) {
    expect(
      written((to) => to.u32(Number(value))),
      `${value}`,
    ).toEqual(reference(value, false));
  }
  // Addresses above 2 GiB come as negative numbers now and then.
  expect(written((to) => to.u32(-1))).toEqual(reference(0xffff_ffffn, false));
});

test("signed numbers of 64 bits, from halves that are signed or not", () => {
  for (const value of edges(true, 64)) {
    const [low, high] = [value & 0xffff_ffffn, BigInt.asUintN(64, value) >> 32n].map(Number) as [number, number];
    expect(
      written((to) => to.s64(low, high)),
      `${value}`,
    ).toEqual(reference(value, true));
    expect(
      written((to) => to.s64(low | 0, high | 0)),
      `${value}`,
    ).toEqual(reference(value, true));
  }
});

test("constants are what the engine reads", () => {
  const module = new ModuleBuilder();
  const wide = edges(true, 64);
  const narrow = edges(true, 32);
  wide.forEach((value, i) => {
    const code = new Code(0);
    code.i64(Number(BigInt.asIntN(32, value)), Number(value >> 32n));
    const func = module.declare({ params: [], results: [I64] });
    module.define(func, code);
    module.exportFunction(`wide${i}`, func);
  });
  narrow.forEach((value, i) => {
    const code = new Code(0);
    // Signed or not: the same bits.
    code.i32(i % 2 === 0 ? Number(value) : Number(value) >>> 0);
    const func = module.declare({ params: [], results: [I32] });
    module.define(func, code);
    module.exportFunction(`narrow${i}`, func);
  });
  const run = exportsOf(module);
  expect(wide.map((_, i) => run[`wide${i}`]!())).toEqual(wide);
  expect(narrow.map((_, i) => BigInt(run[`narrow${i}`]!() as number))).toEqual(narrow);
});

type Exports = Readonly<Record<string, (...args: (number | bigint)[]) => number | bigint>>;

function exportsOf(module: ModuleBuilder): Exports {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const compiled = new WebAssembly.Module(module.bytes(undefined));
  return new WebAssembly.Instance(compiled, { [IMPORTS]: { [MEMORY]: memory } }).exports as Exports;
}

test("bytes grow by one, and by more than they hold", () => {
  const bytes = new Bytes();
  const expected: number[] = [];
  for (let i = 0; i < 257; i++) {
    bytes.byte(i & 0xff);
    expected.push(i & 0xff);
  }
  const more = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
  bytes.append(more);
  bytes.append(new Uint8Array(0));
  expect([...bytes.view]).toEqual([...expected, ...more]);
});

test("locals are written as runs of a type", () => {
  const code = new Code(3);
  const numbers = Array.from({ length: 130 }, () => code.local(I32));
  numbers.push(code.local(I64), code.local(EXTERNREF), code.local(EXTERNREF), code.local(I32));
  expect(numbers).toEqual(Array.from({ length: 134 }, (_, i) => 3 + i));
  expect(written((to) => code.writeBody(to, 0))).toEqual([4, 0x82, 0x01, I32, 1, I64, 2, EXTERNREF, 1, I32, 0x0b]);
  expect(written((to) => new Code(3).writeBody(to, 0))).toEqual([0, 0x0b]);
});

test("locals behind parameters hold what was put into them", () => {
  const module = new ModuleBuilder();
  const func = module.declare({ params: [I32, I64], results: [I64] });
  const code = new Code(2);
  const many = Array.from({ length: 200 }, (_, i) => code.local(i % 3 === 0 ? I32 : I64));
  for (const [i, local] of many.entries()) {
    if (i % 3 === 0) code.i32(i);
    else code.i64(i, 0);
    if (i === 100) {
      code.tee(local);
      code.op(0x1a);
    } else code.set(local);
  }
  code.get(1);
  code.get(many[199]!);
  code.op(I64_ADD);
  code.get(many[100]!);
  code.op(I64_ADD);
  module.define(func, code);
  module.exportFunction("f", func);
  expect(exportsOf(module)["f"]!(5, 1000n)).toBe(1000n + 199n + 100n);
});

test("branches lead to the level they name", () => {
  const module = new ModuleBuilder();
  const func = module.declare({ params: [I32], results: [I32] });
  const code = new Code(1);
  const sum = code.local(I32);
  const add = (value: number): void => {
    code.get(sum);
    code.i32(value);
    code.op(I32_ADD);
    code.set(sum);
  };
  // Block 3 in loop 2 in block 1; an if in it all.
  const out = code.open(BLOCK);
  const again = code.loop();
  const skip = code.open();
  expect([out, again, skip, code.depth]).toEqual([1, 2, 3, 3]);
  code.get(0);
  code.op(I32_EQZ);
  code.br(out, true);
  code.get(0);
  code.i32(1);
  code.op(I32_SUB);
  code.tee(0);
  code.open(IF);
  code.br(skip);
  code.end();
  add(1000);
  code.br(again);
  code.end();
  add(1);
  code.br(again);
  code.end();
  add(1_000_000);
  code.end();
  code.get(sum);
  module.define(func, code);
  module.exportFunction("f", func);
  const { f } = exportsOf(module);
  expect([0, 1, 2, 10].map((n) => f!(n))).toEqual([0, 1000, 1001, 1009]);
});

test("a branch to a level that is not open is a bug", () => {
  const code = new Code(0);
  const level = code.open();
  expect(() => code.br(level + 1)).toThrow(Bug);
  code.end();
  expect(() => code.br(level)).toThrow(Bug);
  expect(() => code.br(0)).toThrow(Bug);
});

/** The sum of 1 to n. */
function sumModule(returnCalls: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const sum = module.declare({ params: [I32, I32], results: [I32] });
  const code = new Code(2, undefined, returnCalls);
  code.get(0);
  code.open(IF);
  code.get(0);
  code.i32(1);
  code.op(I32_SUB);
  code.get(0);
  code.get(1);
  code.op(I32_ADD);
  code.returnCall(sum);
  code.end();
  code.get(1);
  module.define(sum, code);
  module.exportFunction("sum", sum);
  return module.bytes(undefined);
}

test("calls in the place of a function, and the same for engines without them", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const [inPlace, nested] = [true, false].map((returnCalls) => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(sumModule(returnCalls)), {
      [IMPORTS]: { [MEMORY]: memory },
    });
    return exports.sum as (n: number, sum: number) => number;
  });
  expect([inPlace!(100, 0), nested!(100, 0)]).toEqual([5050, 5050]);
  expect(inPlace!(1_000_000, 0)).toBe(1_784_293_664);
  expect(() => nested!(1_000_000, 0)).toThrow(RangeError);
  expect(RETURN_CALLS).toBe(true);
});
