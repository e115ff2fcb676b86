/** Push and peek of BLOOM_FILTER in compiled programs: what `bloom.ts` does, for one map. */
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_push_elem, ENOENT } from "../uapi/index.ts";
import { blockValue, const32, type Local32, local32, when } from "../wasm/expr.ts";
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

/** Calls back for each hash function, with the number of the bit and its word's offset from the first word. */
function eachBit({ code, mem, map, args }: GenCall, visit: (bit: Local32, word: Local32) => void): void {
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const seed = mapField(mem, map, BF_SEED);
  for (let i = 0; i < mapField(mem, map, BF_HASHES); i++) {
    const bit = emitJhash(code, args[0]!, size, seed + i);
    bit.set(bit.and(mapField(mem, map, BF_MASK)));
    visit(bit, local32(code, bit.shrU(3).and(WORD_BYTES)));
  }
}

const peek: MapGen = {
  inline: false,
  emit: (call) => {
    const bits = mapField(call.mem, call.map, BF_BITS);
    return blockValue(call.code, (end) => {
      eachBit(call, (bit, word) => {
        // Shifts take the number modulo 32.
        when(word.load(bits).shrU(bit).and(1).eqz(), () => end(-ENOENT));
      });
      return 0;
    });
  },
};

/** Flags are the helper's, which refuses them. */
const push: MapGen = {
  inline: false,
  emit: (call) => {
    const { code, mem, map, args } = call;
    const [, flags, flagsHigh] = args as [Local32, Local32, Local32];
    const bits = mapField(mem, map, BF_BITS);
    return blockValue(code, (end) => {
      when(flags.or(flagsHigh), () => end(call.helper));
      eachBit(call, (bit, word) => {
        const mask = local32(code, const32(code, 1).shl(bit));
        const old = local32(code, word.load(bits));
        when(old.and(mask).eqz(), () => {
          if (mem.shared) {
            // Two clients may set bits of one word at the same time, and neither may be lost.
            word.atomic(w.ATOMIC_OR, bits, mask).push();
            code.op(w.DROP);
          } else {
            word.store(bits, old.or(mask));
          }
        });
      });
      return 0;
    });
  },
};

export function genBloom(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (mapField(env.mem, map, MAP_VALUE_SIZE) > MAX_SIZE) return undefined;
  if (helper === BPF_FUNC_map_push_elem) return push;
  return helper === BPF_FUNC_map_peek_elem ? peek : undefined;
}
