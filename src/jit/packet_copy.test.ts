/** Copies of packets, with vectors and on engines that have none. */
import { expect, test } from "vitest";
import { Code, I32 } from "../wasm/code.ts";
import { Local32 } from "../wasm/expr.ts";
import { VECTORS } from "../wasm/features.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "../wasm/module.ts";
import { COPY_STEP, emitPacketCopy } from "./packet_copy.ts";

const FROM = 4096;
const TO = 16_384;
const UNTOUCHED = 0xee;

test("this engine has vectors", () => {
  expect(VECTORS).toBe(true);
});

test.each([true, false])("packets of all lengths, at any place in a word; vectors: %s", (vectors) => {
  const module = new ModuleBuilder();
  const func = module.declare({ params: [I32, I32, I32], results: [] });
  const code = new Code(3);
  const [to, from, length] = [0, 1, 2].map((i) => new Local32(code, i));
  emitPacketCopy(to!, from!, length!, vectors);
  module.define(func, code);
  module.exportFunction("copy", func);
  const bytes = module.bytes(undefined);
  expect(bytes.includes(0xfd)).toBe(vectors);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: { [MEMORY]: memory } });
  const copy = exports["copy"] as (to: number, from: number, length: number) => void;
  const u8 = new Uint8Array(memory.buffer);
  for (let i = 0; i < 8192; i++) u8[FROM + i] = (i * 7) % 251;
  for (const size of [1, 14, 15, 16, 17, 31, 32, 33, 60, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1500, 3520]) {
    for (const [toAt, fromAt] of [
      [TO, FROM],
      [TO + 3, FROM + 5],
    ] as const) {
      u8.fill(UNTOUCHED, TO - 64, TO + 8192);
      copy(toAt, fromAt, size);
      expect(u8.subarray(toAt, toAt + size)).toEqual(u8.subarray(fromAt, fromAt + size));
      expect(u8[toAt - 1]).toBe(UNTOUCHED);
      expect(u8[toAt + size + COPY_STEP - 1]).toBe(UNTOUCHED);
    }
  }
});
