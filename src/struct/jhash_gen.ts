/** The hash of `jhash.ts` as WebAssembly, for a length that is known when it is emitted. */
import type { Code } from "../wasm/code.ts";
import { type Expr32, type Local32, local32, loop, type Operand32 } from "../wasm/expr.ts";
import { JHASH_INIT } from "./jhash.ts";

/** Bytes that one round of mixing takes. */
const ROUND = 12;
/** Longer keys go through a loop. */
const MAX_UNROLLED = 3;

/** Hash of the `size` (at least 1) bytes at `key`, in a new local. */
export function emitJhash(code: Code, key: Local32, size: number, seed: Operand32): Local32 {
  const init = (JHASH_INIT + size) | 0;
  const first = typeof seed === "number" ? (init + seed) | 0 : seed.add(init);
  const [a, b, c] = [0, 1, 2].map(() => local32(code, first)) as [Local32, Local32, Local32];
  // The last bytes, one at least, are for the end.
  const rounds = Math.ceil(size / ROUND) - 1;
  const rest = size - rounds * ROUND;
  let at = key;
  let offset = 0;
  const round = (): void => {
    a.set(a.add(bytesAt(at, offset, 4)));
    b.set(b.add(bytesAt(at, offset + 4, 4)));
    c.set(c.add(bytesAt(at, offset + 8, 4)));
    emitMix(a, b, c);
  };
  if (rounds <= MAX_UNROLLED) {
    for (; offset < rounds * ROUND; offset += ROUND) round();
  } else {
    at = local32(code, key);
    loop(code, (again) => {
      round();
      at.set(at.add(ROUND));
      again.when(at.sub(key).ne(rounds * ROUND));
    });
  }
  a.set(a.add(bytesAt(at, offset, Math.min(rest, 4))));
  if (rest > 4) b.set(b.add(bytesAt(at, offset + 4, Math.min(rest - 4, 4))));
  if (rest > 8) c.set(c.add(bytesAt(at, offset + 8, rest - 8)));
  emitFinal(a, b, c);
  return c;
}

/** 1 to 4 bytes, little endian. */
function bytesAt(address: Local32, offset: number, bytes: number): Expr32 {
  if (bytes === 1) return address.load8(offset);
  if (bytes === 4) return address.load(offset);
  const low = address.load16(offset);
  return bytes === 2 ? low : low.or(address.load8(offset + 2).shl(16));
}

function emitMix(a: Local32, b: Local32, c: Local32): void {
  const steps = [
    [a, c, b, 4],
    [b, a, c, 6],
    [c, b, a, 8],
    [a, c, b, 16],
    [b, a, c, 19],
    [c, b, a, 4],
  ] as const;
  for (const [x, y, z, bits] of steps) {
    x.set(x.sub(y).xor(y.rotl(bits)));
    y.set(y.add(z));
  }
}

function emitFinal(a: Local32, b: Local32, c: Local32): void {
  const steps = [
    [c, b, 14],
    [a, c, 11],
    [b, a, 25],
    [c, b, 16],
    [a, c, 4],
    [b, a, 14],
    [c, b, 24],
  ] as const;
  for (const [x, y, bits] of steps) x.set(x.xor(y).sub(y.rotl(bits)));
}
