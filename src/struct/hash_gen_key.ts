/** Keys in generated code: their hash, and whether two are the same. */
import type { Code } from "../wasm/code.ts";
import { blockValue, type Expr32, type Expr64, type Local32, local32, loop, when } from "../wasm/expr.ts";
import type { ElementCall } from "./gen.ts";
import { HT_KEY, HT_SEED } from "./hashtab.ts";
import { emitJhash } from "./jhash_gen.ts";
import { MAP_KEY_SIZE, mapField } from "./map.ts";

/** Keys up to so many bytes are compared without a loop. */
const MAX_UNROLLED = 32;

/** Hash of the key, in a new local. */
export function emitHash({ code, mem, map, field }: ElementCall, key: Local32): Local32 {
  return emitJhash(code, key, mapField(mem, map, MAP_KEY_SIZE), field(HT_SEED));
}

/** Where a node's key lies: so far behind this local. */
export function keyIn({ code, field }: ElementCall, node: Local32): readonly [Local32, number] {
  const offset = field(HT_KEY);
  return typeof offset === "number" ? [node, offset] : [local32(code, node.add(offset)), 0];
}

/** Whether the key in a node is the one at `key`: not 0. */
export function sameKey(call: ElementCall, of: Local32, key: Local32): Expr32 {
  const { code, mem, map } = call;
  const [node, offset] = keyIn(call, of);
  const size = mapField(mem, map, MAP_KEY_SIZE);
  if (size < 8) return sameShort(node, offset, key, size);
  if (size > MAX_UNROLLED) return sameLong(code, node, offset, key, size);
  return Array.from({ length: Math.ceil(size / 8) }, (_, i) => Math.min(8 * i, size - 8))
    .map((at): Expr64 => node.load64(offset + at).xor(key.load64(at)))
    .reduce((all, part) => all.or(part))
    .eqz();
}

/** Less than 8 bytes; the two parts may overlap. */
function sameShort(node: Local32, offset: number, key: Local32, size: number): Expr32 {
  if (size === 1) return node.load8(offset).eq(key.load8());
  const width = size < 4 ? 2 : 4;
  const differ = (at: number): Expr32 =>
    width === 2 ? node.load16(offset + at).xor(key.load16(at)) : node.load(offset + at).xor(key.load(at));
  return (size === width ? differ(0) : differ(0).or(differ(size - width))).eqz();
}

/** Eight bytes a turn; the last eight may overlap with those before. */
function sameLong(code: Code, node: Local32, offset: number, key: Local32, size: number): Expr32 {
  return blockValue(code, (end) => {
    const at = local32(code, 0);
    loop(code, (again) => {
      when(node.add(at).load64(offset).ne(key.add(at).load64()), () => end(0));
      at.set(at.add(8));
      again.when(at.ne(Math.floor(size / 8) * 8));
    });
    return node.load64(offset + size - 8).eq(key.load64(size - 8));
  });
}
