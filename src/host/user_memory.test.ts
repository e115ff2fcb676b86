/** The allocator of user memory: against a list of what is live, with a library that knows no kernel. */
import { expect, test } from "vitest";
import type { UserBuffer } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";
import { Mappings } from "./kernel_mappings.ts";
import { NativeMemory } from "./user_memory.ts";

/** Gives each memory an address range of its own. */
function memory(): NativeMemory {
  let next = 0x7000_0000_0000;
  const libc = {
    address: (buffer: ArrayBuffer) => {
      next += 2 ** 33;
      return next + buffer.byteLength * 0;
    },
  } as Partial<Libc> as Libc;
  return new NativeMemory(libc, new Mappings(libc));
}

test("pieces are zeroed, apart, on 16-byte boundaries, and found by their address", () => {
  const user = memory();
  const live: UserBuffer[] = [];
  let seed = 7;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let round = 0; round < 3000; round++) {
    if (live.length > 40 || (live.length > 0 && random(2) === 0)) {
      const [piece] = live.splice(random(live.length), 1);
      expect(piece!.bytes.every((byte) => byte === piece!.bytes[0])).toBe(true);
      piece!.free();
      piece!.free();
    } else {
      const piece = user.alloc(random(200));
      expect(piece.bytes.every((byte) => byte === 0)).toBe(true);
      expect(Number(piece.address) % 16).toBe(0);
      expect(piece.bytes.byteOffset).toBeGreaterThan(0);
      expect(user.addressOf(piece.bytes)).toBe(Number(piece.address));
      expect(user.holds(Number(piece.address), piece.bytes.length)).toBe(true);
      piece.bytes.fill(1 + random(255));
      live.push(piece);
    }
  }
  for (const piece of live) piece.free();
  // Everything came back as one piece.
  const first = user.alloc(16);
  expect(first.bytes.byteOffset).toBe(16);
});

test("another arena when the first is full; what is too much is a RangeError", () => {
  const user = memory();
  const large = user.alloc(48 * 1024 * 1024);
  const larger = user.alloc(100 * 1024 * 1024);
  expect(larger.bytes.length).toBe(100 * 1024 * 1024);
  expect(larger.bytes.buffer).not.toBe(large.bytes.buffer);
  const end = Number(larger.address) + larger.bytes.length;
  expect(user.holds(end - 1, 1)).toBe(true);
  expect(user.holds(Number(larger.address), 2 ** 32)).toBe(false);
  expect(user.roomAt(Number(larger.address))).toBeGreaterThanOrEqual(larger.bytes.length);
  expect(user.roomAt(5)).toBe(0);
  larger.bytes[5] = 1;
  expect(user.bytesAt(Number(larger.address) + 5, 1)[0]).toBe(1);
  for (const wrong of [-1, 0.5, Number.NaN, 2 ** 32]) expect(() => user.alloc(wrong)).toThrow(RangeError);
  expect(user.addressOf(new Uint8Array(8))).toBe(-1);
});
