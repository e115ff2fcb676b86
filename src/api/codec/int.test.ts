import { expect, test } from "vitest";
import { thrown } from "../../../test/thrown.ts";
import { InputError } from "../../errors.ts";
import { bool, type Codec, CodecBuffer, CodecError, s8, s16, s32, s64, u8, u16, u32, u64 } from "./index.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const numbers: readonly (readonly [Codec<number>, number, string])[] = [
  [u8, 0xfe, "fe"],
  [s8, -2, "fe"],
  [u16, 0x1234, "3412"],
  [u16.le, 0x1234, "3412"],
  [u16.be, 0x1234, "1234"],
  [s16, -2, "feff"],
  [s16.be, -2, "fffe"],
  [u32, 0xfedcba98, "98badcfe"],
  [u32.be, 0xfedcba98, "fedcba98"],
  [s32, -2, "feffffff"],
  [s32.be, -2, "fffffffe"],
  [u64.asNumber, 0x1_0000_0002, "0200000001000000"],
  [u64.be.asNumber, 0x1_0000_0002, "0000000100000002"],
  [s64.asNumber, -2, "feffffffffffffff"],
  [s64.asNumber, Number.MIN_SAFE_INTEGER, "010000000000e0ff"],
  [s64.be.asNumber, -0x1_0000_0000, "ffffffff00000000"],
  [u64.asNumber, Number.MAX_SAFE_INTEGER, "ffffffffffff1f00"],
];

test.each(numbers)("%# numbers have C's bytes", (codec, value, bytes) => {
  expect(hex(codec.encode(value))).toBe(bytes);
  expect(codec.decode(codec.encode(value))).toBe(value);
});

const bigints: readonly (readonly [Codec<bigint>, bigint, string])[] = [
  [u64, 0xfedcba9876543210n, "1032547698badcfe"],
  [u64.le, 1n, "0100000000000000"],
  [u64.be, 0xfedcba9876543210n, "fedcba9876543210"],
  [s64, -2n, "feffffffffffffff"],
  [s64.be, -2n, "fffffffffffffffe"],
  [s64, -(2n ** 63n), "0000000000000080"],
];

test.each(bigints)("%# 64-bit integers have C's bytes", (codec, value, bytes) => {
  expect(hex(codec.encode(value))).toBe(bytes);
  expect(codec.decode(codec.encode(value))).toBe(value);
});

test("a 64-bit integer is the same on and off an 8-byte boundary", () => {
  for (const shift of [0, 1, 4]) {
    const buffer = new CodecBuffer(new Uint8Array(new ArrayBuffer(64), shift, 40));
    for (const offset of [0, 3, 8, 32]) {
      s64.write(buffer, offset, -5n);
      expect(u64.read(buffer, offset)).toBe(2n ** 64n - 5n);
      expect(s64.read(buffer, offset)).toBe(-5n);
      expect(buffer.view.getBigInt64(offset, true)).toBe(-5n);
      u64.write(buffer, offset, 6n);
      expect(buffer.view.getBigInt64(offset, true)).toBe(6n);
    }
  }
  // The last whole word of a length that is no multiple of 8 ends before the last bytes.
  const odd = new CodecBuffer(new Uint8Array(12));
  u64.write(odd, 4, 7n);
  expect(u64.read(odd, 4)).toBe(7n);
});

const limits: readonly (readonly [Codec<number>, number, number])[] = [
  [u8, 0, 255],
  [s8, -128, 127],
  [u16, 0, 65535],
  [u16.be, 0, 65535],
  [s16, -32768, 32767],
  [s16.be, -32768, 32767],
  [u32, 0, 4294967295],
  [u32.be, 0, 4294967295],
  [s32, -2147483648, 2147483647],
  [s32.be, -2147483648, 2147483647],
  [u64.asNumber, 0, Number.MAX_SAFE_INTEGER],
  [s64.asNumber, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
];

test.each(limits)("%# limits hold and are in the message", (codec, smallest, largest) => {
  for (const value of [smallest, largest, 0, -0]) {
    expect(codec.decode(codec.encode(value))).toBe(value === 0 ? 0 : value);
  }
  for (const value of [smallest - 1, largest + 1]) {
    const error = thrown(CodecError, () => codec.encode(value));
    expect(error).toBeInstanceOf(InputError);
    expect(error.problem).toBe("range");
    expect(error.message).toContain(`${value} is out of range for ${codec.kind} (${smallest} to`);
  }
  for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(thrown(CodecError, () => codec.encode(value)).message).toContain("not a whole number");
  }
  for (const value of ["1", 1n, null, undefined, true, [1]]) {
    expect(thrown(CodecError, () => codec.encode(value as never)).problem).toBe("type");
  }
});

test("64-bit limits", () => {
  expect(thrown(CodecError, () => u64.encode(-1n)).message).toBe("value: -1n is out of range for u64 (0 to 2^64 - 1)");
  expect(thrown(CodecError, () => u64.encode(2n ** 64n)).problem).toBe("range");
  expect(thrown(CodecError, () => u64.be.encode(2n ** 64n)).problem).toBe("range");
  expect(thrown(CodecError, () => s64.encode(2n ** 63n)).problem).toBe("range");
  expect(thrown(CodecError, () => s64.be.encode(-(2n ** 63n) - 1n)).problem).toBe("range");
});

test("a number where a bigint belongs: the message says what to write", () => {
  expect(thrown(CodecError, () => u64.encode(12 as never)).message).toBe(
    "value: u64 takes a bigint, found 12; write 12n, or declare the field as u64.asNumber",
  );
  expect(thrown(CodecError, () => u32.encode(12n as never)).message).toBe(
    "value: u32 takes a number, found 12n; write 12",
  );
});

test("asNumber refuses what a number cannot hold, both ways", () => {
  const beyond = u64.encode(2n ** 53n);
  expect(() => u64.asNumber.decode(beyond)).toThrow(CodecError);
  expect(thrown(CodecError, () => u64.asNumber.decode(beyond)).message).toContain(
    "9007199254740992 is beyond 2^53 - 1",
  );
  expect(thrown(CodecError, () => u64.asNumber.decode(u64.encode(2n ** 64n - 1n))).problem).toBe("range");
  expect(thrown(CodecError, () => s64.asNumber.decode(s64.encode(-(2n ** 53n)))).problem).toBe("range");
  expect(thrown(CodecError, () => u64.be.asNumber.decode(u64.be.encode(2n ** 53n + 1n))).problem).toBe("range");
  expect(thrown(CodecError, () => u64.asNumber.encode(2 ** 53)).problem).toBe("range");
});

test("bool", () => {
  expect(bool.decode(Uint8Array.of(0))).toBe(false);
  expect(bool.decode(Uint8Array.of(7))).toBe(true);
  expect(hex(bool.encode(true))).toBe("01");
  expect(thrown(CodecError, () => bool.encode(1 as never)).message).toBe("value: bool takes true or false, found 1");
});

test("decode and encode check the buffer", () => {
  expect(thrown(CodecError, () => u32.decode(new Uint8Array(3))).message).toContain(
    "u32 needs 4 bytes at 0, the buffer has 3",
  );
  expect(thrown(CodecError, () => u32.decode(new Uint8Array(8), 5)).problem).toBe("size");
  expect(thrown(CodecError, () => u32.decode(new Uint8Array(8), -1)).problem).toBe("size");
  expect(thrown(CodecError, () => u32.encode(1, new Uint8Array(3))).problem).toBe("size");
  const bytes = new Uint8Array(8).fill(0xff);
  expect(u16.encode(0x0102, bytes, 3)).toBe(bytes);
  expect(hex(bytes)).toBe("ffffff0201ffffff");
});

test("the path of an error grows outwards", () => {
  const error = new CodecError("range", "too much", 1).under("[3]").under("ports").under("key");
  expect(error.path).toBe("key.ports[3]");
  expect(error.message).toBe("key.ports[3]: too much");
  expect(error.name).toBe("CodecError");
});
