import { expect, test } from "vitest";
import { Code, I32, I64 } from "./code.ts";
import {
  block,
  blockValue,
  choose,
  const32,
  type Expr32,
  type Expr64,
  Local32,
  Local64,
  local32,
  local64,
  loop,
  type Operand32,
  push32,
  select,
  when,
} from "./expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "./module.ts";
import { ATOMIC_ADD, ATOMIC_XCHG, DROP } from "./opcodes.ts";

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const view = new DataView(memory.buffer);

type Emit<A> = (code: Code, a: A, b: A) => Operand32;

function run(code: Code, type: typeof I32 | typeof I64, result: Operand32): (a: unknown, b: unknown) => number {
  push32(code, result);
  const module = new ModuleBuilder();
  const func = module.declare({ params: [type, type], results: [I32] });
  module.define(func, code);
  module.exportFunction("f", func);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.bytes(1)), {
    [IMPORTS]: { [MEMORY]: memory },
  });
  return exports["f"] as (a: unknown, b: unknown) => number;
}

function run32(emit: Emit<Local32>): (a?: number, b?: number) => number {
  const code = new Code(2);
  const call = run(code, I32, emit(code, new Local32(code, 0), new Local32(code, 1)));
  return (a = 0, b = 0) => call(a, b);
}

function run64(emit: Emit<Local64>): (a: bigint, b?: bigint) => number {
  const code = new Code(2);
  const call = run(code, I64, emit(code, new Local64(code, 0), new Local64(code, 1)));
  return (a, b = 0n) => call(a, b);
}

const numbers = [0, 1, 2, 7, 31, 33, 0x7fff_ffff, -0x8000_0000, -1, -2, 0x1234_5678];
const u = (x: number): number => x >>> 0;

test.each<[keyof Expr32, (a: number, b: number) => number]>([
  ["add", (a, b) => a + b],
  ["sub", (a, b) => a - b],
  ["mul", (a, b) => Math.imul(a, b)],
  ["and", (a, b) => a & b],
  ["or", (a, b) => a | b],
  ["xor", (a, b) => a ^ b],
  ["shl", (a, b) => a << b],
  ["shrU", (a, b) => a >>> b],
  ["shrS", (a, b) => a >> b],
  ["rotl", (a, b) => (a << b) | ((b & 31) === 0 ? 0 : a >>> -b)],
  ["eq", (a, b) => Number(a === b)],
  ["ne", (a, b) => Number(a !== b)],
  ["ltU", (a, b) => Number(u(a) < u(b))],
  ["leU", (a, b) => Number(u(a) <= u(b))],
  ["gtU", (a, b) => Number(u(a) > u(b))],
  ["geU", (a, b) => Number(u(a) >= u(b))],
  ["ltS", (a, b) => Number(a < b)],
])("%s of two i32, and of one and a constant", (name, expected) => {
  type Method = (other: Operand32) => Expr32;
  const both = run32((_, a, b) => (a[name] as Method)(b));
  for (const b of numbers) {
    const constant = run32((_, a) => (a[name] as Method)(b));
    for (const a of numbers) {
      expect(both(a, b)).toBe(expected(a, b) | 0);
      expect(constant(a)).toBe(expected(a, b) | 0);
    }
  }
});

const longs = [
  0n,
  1n,
  63n,
  65n,
  0xffff_ffffn,
  1n << 32n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
  1234567890123n,
];
const low = (x: bigint): bigint => BigInt.asUintN(64, x);

test.each<[keyof Expr64, (a: bigint, b: bigint) => bigint]>([
  ["add", (a, b) => a + b],
  ["sub", (a, b) => a - b],
  ["mul", (a, b) => a * b],
  ["and", (a, b) => a & b],
  ["or", (a, b) => a | b],
  ["xor", (a, b) => a ^ b],
  ["shl", (a, b) => a << (b & 63n)],
  ["shrU", (a, b) => a >> (b & 63n)],
  ["rotl", (a, b) => (a << (b & 63n)) | (a >> (64n - (b & 63n)))],
])("%s of two i64", (name, expected) => {
  type Method = (other: Expr64) => Expr64;
  const half = (shift: number) => run64((_, a, b) => (a[name] as Method)(b).shrU(shift).wrap());
  const [lower, upper] = [half(0), half(32)];
  for (const a of longs) {
    for (const b of longs) {
      const wanted = low(expected(a, b));
      expect(BigInt(u(lower(a, b))) | (BigInt(u(upper(a, b))) << 32n)).toBe(wanted);
    }
  }
});

test.each<[keyof Expr64, (a: bigint, b: bigint) => boolean]>([
  ["eq", (a, b) => a === b],
  ["ne", (a, b) => a !== b],
  ["ltU", (a, b) => a < b],
  ["leU", (a, b) => a <= b],
])("%s of two i64 is an i32", (name, expected) => {
  const compare = run64((_, a, b) => (a[name] as (other: Expr64) => Expr32)(b));
  for (const a of longs) for (const b of longs) expect(compare(a, b)).toBe(Number(expected(a, b)));
});

test("constants of an i64 are numbers up to 2^53, and negative ones", () => {
  for (const n of [0, 1, -1, 2 ** 32, 2 ** 53 - 1, -(2 ** 31), -(2 ** 40)]) {
    expect(run64((_, a) => a.eq(n))(BigInt(n))).toBe(1);
    expect(run64((_, a) => a.eq(n))(BigInt(n) + 1n)).toBe(0);
  }
});

test("from one width to the other", () => {
  expect(run32((_, a) => a.extendU().shrU(32).eqz())(-1)).toBe(1);
  expect(run32((_, a) => a.eqz())(0)).toBe(1);
  expect(numbers.map((n) => run32((_, a) => a.clz())(n))).toEqual(numbers.map((n) => Math.clz32(n)));
  expect(run64((_, a) => a.eqz())(1n << 40n)).toBe(0);
});

test("memory: an offset is added to the address, and only the bytes of the width are touched", () => {
  view.setBigUint64(64, 0x8877_6655_4433_2211n, true);
  expect(run32((_, a) => a.load8(3))(64)).toBe(0x44);
  expect(run32((_, a) => a.load16(3))(64)).toBe(0x5544);
  expect(u(run32((_, a) => a.load(4))(64))).toBe(0x8877_6655);
  expect(u(run32((_, a) => a.load64().shrU(16).wrap())(64))).toBe(0x6655_4433);
  const stored = (write: (a: Local32, b: Local32) => void): bigint => {
    view.setBigUint64(64, 0n, true);
    run32((_, a, b) => {
      write(a, b);
      return 0;
    })(64, -1);
    return view.getBigUint64(64, true);
  };
  expect(stored((a, b) => a.store8(1, b))).toBe(0xff00n);
  expect(stored((a, b) => a.store16(2, b))).toBe(0xffff_0000n);
  expect(stored((a, b) => a.store(4, b))).toBe(0xffff_ffff_0000_0000n);
  expect(stored((a, b) => a.store64(0, b.extendU().shl(8)))).toBe(0xff_ffff_ff00n);
  expect(stored((a) => a.store64(0, 2 ** 40))).toBe(1n << 40n);
  expect(stored((a) => a.atomicStore(4, 7))).toBe(7n << 32n);
  expect(stored((a) => a.atomicStore64(0, 2 ** 33))).toBe(2n << 32n);
});

test("atomics return what was there before", () => {
  view.setBigUint64(64, 5n, true);
  expect(run32((_, a) => a.atomic(ATOMIC_ADD, 4, 3))(60)).toBe(5);
  expect(run32((_, a) => a.atomicLoad(4))(60)).toBe(8);
  expect(run32((_, a) => a.cmpxchg(4, 7, 9))(60)).toBe(8);
  expect(run32((_, a) => a.cmpxchg(4, 8, 9))(60)).toBe(8);
  expect(run32((_, a) => a.atomic(ATOMIC_XCHG, 0, 1))(64)).toBe(9);
  expect(run32((_, a) => a.atomicLoad64(8).wrap())(56)).toBe(1);
});

test("what is computed, and how often", () => {
  view.setUint32(64, 0, true);
  const count = (code: Code): Expr32 => const32(code, 64).atomic(ATOMIC_ADD, 0, 1).add(1);
  const twice = run32((code) => {
    const once = local32(code, count(code));
    return once.add(once).add(count(code));
  });
  expect(twice()).toBe(1 + 1 + 2);
  const chosen = run32((code, a) =>
    choose(
      a,
      () => count(code),
      () => -1,
    ),
  );
  expect([chosen(0), chosen(1)]).toEqual([-1, 3]);
  const selected = run32((code, a) => select(a, count(code), count(code)));
  expect([selected(1), selected(0)]).toEqual([4, 7]);
});

test("blocks, loops and ways out", () => {
  // Adds up 1 to n, but stops at 1,000.
  const sum = run32((code, n) =>
    blockValue(code, (end) => {
      const total = local32(code, 0);
      block(code, (out) => {
        loop(code, (again) => {
          out.when(n.eqz());
          when(total.gtU(1000), () => end(-1));
          total.set(total.add(n));
          n.set(n.sub(1));
          again.go();
        });
      });
      return total;
    }),
  );
  expect([sum(0), sum(10), sum(100)]).toEqual([0, 55, -1]);
  const either = run32((code, a) => {
    const result = local32(code);
    const wide = local64(code, a.extendU());
    when(
      wide.ltU(10),
      () => result.set(1),
      () => {
        a.push();
        code.op(DROP);
        result.set(2);
      },
    );
    return result;
  });
  expect([either(9), either(10)]).toEqual([1, 2]);
});
