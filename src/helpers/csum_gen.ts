/**
 * bpf_csum_diff in compiled programs, of so many bytes as are known. Carries are added up and come round at the end. That
 * is the same sum: either way it is the number modulo 2^32 - 1, and 0 only where all words are.
 */
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import type { Known, KnownGen } from "../struct/gen.ts";
import type { Code } from "../wasm/code.ts";
import { const32, type Expr32, type Expr64, type Local32, local32, local64 } from "../wasm/expr.ts";

/** More words than these take longer to compile than a loop takes to run. */
const MAX_BYTES = 64;
const WORD = 4;

/** Bytes of the memory in this register, where it is known how many; -1: they are not, or too many. */
function bytesAt(known: Known, register: number): number {
  const size = known.range(register + 1);
  if (size === undefined || size.min !== size.max || size.max > MAX_BYTES) return -1;
  if (size.max === 0) return known.memory(register, 0, false) || known.range(register)?.max === 0 ? 0 : -1;
  return known.memory(register, size.max, false) ? size.max : -1;
}

/** `sumOf`, with what is there already. */
function emitSum(code: Code, from: Local32, size: number, start: Expr64): Expr32 {
  const words = Array.from({ length: Math.floor(size / WORD) }, (_, i) => from.load(i * WORD));
  const left = size % WORD;
  if (left > 0) {
    const bytes = Array.from({ length: left }, (_, i) => from.load8(size - left + i).shl(8 * i));
    words.push(bytes.reduce((all, byte) => all.or(byte)));
  }
  const sum = local64(
    code,
    words.reduce((all, word) => all.add(word.extendU()), start),
  );
  for (let round = 0; round < 2; round++) sum.set(sum.wrap().extendU().add(sum.shrU(32)));
  return local32(code, sum.wrap());
}

const inverse = (sum: Expr32): Expr32 => sum.xor(-1);

/** Arguments: from, its size, to, its size, seed. */
export const knownCsumDiff: KnownGen = (_, known) => {
  const [fromSize, toSize] = [bytesAt(known, 1), bytesAt(known, 3)];
  if (fromSize < 0 || toSize < 0) return undefined;
  return ({ code, run, args }) => {
    const [from, to, seed] = [args[0], args[4], args[8]] as [Local32, Local32, Local32];
    let sum: Expr32 = seed;
    if (toSize > 0) {
      sum = emitSum(code, to, toSize, sum.extendU());
      if (fromSize > 0) {
        const gone = emitSum(code, from, fromSize, const32(code, 0).extendU());
        sum = emitSum(code, from, 0, sum.extendU().add(inverse(gone).extendU()));
      }
    } else if (fromSize > 0) {
      sum = local32(code, inverse(emitSum(code, from, fromSize, inverse(sum).extendU())));
    }
    run.store(RUN_RESULT_HIGH, 0);
    return emitSum(code, from, 0, sum.extendU().add(sum.rotl(16).extendU())).shrU(16);
  };
};
