import { expect, test } from "vitest";
import { type Btf, BtfBuilder, type MemberInput, parseBtf } from "../../btf/index.ts";
import {
  type AnyCodec,
  aligned,
  array,
  bits,
  bool,
  bytes,
  compareWithBtf,
  cstring,
  enumOf,
  formatDifferences,
  formatLayout,
  ipv4,
  ipv6,
  lpmKey,
  mac,
  pad,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
} from "./index.ts";

/** A BTF with C's usual types; `make` adds the one to compare with. */
function built(make: (b: BtfBuilder, t: Types) => number): [Btf, number] {
  const b = new BtfBuilder();
  const [u8Id, u16Id, u32Id, u64Id] = [1, 2, 4, 8].map((size) => b.int(`__u${size * 8}`, size)) as Four;
  const t: Types = {
    u8: u8Id,
    u16: u16Id,
    u32: u32Id,
    u64: u64Id,
    int: b.int("int", 4, { signed: true }),
    char: b.int("char", 1, { signed: true }),
    bool: b.int("_Bool", 1, { bool: true }),
    be16: b.typedef("__be16", u16Id),
    be32: b.typedef("__be32", u32Id),
    le32: b.typedef("__le32", u32Id),
    bytes: (n) => b.array(u8Id, u32Id, n),
    chars: (n) => b.array(t.char, u32Id, n),
  };
  const id = make(b, t);
  return [parseBtf(b.build()), id];
}

type Four = [number, number, number, number];
interface Types {
  u8: number;
  u16: number;
  u32: number;
  u64: number;
  int: number;
  char: number;
  bool: number;
  be16: number;
  be32: number;
  le32: number;
  bytes: (n: number) => number;
  chars: (n: number) => number;
}

const at = (name: string, typeId: number, offset: number, bitSize = 0): MemberInput => ({
  name,
  typeId,
  bitOffset: Math.round(offset * 8),
  bitSize,
});

/** `problem path: codec | btf` of each difference. */
function differences(codec: AnyCodec, make: (b: BtfBuilder, t: Types) => number): string[] {
  return compareWithBtf(codec, ...built(make)).map((d) => `${d.problem} ${d.path}: ${d.codec} | ${d.btf}`);
}

const flowKey = (b: BtfBuilder, t: Types): number =>
  b.struct("flow_key", 12, [
    at("saddr", t.be32, 0),
    at("daddr", t.be32, 4),
    at("sport", t.be16, 8),
    at("dport", t.be16, 10),
  ]);

test("a fitting codec has no differences", () => {
  const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be });
  expect(differences(FlowKey, flowKey)).toEqual([]);
});

test("28 bytes here, 32 bytes there: the fields that make the difference", () => {
  const Event = struct.packed({ ts: u64, pid: u32, comm: cstring(12), ret: u32 }, { name: "event" });
  const make = (b: BtfBuilder, t: Types): number =>
    b.struct("event", 32, [at("ts", t.u64, 0), at("pid", t.u32, 8), at("comm", t.chars(16), 12), at("ret", t.u32, 28)]);
  expect(differences(Event, make)).toEqual([
    "size : struct event, 28 bytes | struct event, 32 bytes",
    "size comm: cstring(12), 12 bytes | char[16], 16 bytes",
    "offset ret: u32 at 24 | __u32 at 28",
  ]);
  expect(formatDifferences(compareWithBtf(Event, ...built(make)))).toBe(
    [
      "field    codec                   map                     difference",
      "(whole)  struct event, 28 bytes  struct event, 32 bytes  size",
      "comm     cstring(12), 12 bytes   char[16], 16 bytes      size",
      "ret      u32 at 24               __u32 at 28             offset",
    ].join("\n"),
  );
});

test("a layout on its own", () => {
  const Key = struct({
    addr: union({ v4: ipv4, words: array(u32, 4) }),
    ports: struct({ src: u16.be, dst: u16.be }),
    kind: bits(u8, 3),
    flags: bits(u8, 5),
  });
  expect(formatLayout(Key).split("\n")).toEqual([
    "field       offset  size  type",
    "addr.v4     0       4     ipv4",
    "addr.words  0       16    u32[4]",
    "ports.src   16      2     u16.be",
    "ports.dst   18      2     u16.be",
    "kind        20      1     u8:3",
    "flags       20      1     u8:5",
  ]);
  expect(formatLayout(u64)).toBe("field    offset  size  type\n(whole)  0       8     u64");
  const wide = struct(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, u8])));
  expect(formatLayout(wide)).toMatch(/\n\.\.\. and 11 more$/);
});

test("swapped fields are found by their names", () => {
  const Swapped = struct({ daddr: ipv4, saddr: ipv4, sport: u16.be, dport: u16.be });
  expect(differences(Swapped, flowKey)).toEqual([
    "offset daddr: ipv4 at 0 | __be32 at 4",
    "offset saddr: ipv4 at 4 | __be32 at 0",
  ]);
});

test("a missing and an unknown field", () => {
  expect(differences(struct({ saddr: ipv4, daddr: ipv4, ports: u32 }), flowKey)).toEqual([
    "unknown ports: u32 at 8 | ",
    "missing sport:  | __be16 at 8",
    "missing dport:  | __be16 at 10",
  ]);
});

test("other names in the same places are a note, another spelling of the name is nothing", () => {
  const make = (b: BtfBuilder, t: Types): number => b.struct("s", 8, [at("src_port", t.u32, 0), at("dst", t.u32, 4)]);
  const found = compareWithBtf(struct({ srcPort: u32, target: u32 }), ...built(make));
  expect(found).toEqual([{ path: "target", problem: "name", severity: "note", codec: "target", btf: "dst" }]);
});

test("byte order: plain ints fit both, named ones are noted", () => {
  const make = (b: BtfBuilder, t: Types): number => b.struct("s", 8, [at("a", t.u32, 0), at("b", t.be32, 4)]);
  expect(differences(struct({ a: u32.be, b: u32.be }), make)).toEqual([]);
  expect(differences(struct({ a: u32, b: u32 }), make)).toEqual(["order b: u32 | __be32"]);
  expect(differences(u32.be, (_, t) => t.le32)).toEqual(["order : u32.be | __le32"]);
  expect(differences(u32, (b, t) => b.const(b.typedef("mine", t.be32)))).toEqual(["order : u32 | __be32"]);
});

test("sign is a note", () => {
  const found = compareWithBtf(u32, ...built((_, t) => t.int));
  expect(found).toEqual([{ path: "", problem: "sign", severity: "note", codec: "u32", btf: "int" }]);
  expect(differences(s32, (_, t) => t.int)).toEqual([]);
});

test.each<[string, AnyCodec, (b: BtfBuilder, t: Types) => number]>([
  ["ipv4 and a byte array", ipv4, (_, t) => t.bytes(4)],
  [
    "ipv6 and in6_addr",
    ipv6,
    (b, t) => b.struct("in6_addr", 16, [at("in6_u", b.union("", 16, [at("a", t.bytes(16), 0)]), 0)]),
  ],
  ["mac", mac, (_, t) => t.bytes(6)],
  ["bytes and a struct", bytes(12), flowKey],
  ["cstring", cstring(16), (_, t) => t.chars(16)],
  ["cstring and unsigned char", cstring(16), (_, t) => t.bytes(16)],
  ["bool", bool, (_, t) => t.bool],
  ["bool and u8", bool, (_, t) => t.u8],
  ["u8 and char", u8, (_, t) => t.char],
  ["enum and u32", enumOf({ A: 1 }), (_, t) => t.u32],
  [
    "enum",
    enumOf({ A: 1, C: 3 }),
    (b) =>
      b.enum("e", [
        { name: "A", value: 1 },
        { name: "B", value: 2 },
      ]),
  ],
  ["u32 and enum", u32, (b) => b.enum("e", [])],
  ["u64 and a pointer", u64, (b) => b.ptr(0)],
  ["u64.asNumber", u64.asNumber, (_, t) => t.u64],
  ["array", array(array(u8, 2), 3), (b, t) => b.array(t.bytes(2), t.u32, 3)],
  ["u32 and a struct around it", u32, (b, t) => b.struct("id", 4, [at("id", t.u32, 0)])],
  ["typedefs", u32, (b, t) => b.typedef("a", b.const(b.typedef("b", t.u32)))],
  ["a variable", u32, (b, t) => b.var("v", t.u32)],
  [
    "an anonymous struct's members",
    struct({ a: u32, b: u32 }),
    (b, t) => b.struct("s", 8, [at("", b.struct("", 8, [at("a", t.u32, 0), at("b", t.u32, 4)]), 0)]),
  ],
  ["union", union({ a: u32, b: u8 }), (b, t) => b.union("u", 4, [at("a", t.u32, 0), at("b", t.u8, 0)])],
  [
    "left out filler",
    struct({ a: u8, b: u32 }),
    (b, t) => b.struct("s", 8, [at("a", t.u8, 0), at("_pad", t.bytes(3), 1), at("b", t.u32, 4)]),
  ],
  [
    "pad over members",
    struct({ a: u32, _1: pad(8), b: u32 }),
    (b, t) => b.struct("s", 16, [at("a", t.u32, 0), at("x", t.u32, 4), at("y", t.u32, 8), at("b", t.u32, 12)]),
  ],
  [
    "bit fields",
    struct({ a: bits(u32, 3), b: bits(u32, 5), c: u8 }),
    (b, t) => b.struct("s", 4, [at("a", t.u32, 0, 3), at("b", t.u32, 3 / 8, 5), at("c", t.u8, 1)]),
  ],
  [
    "a bit field of a whole byte",
    struct({ a: u8, b: u8 }),
    (b, t) => b.struct("s", 2, [at("a", t.u8, 0, 8), at("b", t.u8, 1)]),
  ],
  [
    "a section",
    struct({ a: u32, b: u32 }),
    (b, t) =>
      b.datasec(".data", 8, [
        { typeId: b.var("a", t.u32), offset: 0, size: 4 },
        { typeId: b.var("b", t.u32), offset: 4, size: 4 },
      ]),
  ],
  ["lpm", lpmKey(ipv4), (b, t) => b.struct("k", 8, [at("prefixlen", t.u32, 0), at("addr", t.be32, 4)])],
  ["lpm, bytes", lpmKey(ipv6), (b, t) => b.struct("k", 20, [at("prefixlen", t.u32, 0), at("data", t.bytes(16), 4)])],
  [
    "lpm, the kernel's header",
    lpmKey(bytes(4)),
    (b, t) =>
      b.struct("k", 8, [
        at("hdr", b.struct("bpf_lpm_trie_key_hdr", 4, [at("prefixlen", t.u32, 0)]), 0),
        at("data", t.bytes(4), 4),
      ]),
  ],
  [
    "lpm, several parts",
    lpmKey(struct({ ifindex: u32, addr: ipv4 })),
    (b, t) => b.struct("k", 12, [at("prefixlen", t.u32, 0), at("ifindex", t.u32, 4), at("addr", t.be32, 8)]),
  ],
])("%s fit", (_, codec, make) => {
  expect(differences(codec, make)).toEqual([]);
});

test.each<[string, AnyCodec, (b: BtfBuilder, t: Types) => number, string[]]>([
  ["sizes", u32, (_, t) => t.u64, ["size : u32, 4 bytes | __u64, 8 bytes"]],
  ["kinds", u32, (_, t) => t.bytes(4), ["type : u32 | __u8[4]"]],
  ["struct and int", struct({ a: u32 }), (_, t) => t.u32, ["type : struct | __u32"]],
  ["lengths", array(u16, 4), (_, t) => t.bytes(8), ["length : u16[4] | __u8[8]"]],
  [
    "elements",
    array(struct({ a: u32 }), 2),
    (b, t) => b.array(b.struct("e", 4, [at("b", t.u16, 0)]), t.u32, 2),
    ["unknown [].a: u32 at 0 | ", "missing [].b:  | __u16 at 0"],
  ],
  [
    "enum values",
    enumOf({ A: 1, B: 3 }),
    (b) =>
      b.enum("e", [
        { name: "A", value: 1 },
        { name: "B", value: 2 },
      ]),
    ["value : B = 3 | B = 2"],
  ],
  ["text", cstring(4), (_, t) => t.u32, ["type : cstring(4) | __u32"]],
  [
    "widths",
    struct({ a: bits(u8, 3) }),
    (b, t) => b.struct("s", 1, [at("a", t.u8, 0, 4)]),
    ["bits a: u8:3 at 0 | __u8:4 at 0"],
  ],
  [
    "bit places",
    struct({ a: bits(u8, 3), b: bits(u8, 3) }),
    (b, t) => b.struct("s", 1, [at("a", t.u8, 0, 3), at("b", t.u8, 0.5, 3)]),
    ["offset b: u8:3 at 0, bit 3 | __u8:3 at 0, bit 4"],
  ],
  [
    "lpm length",
    lpmKey(ipv4),
    (b, t) => b.struct("k", 12, [at("prefixlen", t.u32, 0), at("addr", t.u64, 4)]),
    ["size : struct, 8 bytes | struct k, 12 bytes", "size data: ipv4, 4 bytes | __u64, 8 bytes"],
  ],
  [
    "lpm without prefix",
    lpmKey(ipv4),
    (b, t) => b.struct("k", 8, [at("addr", t.u64, 0)]),
    ["type : struct | struct k"],
  ],
  [
    "lpm data",
    lpmKey(u64.be),
    (b, t) => b.struct("k", 12, [at("prefixlen", t.u32, 0), at("a", t.u32, 4), at("b", t.u32, 8)]),
    ["type data: u64.be | struct { a, b }"],
  ],
  ["void", u32, () => 0, ["size : u32, 4 bytes | void, 0 bytes"]],
  ["a function", bytes(0), (b) => b.funcProto(0, []), []],
  [
    "alignment of an address",
    struct({ proto: u8, addr: ipv6 }),
    (b, t) => b.struct("s", 17, [at("proto", t.u8, 0), at("addr", t.bytes(16), 1)]),
    ["size : struct, 20 bytes | struct s, 17 bytes", "offset addr: ipv6 at 4 | __u8[16] at 1"],
  ],
  [
    "and its cure",
    struct({ proto: u8, addr: aligned(ipv6, 1) }),
    (b, t) => b.struct("s", 17, [at("proto", t.u8, 0), at("addr", t.bytes(16), 1)]),
    [],
  ],
  [
    "a name twice",
    struct({ a: u8, b: u8 }),
    (b, t) => b.struct("s", 2, [at("a", t.u8, 0), at("A", t.u8, 1)]),
    ["name b: b | A"],
  ],
])("%s differ", (_, codec, make, expected) => {
  expect(differences(codec, make)).toEqual(expected);
});

test("BTF that unfolds without end is not followed", () => {
  const make = (b: BtfBuilder, t: Types): number => {
    let id = t.u8;
    for (let i = 0; i < 30; i++) id = b.union("", 1, [at("a", id, 0), at("b", id, 0)]);
    return id;
  };
  let nested: AnyCodec = u16;
  for (let i = 0; i < 30; i++) nested = union({ a: nested, b: nested });
  const found = compareWithBtf(nested, ...built(make));
  expect(found.length).toBeGreaterThan(0);
  expect(found.length).toBeLessThan(100_000);
});
