import fc from "fast-check";
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { decodeInsns, encodeInsns } from "./codec.ts";

test("a slot is opcode, registers, off, imm in little-endian order", () => {
  const bytes = Uint8Array.of(0x7b, 0x2a, 0xf8, 0xff, 0, 0, 0, 0, 0x18, 0x11, 0, 0, 0xff, 0xff, 0xff, 0xff);
  const insns = decodeInsns(bytes);
  expect(insns).toEqual([
    { opcode: 0x7b, dst: 10, src: 2, off: -8, imm: 0 },
    { opcode: 0x18, dst: 1, src: 1, off: 0, imm: -1 },
  ]);
  expect(encodeInsns(insns)).toEqual(bytes);
});

test("bytes survive the way there and back, also in the middle of a buffer", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(7), (bytes, shift) => {
      const whole = bytes.subarray(0, bytes.length - (bytes.length % 8));
      const moved = new Uint8Array(whole.length + 8);
      moved.set(whole, shift);
      expect(encodeInsns(decodeInsns(moved.subarray(shift, shift + whole.length)))).toEqual(whole);
    }),
  );
});

test("half a slot is the caller's mistake", () => {
  expect(() => decodeInsns(new Uint8Array(12))).toThrow(InputError);
  expect(() => decodeInsns(new Uint8Array(12))).toThrow("found 12 bytes, expected a multiple of 8");
});
