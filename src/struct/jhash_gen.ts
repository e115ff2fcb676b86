/** The hash of `jhash.ts` as WebAssembly, for a length that is known when it is emitted. */
import { type Code, I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { JHASH_INIT } from "./jhash.ts";

/** Bytes that one round of mixing takes. */
const ROUND = 12;
/** Longer keys go through a loop. */
const MAX_UNROLLED = 3;

/** Hash of the `size` (at least 1) bytes at the address in the local `key`: leaves it on the stack. */
export function emitJhash(code: Code, key: number, size: number, seed: number): void {
  const a = code.local(I32);
  const b = code.local(I32);
  const c = code.local(I32);
  for (const local of [a, b, c]) {
    code.i32((JHASH_INIT + size + seed) | 0);
    code.set(local);
  }
  // The last bytes, one at least, are for the end.
  const rounds = Math.ceil(size / ROUND) - 1;
  const rest = size - rounds * ROUND;
  let at = key;
  let offset = 0;
  const round = (): void => {
    addBytes(code, a, at, offset, 4);
    addBytes(code, b, at, offset + 4, 4);
    addBytes(code, c, at, offset + 8, 4);
    emitMix(code, a, b, c);
  };
  if (rounds <= MAX_UNROLLED) {
    for (; offset < rounds * ROUND; offset += ROUND) round();
  } else {
    at = code.local(I32);
    code.get(key);
    code.set(at);
    const loop = code.loop();
    round();
    code.get(at);
    code.i32(ROUND);
    code.op(w.I32_ADD);
    code.tee(at);
    code.get(key);
    code.op(w.I32_SUB);
    code.i32(rounds * ROUND);
    code.op(w.I32_NE);
    code.br(loop, true);
    code.end();
  }
  addBytes(code, a, at, offset, Math.min(rest, 4));
  if (rest > 4) addBytes(code, b, at, offset + 4, Math.min(rest - 4, 4));
  if (rest > 8) addBytes(code, c, at, offset + 8, rest - 8);
  emitFinal(code, a, b, c);
  code.get(c);
}

/** local += the 1 to 4 bytes at address + offset, little endian. */
function addBytes(code: Code, local: number, address: number, offset: number, bytes: number): void {
  code.get(local);
  code.get(address);
  code.memory([w.I32_LOAD8_U, w.I32_LOAD16_U, w.I32_LOAD16_U, w.I32_LOAD][bytes - 1]!, offset);
  if (bytes === 3) {
    code.get(address);
    code.memory(w.I32_LOAD8_U, offset + 2);
    code.i32(16);
    code.op(w.I32_SHL, w.I32_OR);
  }
  code.op(w.I32_ADD);
  code.set(local);
}

function emitMix(code: Code, a: number, b: number, c: number): void {
  const steps = [
    [a, c, b, 4],
    [b, a, c, 6],
    [c, b, a, 8],
    [a, c, b, 16],
    [b, a, c, 19],
    [c, b, a, 4],
  ] as const;
  // x = (x - y) ^ rotl(y, bits); y += z
  for (const [x, y, z, bits] of steps) {
    code.get(x);
    code.get(y);
    code.op(w.I32_SUB);
    code.get(y);
    code.i32(bits);
    code.op(w.I32_ROTL, w.I32_XOR);
    code.set(x);
    code.get(y);
    code.get(z);
    code.op(w.I32_ADD);
    code.set(y);
  }
}

function emitFinal(code: Code, a: number, b: number, c: number): void {
  const steps = [
    [c, b, 14],
    [a, c, 11],
    [b, a, 25],
    [c, b, 16],
    [a, c, 4],
    [b, a, 14],
    [c, b, 24],
  ] as const;
  // x = (x ^ y) - rotl(y, bits)
  for (const [x, y, bits] of steps) {
    code.get(x);
    code.get(y);
    code.op(w.I32_XOR);
    code.get(y);
    code.i32(bits);
    code.op(w.I32_ROTL, w.I32_SUB);
    code.set(x);
  }
}
