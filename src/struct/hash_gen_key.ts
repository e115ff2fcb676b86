/** Keys in generated code: their hash, and whether two are the same. */
import type { Memory } from "../mem/memory.ts";
import { type Code, I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import type { GenCall } from "./gen.ts";
import { HT_KEY, HT_SEED } from "./hashtab.ts";
import { emitJhash } from "./jhash_gen.ts";
import { MAP_KEY_SIZE, mapField } from "./map.ts";

/** Keys up to so many bytes are compared without a loop. */
const MAX_UNROLLED = 32;

/** Puts the hash of the key into a local. */
export function emitHash({ code, mem, map }: GenCall, key: number, hash: number): void {
  emitJhash(code, key, mapField(mem, map, MAP_KEY_SIZE), mapField(mem, map, HT_SEED));
  code.set(hash);
}

/** Whether the key in a node is the one at `key`: not 0. */
export function emitSameKey(code: Code, mem: Memory, map: number, node: number, key: number): void {
  const offset = mapField(mem, map, HT_KEY);
  const size = mapField(mem, map, MAP_KEY_SIZE);
  if (size < 8) emitSameWords(code, node, offset, key, shortParts(size), w.I32_XOR, w.I32_OR, w.I32_EQZ);
  else if (size <= MAX_UNROLLED)
    emitSameWords(code, node, offset, key, longParts(size), w.I64_XOR, w.I64_OR, w.I64_EQZ);
  else emitSameLong(code, node, offset, key, size);
}

type Part = readonly [load: number, at: number];

/** Parts that cover a key of less than 8 bytes; two may overlap. */
function shortParts(size: number): readonly Part[] {
  if (size === 1) return [[w.I32_LOAD8_U, 0]];
  const load = size < 4 ? w.I32_LOAD16_U : w.I32_LOAD;
  const width = size < 4 ? 2 : 4;
  return size === width
    ? [[load, 0]]
    : [
        [load, 0],
        [load, size - width],
      ];
}

function longParts(size: number): readonly Part[] {
  return Array.from({ length: Math.ceil(size / 8) }, (_, i) => [w.I64_LOAD, Math.min(8 * i, size - 8)] as const);
}

/** No part differs. */
function emitSameWords(
  code: Code,
  node: number,
  offset: number,
  key: number,
  parts: readonly Part[],
  xor: number,
  or: number,
  eqz: number,
): void {
  for (const [i, [load, at]] of parts.entries()) {
    code.get(node);
    code.memory(load, offset + at);
    code.get(key);
    code.memory(load, at);
    code.op(xor);
    if (i > 0) code.op(or);
  }
  code.op(eqz);
}

/** Eight bytes a turn; the last eight may overlap with those before. */
function emitSameLong(code: Code, node: number, offset: number, key: number, size: number): void {
  const at = code.local(I32);
  const end = Math.floor(size / 8) * 8;
  const differ = (ours: () => void, theirs: () => void, more: number): void => {
    ours();
    code.memory(w.I64_LOAD, offset + more);
    theirs();
    code.memory(w.I64_LOAD, more);
    code.op(w.I64_NE);
  };
  const plusAt = (base: number): void => {
    code.get(base);
    code.get(at);
    code.op(w.I32_ADD);
  };
  code.i32(0);
  code.set(at);
  const done = code.open(w.BLOCK, I32);
  const different = code.open();
  const loop = code.loop();
  differ(
    () => plusAt(node),
    () => plusAt(key),
    0,
  );
  code.br(different, true);
  code.get(at);
  code.i32(8);
  code.op(w.I32_ADD);
  code.tee(at);
  code.i32(end);
  code.op(w.I32_NE);
  code.br(loop, true);
  code.end();
  differ(
    () => code.get(node),
    () => code.get(key),
    size - 8,
  );
  code.op(w.I32_EQZ);
  code.br(done);
  code.end();
  code.i32(0);
  code.end();
}
