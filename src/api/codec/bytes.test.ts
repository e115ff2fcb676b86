import { expect, test } from "vitest";
import { array, bytes, CodecError, cstring, pad, transform, u8, u16, u64 } from "./index.ts";

test("bytes: a private copy, an exact length", () => {
  const from = Uint8Array.of(1, 2, 3, 4);
  const value = bytes(3).decode(from, 1);
  expect([...value]).toEqual([2, 3, 4]);
  from.fill(9);
  expect([...value]).toEqual([2, 3, 4]);
  expect(value.buffer).toBeInstanceOf(ArrayBuffer);
  expect(() => bytes(3).encode(Uint8Array.of(1, 2))).toThrow("2 bytes; bytes(3) takes exactly 3");
  expect(() => bytes(3).encode([1, 2, 3] as never)).toThrow("bytes(3) takes a Uint8Array, found an array of 3");
});

test("bytes and text come out of shared memory", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(16));
  shared.set(new TextEncoder().encode("grün"));
  expect(bytes(2).decode(shared).buffer).toBeInstanceOf(ArrayBuffer);
  expect(cstring(16).decode(shared)).toBe("grün");
});

test("cstring stops at the NUL and fills up with NULs", () => {
  const name = cstring(8);
  const to = new Uint8Array(8).fill(0xff);
  name.encode("eth0", to);
  expect([...to]).toEqual([0x65, 0x74, 0x68, 0x30, 0, 0, 0, 0]);
  expect(name.decode(to)).toBe("eth0");
  expect(name.decode(Uint8Array.of(0x61, 0, 0x62, 0, 0, 0, 0, 0))).toBe("a");
  expect(name.decode(new Uint8Array(8).fill(0x61))).toBe("aaaaaaaa");
});

test("cstring is UTF-8", () => {
  const name = cstring(8);
  for (const text of ["", "grün", "äöü", "a€", "1234567"]) expect(name.decode(name.encode(text))).toBe(text);
  expect(name.decode(Uint8Array.of(0x61, 0xff, 0x62, 0, 0, 0, 0, 0))).toBe("a\uFFFDb");
  expect(() => name.encode("äöüä")).toThrow('"äöüä" has 8 bytes in UTF-8; cstring(8) takes at most 7');
  expect(() => name.encode("12345678")).toThrow("takes at most 7");
  expect(() => name.encode("a\0b")).toThrow("has a NUL at 1");
  expect(() => name.encode("ä\0b")).toThrow("has a NUL at 1");
  expect(() => name.encode("\ud800")).toThrow("half a surrogate pair");
  expect(() => name.encode(1 as never)).toThrow("cstring(8) takes text, found 1");
});

test("cstring without a terminator takes all n bytes", () => {
  const name = cstring(4, { terminated: false });
  expect([...name.encode("abcd")]).toEqual([0x61, 0x62, 0x63, 0x64]);
  expect(() => name.encode("abcde")).toThrow("takes at most 4");
});

test("long text", () => {
  const long = cstring(500);
  const text = "x".repeat(499);
  expect(long.decode(long.encode(text))).toBe(text);
});

test("array", () => {
  const ports = array(u16, 3);
  expect([ports.size, ports.align, ports.length, ports.kind]).toEqual([6, 2, 3, "u16[3]"]);
  expect([...ports.encode([1, 2, 3])]).toEqual([1, 0, 2, 0, 3, 0]);
  expect(ports.decode(Uint8Array.of(1, 0, 2, 0, 3, 0))).toEqual([1, 2, 3]);
  expect(array(array(u8, 2), 3).kind).toBe("u8[3][2]");
  expect(array(array(u8, 2), 3).decode(Uint8Array.of(1, 2, 3, 4, 5, 6))).toEqual([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
  expect(() => ports.encode([1, 2])).toThrow("value: 2 elements; u16[3] takes exactly 3");
  expect(() => ports.encode([1, 2, -1])).toThrow("[2]: -1 is out of range for u16");
  expect(() =>
    array(ports, 2).encode([
      [1, 2, 3],
      [1, 2, 70000],
    ]),
  ).toThrow("[1][2]: 70000");
  expect(() => array(u64.asNumber, 2).decode(new Uint8Array(16).fill(255))).toThrow("[0]: 1844674407370955161");
  expect(array(u8, 0).encode([]).length).toBe(0);
});

test.each([-1, 1.5, Number.NaN, 2 ** 31])("%s is no length", (n) => {
  for (const make of [bytes, cstring, pad, (length: number) => array(u8, length)]) {
    expect(() => make(n)).toThrow(CodecError);
  }
});

test("pad is zeros", () => {
  const to = new Uint8Array(4).fill(0xff);
  expect(pad(2).encode(undefined, to, 1)).toBe(to);
  expect([...to]).toEqual([0xff, 0, 0, 0xff]);
});

test("transform", () => {
  const when = transform(u64, {
    decode: (ns) => new Date(Number(ns / 1_000_000n)),
    encode: (date: Date) => BigInt(date.getTime()) * 1_000_000n,
  });
  const date = new Date("2026-01-02T03:04:05Z");
  expect(when.decode(when.encode(date))).toEqual(date);
  expect(when.size).toBe(8);
});
