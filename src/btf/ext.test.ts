import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { BtfBuilder, parseBtf, parseBtfExt } from "./index.ts";

/*
 * .BTF and .BTF.ext of this file, /tmp/ext/p.bpf.c, through clang 14 -O2 -g -target bpf:
 *
 *   struct inner { int x; int y; } __attribute__((preserve_access_index));
 *   struct outer { long a; struct inner in[2]; } __attribute__((preserve_access_index));
 *   static __attribute__((noinline)) int twice(int v) { return v * 2; }
 *   __attribute__((section("xdp"))) int first(struct outer *o) {
 *     return twice(o->in[1].y);
 *   }
 *   __attribute__((section("tc"))) int second(struct outer *o) {
 *     return o->a;
 *   }
 */
const BTF =
  "n+sBABgAAAAAAAAA/AAAAPwAAADjAAAAAAAAAAAAAAICAAAAAQAAAAIAAAQYAAAABwAAAAMAAAAAAAAACQAAAAYAAABAAAAADAAAAAAAAAEIAA" +
  "AAQAAAAREAAAACAAAECAAAABcAAAAFAAAAAAAAABkAAAAFAAAAIAAAABsAAAAAAAABBAAAACAAAAEAAAAAAAAAAwAAAAAEAAAABwAAAAIAAAAf" +
  "AAAAAAAAAQQAAAAgAAAAAAAAAAEAAA0FAAAAMwAAAAEAAAA1AAAAAQAADAgAAAAAAAAAAQAADQUAAAB0AAAABQAAAHYAAAAAAAAMCgAAAAAAAA" +
  "ABAAANBQAAADMAAAABAAAAxgAAAAEAAAwMAAAAAG91dGVyAGEAaW4AbG9uZwBpbm5lcgB4AHkAaW50AF9fQVJSQVlfU0laRV9UWVBFX18AbwBm" +
  "aXJzdAB4ZHAAMDoxOjE6MQAvdG1wL2V4dC9wLmJwZi5jACAgcmV0dXJuIHR3aWNlKG8tPmluWzFdLnkpOwB2AHR3aWNlAC50ZXh0AHN0YXRpYy" +
  "BfX2F0dHJpYnV0ZV9fKChub2lubGluZSkpIGludCB0d2ljZShpbnQgdikgeyByZXR1cm4gdiAqIDI7IH0Ac2Vjb25kAHRjADA6MAAgIHJldHVy" +
  "biBvLT5hOwA=";
const EXT =
  "n+sBACAAAAAAAAAANAAAADQAAACMAAAAwAAAADQAAAAIAAAAOwAAAAEAAAAAAAAACQAAAHwAAAABAAAAAAAAAAsAAADNAAAAAQAAAAAAAAANAA" +
  "AAEAAAADsAAAACAAAAAAAAAEcAAABYAAAAChQAABAAAABHAAAAWAAAAAMUAAB8AAAAAwAAAAAAAABHAAAAggAAAAAMAAAIAAAARwAAAIIAAAA+" +
  "DAAAEAAAAEcAAACCAAAANQwAAM0AAAACAAAAAAAAAEcAAADUAAAADSAAAAgAAABHAAAA1AAAAAMgAAAQAAAAOwAAAAEAAAAAAAAAAgAAAD8AAA" +
  "AAAAAAzQAAAAEAAAAAAAAAAgAAANAAAAAAAAAA";

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"));
}

const btf = parseBtf(bytesOf(BTF));

test("functions, lines and relocations of a compiled file", () => {
  const ext = parseBtfExt(bytesOf(EXT), btf);
  expect(ext.funcInfo.map((f) => [f.section, f.insnOffset, btf.type(f.typeId).name])).toEqual([
    ["xdp", 0, "first"],
    [".text", 0, "twice"],
    ["tc", 0, "second"],
  ]);
  expect(ext.lineInfo).toHaveLength(7);
  expect(ext.lineInfo[1]).toEqual({
    section: "xdp",
    insnOffset: 16,
    file: "/tmp/ext/p.bpf.c",
    text: "  return twice(o->in[1].y);",
    line: 5,
    column: 3,
    fileOffset: 0x47,
    textOffset: 0x58,
  });
  expect(ext.coreRelos.map((r) => [r.section, r.insnOffset, btf.type(r.typeId).name, r.access, r.kind])).toEqual([
    ["xdp", 0, "outer", "0:1:1:1", 0],
    ["tc", 0, "outer", "0:0", 0],
  ]);
});

test("a header without core_relo, and longer records", () => {
  // Bytes 24 on: one func_info group of 12-byte records.
  const words = [0x0001_eb9f, 24, 0, 24, 24, 0, 12, 1, 1, 8, 1, 0x7777];
  const b = new BtfBuilder();
  b.func("f", b.funcProto(0, []));
  const ext = parseBtfExt(new Uint8Array(new Uint32Array(words).buffer), parseBtf(b.build()));
  expect(ext).toEqual({ funcInfo: [{ section: "f", insnOffset: 8, typeId: 1 }], lineInfo: [], coreRelos: [] });
});

test("cut at any byte it is an error", () => {
  const whole = bytesOf(EXT);
  for (let length = 0; length < whole.length; length++) {
    expect(() => parseBtfExt(whole.subarray(0, length), btf), `cut to ${length} bytes`).toThrow(InputError);
  }
});

test.each<[string, number, number, string]>([
  ["magic", 0, 0, "magic 0x0"],
  ["version", 0, 0x0002_eb9f, "version 2"],
  ["header length", 4, 16, "a header of 16 bytes"],
  ["part", 12, 0xffff_ffff, "func_info up to 4294967327"],
  ["record size", 32, 4, "func_info records of 4 bytes"],
  ["section name", 36, 999, "string offset 999"],
  ["count", 40, 0x2000_0000, "536870912 func_info records of 8 bytes"],
  ["instruction", 44, 4, "instruction offset 4"],
  ["type id", 48, 14, "type id 14"],
])("a wrong %s is named", (_what, at, word, message) => {
  const bytes = bytesOf(EXT);
  new DataView(bytes.buffer).setUint32(at, word, true);
  expect(() => parseBtfExt(bytes, btf)).toThrow(message);
});
