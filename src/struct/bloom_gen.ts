/** Push and peek of BLOOM_FILTER in compiled programs: what `bloom.ts` does, for one map. */
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_push_elem, ENOENT } from "../uapi/index.ts";
import { I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { BF_BITS, BF_HASHES, BF_MASK, BF_SEED } from "./bloom.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { emitJhash } from "./jhash_gen.ts";
import { MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Of larger values the hash is the cost, not the call. */
const MAX_SIZE = 48;
/** A byte's address from its bit: those of whole words. */
const WORD_BYTES: number = (0xffff_ffff >>> 3) & ~3;

/**
 * Calls back for each hash function, with the number of the bit in a local, and its word as an offset from the first
 * word's address in another.
 */
function eachBit({ code, mem, map, args }: GenCall, visit: (bit: number, word: number) => void): void {
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const seed = mapField(mem, map, BF_SEED);
  const bit = code.local(I32);
  const word = code.local(I32);
  for (let i = 0; i < mapField(mem, map, BF_HASHES); i++) {
    emitJhash(code, args[0]!, size, seed + i);
    code.i32(mapField(mem, map, BF_MASK));
    code.op(w.I32_AND);
    code.tee(bit);
    code.i32(3);
    code.op(w.I32_SHR_U);
    code.i32(WORD_BYTES);
    code.op(w.I32_AND);
    code.set(word);
    visit(bit, word);
  }
}

const peek: MapGen = {
  inline: false,
  emit: (call) => {
    const { code, mem, map } = call;
    const bits = mapField(mem, map, BF_BITS);
    const done = code.open(w.BLOCK, I32);
    const missing = code.open();
    eachBit(call, (bit, word) => {
      code.get(word);
      code.memory(w.I32_LOAD, bits);
      // Shifts take the number modulo 32.
      code.get(bit);
      code.op(w.I32_SHR_U);
      code.i32(1);
      code.op(w.I32_AND, w.I32_EQZ);
      code.br(missing, true);
    });
    code.i32(0);
    code.br(done);
    code.end();
    code.i32(-ENOENT);
    code.end();
  },
};

/** Flags are the helper's, which refuses them. */
const push: MapGen = {
  inline: false,
  emit: (call) => {
    const { code, mem, map, args } = call;
    const bits = mapField(mem, map, BF_BITS);
    const old = code.local(I32);
    const mask = code.local(I32);
    const done = code.open(w.BLOCK, I32);
    code.get(args[1]!);
    code.get(args[2]!);
    code.op(w.I32_OR);
    code.open(w.IF);
    call.callHelper();
    code.br(done);
    code.end();
    eachBit(call, (bit, word) => {
      code.i32(1);
      code.get(bit);
      code.op(w.I32_SHL);
      code.set(mask);
      code.get(word);
      code.memory(w.I32_LOAD, bits);
      code.tee(old);
      code.get(mask);
      code.op(w.I32_AND, w.I32_EQZ);
      code.open(w.IF);
      code.get(word);
      code.i32(bits);
      code.op(w.I32_ADD);
      if (mem.shared) {
        // Two clients may set bits of one word at the same time, and neither may be lost.
        code.get(mask);
        code.atomic(w.ATOMIC_OR, 4);
        code.op(w.DROP);
      } else {
        code.get(old);
        code.get(mask);
        code.op(w.I32_OR);
        code.memory(w.I32_STORE);
      }
      code.end();
    });
    code.i32(0);
    code.end();
  },
};

export function genBloom(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (mapField(env.mem, map, MAP_VALUE_SIZE) > MAX_SIZE) return undefined;
  if (helper === BPF_FUNC_map_push_elem) return push;
  return helper === BPF_FUNC_map_peek_elem ? peek : undefined;
}
