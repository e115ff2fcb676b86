/** Modules that the engine accepts, links and runs. */
import { expect, test } from "vitest";
import { Code, EXTERNREF, I32, I64 } from "./code.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "./module.ts";
import {
  ATOMIC_ADD,
  ELSE,
  I32_ADD,
  I32_EQZ,
  I32_LOAD,
  I32_SUB,
  I64_EXTEND_I32_U,
  I64_MUL,
  I64_STORE,
  IF,
  MEMORY_COPY,
  MEMORY_FILL,
} from "./opcodes.ts";

const PAGE = 0x10000;

/** All that the compiler uses: two functions of JavaScript, something of its, memory, functions that call each other. */
function everything(shared: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const binary = { params: [I32, I32], results: [I32] } as const;
  const note = module.importFunction("note", { params: [EXTERNREF, I32], results: [] });
  const minus = module.importFunction("minus", binary);
  const thing = module.importGlobal("thing", EXTERNREF);
  const factor = module.importGlobal("n", I64);

  const even = module.declare({ params: [I32], results: [I32] });
  const odd = module.declare({ params: [I32], results: [I32] });
  // Each calls the other, that is defined later or earlier.
  for (const [func, other, atZero] of [
    [odd, even, 0],
    [even, odd, 1],
  ] as const) {
    const code = new Code(1);
    code.get(0);
    code.op(I32_EQZ);
    code.open(IF, I32);
    code.i32(atZero);
    code.op(ELSE);
    code.get(0);
    code.i32(1);
    code.op(I32_SUB);
    code.call(other);
    code.end();
    module.define(func, code);
  }
  module.exportFunction("even", even);
  module.exportFunction("odd — ungerade", odd);

  const work = module.declare(binary);
  const code = new Code(2);
  code.global(thing);
  code.get(0);
  code.call(note);
  // The second word at the address, minus the second argument.
  code.get(0);
  code.memory(I32_LOAD, 4);
  code.get(1);
  code.call(minus);
  // The product goes behind it, at an address of no alignment.
  code.get(0);
  code.get(1);
  code.op(I64_EXTEND_I32_U);
  code.global(factor);
  code.op(I64_MUL);
  code.memory(I64_STORE, 301);
  module.define(work, code);
  module.exportFunction("work", work);

  const bulk = module.declare({ params: [I32], results: [I32] });
  const moves = new Code(1);
  moves.get(0);
  moves.i32(0x5a);
  moves.i32(8);
  moves.bulk(MEMORY_FILL);
  moves.get(0);
  moves.i32(8);
  moves.op(I32_ADD);
  moves.get(0);
  moves.i32(4);
  moves.bulk(MEMORY_COPY);
  moves.get(0);
  if (shared) {
    moves.i32(0x0101_0101);
    moves.atomic(ATOMIC_ADD, 4);
  } else {
    moves.memory(I32_LOAD);
  }
  module.define(bulk, moves);
  module.exportFunction("bulk", bulk);
  return module.bytes(shared ? 4 : undefined);
}

test.each([false, true])("imports of all kinds, functions that call each other; shared: %s", (shared) => {
  const bytes = everything(shared);
  expect(WebAssembly.validate(bytes)).toBe(true);
  const module = new WebAssembly.Module(bytes);
  expect(WebAssembly.Module.imports(module)).toMatchObject([
    { module: IMPORTS, name: MEMORY, kind: "memory" },
    { name: "note", kind: "function" },
    { name: "minus", kind: "function" },
    { name: "thing", kind: "global" },
    { name: "n", kind: "global" },
  ]);
  const memory = new WebAssembly.Memory(shared ? { initial: 1, maximum: 4, shared } : { initial: 1 });
  const thing = { some: "thing" };
  const noted: unknown[] = [];
  const { exports } = new WebAssembly.Instance(module, {
    [IMPORTS]: {
      [MEMORY]: memory,
      note: (...args: unknown[]) => noted.push(...args),
      minus: (a: number, b: number) => a - b,
      thing: new WebAssembly.Global({ value: "externref" }, thing),
      n: new WebAssembly.Global({ value: "i64" }, 1n << 40n),
    },
  });
  const run = exports as Record<string, (...args: number[]) => number>;
  expect([0, 1, 2, 7, 100].map((n) => [run["even"]!(n), run["odd — ungerade"]!(n)])).toEqual([
    [1, 0],
    [0, 1],
    [1, 0],
    [0, 1],
    [1, 0],
  ]);
  const view = new DataView(memory.buffer);
  view.setInt32(1004, 50, true);
  expect(run["work"]!(1000, 8)).toBe(42);
  expect(noted[0]).toBe(thing);
  expect(noted[1]).toBe(1000);
  expect(view.getBigUint64(1301, true)).toBe(8n << 40n);
  expect(run["bulk"]!(2000)).toBe(0x5a5a_5a5a);
  expect(view.getUint32(2008, true)).toBe(0x5a5a_5a5a);
  expect(view.getUint32(2012, true)).toBe(0);
  expect(view.getUint32(2000, true)).toBe(shared ? 0x5b5b_5b5b : 0x5a5a_5a5a);
});

test("a memory that is shared, or larger than was said, or not shared, is not taken for the other", () => {
  const link = (bytes: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory): WebAssembly.Instance =>
    new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: { [MEMORY]: memory } });
  const [own, shared] = [new ModuleBuilder().bytes(undefined), new ModuleBuilder().bytes(300)];
  const memories = {
    own: new WebAssembly.Memory({ initial: 1 }),
    shared: new WebAssembly.Memory({ initial: 1, maximum: 300, shared: true }),
    larger: new WebAssembly.Memory({ initial: 1, maximum: 301, shared: true }),
  };
  expect(memories.own.buffer.byteLength).toBe(PAGE);
  link(own, memories.own);
  link(shared, memories.shared);
  expect(() => link(own, memories.shared)).toThrow(WebAssembly.LinkError);
  expect(() => link(shared, memories.own)).toThrow(WebAssembly.LinkError);
  expect(() => link(shared, memories.larger)).toThrow(WebAssembly.LinkError);
});

test("hundreds of functions and signatures: counts, sizes and indices of more than a byte", () => {
  const module = new ModuleBuilder();
  const imported: number[] = [];
  const own = Array.from({ length: 300 }, (_, i) =>
    module.declare({ params: Array.from({ length: i % 200 }, () => I32), results: [I32] }),
  );
  own.forEach((func, i) => {
    // Some are imported when others are defined already, and have called what comes behind all imports.
    if (i < 150) imported.push(module.importFunction(`in${i}`, { params: [], results: [I32] }));
    const code = new Code(i % 200);
    code.call(imported[i % 150]!);
    code.i32(i * 1000);
    code.op(I32_ADD);
    if (i % 200 === 0) {
      // The one of 199 parameters, none of which it looks at.
      for (let n = 0; n < 199; n++) code.i32(0);
      code.call(own[199]!);
      code.op(I32_ADD);
    }
    module.define(func, code);
    module.exportFunction(`out${i}`, func);
  });
  const bytes = module.bytes(undefined);
  // As many types as there are signatures: one import's and one function's are the same.
  const types = bytes.indexOf(0x60);
  expect([bytes[8], bytes[types - 2], bytes[types - 1]]).toEqual([1, 0x80 | (200 & 0x7f), 200 >> 7]);
  const imports: WebAssembly.ModuleImports = { [MEMORY]: new WebAssembly.Memory({ initial: 1 }) };
  imported.forEach((_, i) => {
    imports[`in${i}`] = () => i;
  });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: imports });
  const results = own.map((_, i) => (exports[`out${i}`] as () => number)());
  const result = (i: number): number => (i % 150) + i * 1000;
  expect([imported.at(-1), own.at(-1)]).toEqual([149, -300]);
  expect(results).toEqual(own.map((_, i) => result(i) + (i % 200 === 0 ? result(199) : 0)));
});
