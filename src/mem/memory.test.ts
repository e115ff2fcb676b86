import { expect, test } from "vitest";
import { reserveMemory } from "./memory.ts";

const BASE = 4096;
const AROUND = 320;

/** What `copyWithin` gives, which reads everything first. */
function copied(shared: boolean, dst: number, src: number, n: number): [found: string, expected: string] {
  const mem = reserveMemory(1, shared);
  const plain = Uint8Array.from({ length: AROUND }, (_, i) => (i * 7 + 1) & 255);
  mem.u8.set(plain, BASE);
  mem.copy(BASE + dst, BASE + src, n);
  plain.copyWithin(dst, src, src + n);
  return [Buffer.from(mem.u8.slice(BASE, BASE + AROUND)).toString("hex"), Buffer.from(plain).toString("hex")];
}

for (const shared of [false, true]) {
  test(`copy between ranges that overlap, both ways, ${shared ? "shared" : "exclusive"}`, () => {
    for (const n of [0, 1, 3, 4, 7, 8, 9, 16, 24, 64, 128, 136]) {
      for (const by of [0, 1, 2, 4, 8, 12, 16, 32, 56, 120, 128, 136]) {
        const [up, upExpected] = copied(shared, 8 + by, 8, n);
        expect(up, `${n} bytes, ${by} upwards`).toBe(upExpected);
        const [down, downExpected] = copied(shared, 8, 8 + by, n);
        expect(down, `${n} bytes, ${by} downwards`).toBe(downExpected);
      }
    }
  });
}
