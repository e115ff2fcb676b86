import { expect, test } from "vitest";
import { randomOf } from "../../test/random.ts";
import { Copies } from "./copies.ts";

test("copies of all lengths are each one's own", () => {
  const random = randomOf(5);
  const copies = new Copies();
  const memory = new Uint8Array(new SharedArrayBuffer(1 << 16));
  const made = Array.from({ length: 3000 }, (_, i) => {
    const length = [0, 1, 64, 65, 66, 4096, 4097, 9000][i] ?? random(random(4) === 0 ? 5000 : 200);
    const from = random(1000);
    memory.fill(i & 0xff, from, from + length);
    return { copy: copies.of(memory.subarray(from, from + length)), length, byte: i & 0xff };
  });
  for (const { copy, length, byte } of made) {
    expect(copy.length).toBe(length);
    expect(copy.byteOffset % 8).toBe(0);
    expect(Buffer.compare(copy, Buffer.alloc(length, byte))).toBe(0);
    // Whoever writes to one changes no other.
    copy.fill(~byte & 0xff);
  }
  const short = Array.from({ length: 1000 }, () => copies.of(memory.subarray(0, 100)));
  expect(new Set(short.map(({ buffer }) => buffer)).size).toBeLessThan(9);
});

test("a buffer that was transferred is not used again", () => {
  const copies = new Copies();
  const first = copies.of(new Uint8Array(100).fill(1));
  structuredClone(first, { transfer: [first.buffer] });
  expect(first.length).toBe(0);
  expect([...copies.of(new Uint8Array(100).fill(2))]).toEqual(new Array(100).fill(2));
});
