/** Copies of packets in generated code: most are short, and the instruction for copies takes long to begin. */
import { type Expr32, type Local32, local32, loop, when } from "../wasm/expr.ts";
import { VECTORS } from "../wasm/features.ts";
import * as w from "../wasm/opcodes.ts";

/** Copies go by so many bytes: they read and write less than that beyond the end. */
export const COPY_STEP = 64;
/** Longer packets are copied by the instruction for it. */
const COPY_BY_STEPS = 512;
const WORD = 8;
const VECTOR = 16;

/** Copies `length` bytes, at least one. Moves `to` and `from`. `vectors`: whether the engine has them. */
export function emitPacketCopy(to: Local32, from: Local32, length: Expr32, vectors: boolean = VECTORS): void {
  const { code } = to;
  when(
    length.gtU(COPY_BY_STEPS),
    () => {
      for (const operand of [to, from, length]) operand.push();
      code.bulk(w.MEMORY_COPY);
    },
    () => {
      const end = local32(code, from.add(length));
      loop(code, (again) => {
        if (vectors) for (let at = 0; at < COPY_STEP; at += VECTOR) copyVector(to, from, at);
        else for (let at = 0; at < COPY_STEP; at += WORD) to.store64(at, from.load64(at));
        for (const pointer of [to, from]) pointer.set(pointer.add(COPY_STEP));
        again.when(from.ltU(end));
      });
    },
  );
}

function copyVector(to: Local32, from: Local32, at: number): void {
  const { code } = to;
  to.push();
  from.push();
  code.vector(w.V128_LOAD, at);
  code.vector(w.V128_STORE, at);
}
