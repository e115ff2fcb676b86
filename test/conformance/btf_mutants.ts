/** BTF blobs that are wrong in one place each: every word of a BTF with all kinds of types, set to what it should not be. */
import { BtfBuilder } from "../../src/btf/index.ts";

export interface Mutant {
  readonly name: string;
  readonly btf: Uint8Array;
}

const HEADER = 24;

/** At least one type of each kind, referring to each other. */
function base(): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const u64 = b.int("unsigned long", 8);
  const char = b.int("char", 1, { char: true });
  const narrow = b.int("narrow", 4, { bits: 7, bitOffset: 3 });
  const state = b.enum("state", [
    { name: "OFF", value: 0 },
    { name: "ON", value: 1 },
  ]);
  const array = b.array(char, int, 4);
  const inner = b.struct("inner", 8, [
    { name: "a", typeId: int, bitOffset: 0 },
    { name: "b", typeId: array, bitOffset: 32 },
  ]);
  const outer = b.struct("outer", 24, [
    { name: "x", typeId: inner, bitOffset: 0 },
    { name: "y", typeId: b.ptr(inner), bitOffset: 64 },
    { name: "z", typeId: u64, bitOffset: 128 },
  ]);
  b.struct("bits", 8, [
    { name: "p", typeId: int, bitOffset: 0, bitSize: 3 },
    { name: "q", typeId: int, bitOffset: 3, bitSize: 29 },
    { name: "r", typeId: state, bitOffset: 32, bitSize: 2 },
  ]);
  b.struct("old", 8, [
    { name: "a", typeId: narrow, bitOffset: 8 },
    { name: "b", typeId: int, bitOffset: 32 },
  ]);
  b.union("either", 8, [
    { name: "a", typeId: int, bitOffset: 0 },
    { name: "b", typeId: u64, bitOffset: 0 },
  ]);
  b.enum64("wide", [{ name: "FAR", value: 1n << 40n }], { signed: true });
  b.ptr(b.fwd("unknown", "struct"));
  const name = b.typedef("name_t", b.const(b.volatile(int)));
  b.ptr(b.typeTag("user", name));
  b.ptr(b.restrict(b.ptr(int)));
  b.float("double", 8);
  const proto = b.funcProto(int, [
    { name: "first", typeId: b.ptr(outer) },
    { name: "second", typeId: state },
  ]);
  const func = b.func("run", proto);
  b.func("stop", b.funcProto(0, []), "static");
  const counter = b.var("counter", u64);
  const table = b.var("table", outer, "static");
  b.datasec(".data", 32, [
    { typeId: counter, offset: 0, size: 8 },
    { typeId: table, offset: 8, size: 24 },
  ]);
  b.declTag("note", outer, 1);
  b.declTag("note", func);
  b.declTag("about", counter);
  b.declTag("second", func, 1);
  return b.build();
}

/** What each word of header and types is set to, from what it was. */
const changes: readonly (readonly [name: string, (was: number) => number])[] = [
  ["0", () => 0],
  ["1", () => 1],
  ["+1", (was) => was + 1],
  ["-1", (was) => was - 1],
  ["*2", (was) => was * 2],
  ["7", () => 7],
  // A tag, a pointer and a function.
  ["19", () => 19],
  ["20", () => 20],
  ["27", () => 27],
  ["all", () => 0xffff_ffff],
  ["^kflag", (was) => was ^ 0x8000_0000],
  ["^bit16", (was) => was ^ 0x1_0000],
  ["kind+1", (was) => was + 0x100_0000],
  ["kind-1", (was) => was - 0x100_0000],
];

/** Texts that a name is set to. */
const texts: readonly string[] = ["", "9digit", "a b", "a.b", "?x", "é", "a".repeat(600)];

export function mutants(): readonly Mutant[] {
  const whole = base();
  const typeBytes = new DataView(whole.buffer).getUint32(12, true);
  const made: Mutant[] = [{ name: "whole", btf: whole }];
  for (let at = 0; at < HEADER + typeBytes; at += 4) {
    const was = new DataView(whole.buffer).getUint32(at, true);
    const tried = new Set([was]);
    for (const [name, change] of changes) {
      const value = change(was) >>> 0;
      if (tried.has(value)) continue;
      tried.add(value);
      const btf = whole.slice();
      new DataView(btf.buffer).setUint32(at, value, true);
      made.push({ name: `${at} ${name}`, btf });
    }
  }
  for (const [i, text] of texts.entries()) {
    for (let at = HEADER; at < HEADER + typeBytes; at += 4) {
      const word = new DataView(whole.buffer).getUint32(at, true);
      if (word === 0 || word >= whole.length - HEADER - typeBytes || whole[HEADER + typeBytes + word - 1] !== 0)
        continue;
      made.push({ name: `${at} text ${i}`, btf: withText(whole, at, typeBytes, text) });
    }
  }
  for (const cut of [1, 4, 12, 24]) made.push({ name: `cut ${cut}`, btf: whole.slice(0, -cut) });
  made.push({ name: "longer", btf: Uint8Array.of(...whole, 0) });
  return made;
}

/** The word at `at` refers to a new text at the end of the strings. */
function withText(whole: Uint8Array, at: number, typeBytes: number, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const btf = Uint8Array.of(...whole, ...bytes);
  const view = new DataView(btf.buffer);
  const strings = whole.length - HEADER - typeBytes;
  view.setUint32(20, strings + bytes.length, true);
  view.setUint32(at, strings, true);
  return btf;
}
