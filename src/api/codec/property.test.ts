/** Made-up types: what goes in comes out, padding is zero, and clang has the same layout. Seeds are in fast-check's output. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { kernelHost } from "../../../test/kernel.ts";
import { type Btf, BtfBuilder, parseBtf } from "../../btf/index.ts";
import { parseElf } from "../../elf/index.ts";
import { BPF_BTF_LOAD, BPF_F_NO_PREALLOC, BPF_MAP_CREATE, BPF_MAP_TYPE_LPM_TRIE } from "../../uapi/index.ts";
import {
  type AnyCodec,
  aligned,
  array,
  type BitField,
  bits,
  bool,
  btfFromCodec,
  bytes,
  type Codec,
  CodecBuffer,
  codecFromBtf,
  compareWithBtf,
  cstring,
  decodePerCpu,
  enumOf,
  formatDifferences,
  ipv4,
  ipv6,
  lpmKey,
  mac,
  pad,
  perCpu,
  perCpuStride,
  s8,
  s16,
  s32,
  s64,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
  writePerCpu,
} from "./index.ts";

type Leaf = {
  readonly codec: AnyCodec;
  readonly c: string;
  readonly suffix?: string;
  readonly value: fc.Arbitrary<unknown>;
};

const byteArray = (n: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: n, maxLength: n });
const text = (codec: Codec<string>): fc.Arbitrary<string> => byteArray(codec.size).map((b) => codec.decode(b));
const int = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
const big = (min: bigint, max: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min, max });
const utf8 = (most: number): fc.Arbitrary<string> =>
  fc.string({ unit: "grapheme", maxLength: most }).filter((s) => !s.includes("\0") && Buffer.byteLength(s) <= most);

const leaves: Readonly<Record<string, Leaf>> = {
  u8: { codec: u8, c: "__u8", value: int(0, 255) },
  s8: { codec: s8, c: "signed char", value: int(-128, 127) },
  u16: { codec: u16, c: "unsigned short", value: int(0, 65535) },
  be16: { codec: u16.be, c: "__be16", value: int(0, 65535) },
  s16: { codec: s16, c: "short", value: int(-32768, 32767) },
  u32: { codec: u32, c: "__u32", value: int(0, 2 ** 32 - 1) },
  be32: { codec: u32.be, c: "__be32", value: int(0, 2 ** 32 - 1) },
  s32: { codec: s32, c: "int", value: int(-(2 ** 31), 2 ** 31 - 1) },
  u64: { codec: u64, c: "__u64", value: big(0n, 2n ** 64n - 1n) },
  be64: { codec: u64.be, c: "__u64", value: big(0n, 2n ** 64n - 1n) },
  s64: { codec: s64, c: "long long", value: big(-(2n ** 63n), 2n ** 63n - 1n) },
  number: { codec: s64.asNumber, c: "long", value: fc.maxSafeInteger() },
  bool: { codec: bool, c: "_Bool", value: fc.boolean() },
  ipv4: { codec: ipv4, c: "__be32", value: text(ipv4) },
  ipv4Bytes: { codec: aligned(ipv4, 1), c: "__u8", suffix: "[4]", value: text(ipv4) },
  ipv6: { codec: ipv6, c: "struct in6_addr", value: text(ipv6) },
  ipv6Bytes: { codec: aligned(ipv6, 1), c: "__u8", suffix: "[16]", value: text(ipv6) },
  mac: { codec: mac, c: "__u8", suffix: "[6]", value: text(mac) },
  bytes: { codec: bytes(5), c: "__u8", suffix: "[5]", value: byteArray(5) },
  cstring: { codec: cstring(9), c: "char", suffix: "[9]", value: utf8(8) },
  enum: { codec: enumOf({ ONE: 1, TWO: 2 }), c: "enum small", value: fc.constantFrom("ONE", "TWO", 3) },
  lpm: {
    codec: lpmKey(ipv4),
    c: "struct lpm_v4",
    value: fc.record({ prefixLen: int(0, 32), data: text(ipv4) }),
  },
};

const prelude = `
typedef unsigned char __u8; typedef unsigned int __u32; typedef unsigned long long __u64;
typedef unsigned short __be16; typedef __u32 __be32;
struct in6_addr { union { __u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u; };
enum small { ONE = 1, TWO = 2 };
struct lpm_v4 { __u32 prefixlen; __be32 data; };
`;

const bitBases: Readonly<
  Record<string, { readonly codec: Codec<number> | Codec<bigint> | Codec<boolean>; readonly c: string }>
> = {
  u8: { codec: u8, c: "__u8" },
  s8: { codec: s8, c: "signed char" },
  u16: { codec: u16, c: "unsigned short" },
  u32: { codec: u32, c: "__u32" },
  s32: { codec: s32, c: "int" },
  u64: { codec: u64, c: "__u64" },
  s64: { codec: s64, c: "long long" },
  bool: { codec: bool, c: "_Bool" },
};

/** A type as plain data, which fast-check can print and shrink. */
type Desc =
  | { readonly kind: "leaf"; readonly leaf: string }
  | { readonly kind: "array"; readonly element: Desc; readonly length: number }
  | { readonly kind: "struct"; readonly packed: boolean; readonly align: number; readonly fields: readonly Member[] }
  | { readonly kind: "union"; readonly packed: boolean; readonly members: readonly Desc[] };
type Member =
  | { readonly kind: "field"; readonly type: Desc }
  | { readonly kind: "bits"; readonly base: string; readonly width: number }
  | { readonly kind: "pad"; readonly length: number };

const { desc } = fc.letrec<{ desc: Desc }>((tie) => {
  const inner = tie("desc") as fc.Arbitrary<Desc>;
  const bitMember = fc.constantFrom(...Object.keys(bitBases)).chain((base) =>
    int(1, base === "bool" ? 1 : bitBases[base]!.codec.size * 8).map((width) => ({
      kind: "bits" as const,
      base,
      width,
    })),
  );
  const member: fc.Arbitrary<Member> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("field" as const), type: inner }) },
    { weight: 3, arbitrary: bitMember },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pad" as const), length: int(1, 5) }) },
  );
  return {
    desc: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      fc.record({ kind: fc.constant("leaf" as const), leaf: fc.constantFrom(...Object.keys(leaves)) }),
      fc.record({
        kind: fc.constant("struct" as const),
        packed: fc.boolean(),
        align: fc.constantFrom(1, 1, 1, 2, 16),
        fields: fc.array(member, { minLength: 1, maxLength: 7 }),
      }),
      fc.record({ kind: fc.constant("array" as const), element: inner, length: int(1, 3) }),
      fc.record({
        kind: fc.constant("union" as const),
        packed: fc.boolean(),
        members: fc.array(inner, { minLength: 1, maxLength: 3 }),
      }),
    ),
  };
});

function codecOf(d: Desc): Codec<unknown> {
  const make = (): AnyCodec => {
    switch (d.kind) {
      case "leaf":
        return leaves[d.leaf]!.codec;
      case "array":
        return array(codecOf(d.element), d.length);
      case "struct": {
        const fields = d.fields.map((f, i): [string, AnyCodec | BitField<unknown>] => {
          if (f.kind === "field") return [`f${i}`, codecOf(f.type)];
          if (f.kind === "pad") return [`f${i}`, pad(f.length)];
          return [`f${i}`, bits(bitBases[f.base]!.codec as Codec<number>, f.width) as BitField<unknown>];
        });
        return struct(Object.fromEntries(fields), { packed: d.packed, align: d.align });
      }
      case "union":
        return union(Object.fromEntries(d.members.map((m, i) => [`m${i}`, codecOf(m)])), { packed: d.packed });
    }
  };
  return make() as Codec<unknown>;
}

/** The declaration of `name` in C. */
function cOf(d: Desc, name: string): string {
  const packed = "packed" in d && d.packed ? "__attribute__((packed))" : "";
  switch (d.kind) {
    case "leaf":
      return `${leaves[d.leaf]!.c} ${name}${leaves[d.leaf]!.suffix ?? ""}`;
    case "array":
      return cOf(d.element, `${name}[${d.length}]`);
    case "struct": {
      const fields = d.fields.map((f, i) => {
        if (f.kind === "field") return `${cOf(f.type, `f${i}`)};`;
        return f.kind === "pad" ? `__u8 f${i}[${f.length}];` : `${bitBases[f.base]!.c} f${i} : ${f.width};`;
      });
      const align = d.align > 1 ? `__attribute__((aligned(${d.align})))` : "";
      return `struct { ${fields.join(" ")} } ${packed} ${align} ${name}`;
    }
    case "union":
      return `union { ${d.members.map((m, i) => `${cOf(m, `m${i}`)};`).join(" ")} } ${packed} ${name}`;
  }
}

function arbitraryOf(d: Desc): fc.Arbitrary<unknown> {
  switch (d.kind) {
    case "leaf":
      return leaves[d.leaf]!.value;
    case "array":
      return fc.array(arbitraryOf(d.element), { minLength: d.length, maxLength: d.length });
    case "struct": {
      const fields = d.fields.flatMap((f, i): [string, fc.Arbitrary<unknown>][] => {
        if (f.kind === "field") return [[`f${i}`, arbitraryOf(f.type)]];
        return f.kind === "pad" ? [] : [[`f${i}`, bitsValue(f.base, f.width)]];
      });
      return fc.record(Object.fromEntries(fields)).map((value) => ({ ...value }));
    }
    case "union":
      return fc.oneof(...d.members.map((m, i) => arbitraryOf(m).map((value) => ({ [`m${i}`]: value }))));
  }
}

function bitsValue(base: string, width: number): fc.Arbitrary<unknown> {
  if (base === "bool") return fc.boolean();
  const least = base.startsWith("s") ? -(1n << BigInt(width - 1)) : 0n;
  const value = big(least, least + (1n << BigInt(width)) - 1n);
  return base.endsWith("64") ? value : value.map(Number);
}

/** A decoded value reduced to what was put in: of a union the member that was given. */
function asGiven(decoded: unknown, given: unknown, d: Desc): unknown {
  switch (d.kind) {
    case "leaf":
      return decoded;
    case "array":
      return (decoded as unknown[]).map((value, i) => asGiven(value, (given as unknown[])[i], d.element));
    case "struct":
      return Object.fromEntries(
        Object.entries(decoded as object).map(([name, value]) => {
          const field = d.fields[Number(name.slice(1))]!;
          return [
            name,
            field.kind === "field" ? asGiven(value, (given as Record<string, unknown>)[name], field.type) : value,
          ];
        }),
      );
    case "union": {
      const [[name, value]] = Object.entries(given as object) as [[string, unknown]];
      return { [name]: asGiven((decoded as Record<string, unknown>)[name], value, d.members[Number(name.slice(1))]!) };
    }
  }
}

const typeAndValue = desc.chain((d) => fc.tuple(fc.constant(d), arbitraryOf(d)));

test("what is encoded is decoded; padding is zero; nothing else is touched", () => {
  fc.assert(
    fc.property(typeAndValue, int(0, 20), ([d, value], offset) => {
      const codec = codecOf(d);
      const clean = codec.encode(value);
      const dirty = new Uint8Array(offset + codec.size + 9).fill(0xff);
      codec.encode(value, dirty, offset);
      expect(dirty.subarray(offset, offset + codec.size)).toEqual(clean);
      expect(dirty.subarray(0, offset).every((byte) => byte === 0xff)).toBe(true);
      expect(dirty.subarray(offset + codec.size).every((byte) => byte === 0xff)).toBe(true);
      const decoded = codec.decode(dirty, offset);
      expect(asGiven(decoded, value, d)).toEqual(value);
      expect(codec.encode(decoded)).toEqual(clean);
    }),
    { numRuns: 400 },
  );
});

test("per-CPU values come back, and slots beyond the value are zero", () => {
  fc.assert(
    fc.property(
      desc.chain((d) => fc.tuple(fc.constant(d), fc.array(arbitraryOf(d), { minLength: 1, maxLength: 4 }))),
      ([d, values]) => {
        const codec = codecOf(d);
        const buffer = CodecBuffer.alloc(perCpuStride(codec.size) * values.length);
        buffer.bytes.fill(0xff);
        writePerCpu(codec, buffer, 0, perCpu(...values), values.length);
        const back = decodePerCpu(codec, buffer.bytes);
        expect(back.map((value, cpu) => asGiven(value, values[cpu], d))).toEqual(values);
        for (let cpu = 0; cpu < values.length; cpu++) {
          const end = (cpu + 1) * perCpuStride(codec.size);
          const start = cpu * perCpuStride(codec.size) + codec.size;
          expect(buffer.bytes.subarray(start, end).every((byte) => byte === 0)).toBe(true);
        }
      },
    ),
    { numRuns: 100 },
  );
});

test("the BTF of a codec fits the codec, and its own codec reads the same bytes", () => {
  fc.assert(
    fc.property(typeAndValue, ([d, value]) => {
      const codec = codecOf(d);
      const builder = new BtfBuilder();
      const id = btfFromCodec(codec, builder, "made");
      const btf = parseBtf(builder.build());
      expect(btf.sizeOf(id)).toBe(codec.size);
      expect(compareWithBtf(codec, btf, id)).toEqual([]);
      const other = codecFromBtf(btf, id);
      const encoded = codec.encode(value);
      try {
        expect(other.encode(other.decode(encoded), new Uint8Array(codec.size).fill(0xff))).toEqual(encoded);
      } catch (error) {
        // Overlapping members with padding and without: see codecFromBtf.
        if (!String(error).includes("does not agree")) throw error;
      }
    }),
    { numRuns: 300 },
  );
});

const kernel = kernelHost();

test.runIf(kernel !== undefined)("the kernel takes the BTF of a codec, and a map whose sizes are the codec's", () => {
  const host = kernel!;
  const log = new Uint8Array(65536);
  fc.assert(
    fc.property(desc, (d) => {
      const codec = codecOf(d);
      const builder = new BtfBuilder();
      const key = btfFromCodec(lpmKey(ipv6), builder, "made_key");
      const value = btfFromCodec(codec, builder, "made_value");
      const btf = builder.build();
      const fd = host.bpf(BPF_BTF_LOAD, {
        btf,
        btf_size: btf.length,
        btf_log_buf: log,
        btf_log_size: log.length,
        btf_log_level: 1,
      });
      expect(fd >= 0 ? "" : `${fd}: ${Buffer.from(log).toString().split("\0")[0]}`).toBe("");
      const map = host.bpf(BPF_MAP_CREATE, {
        map_type: BPF_MAP_TYPE_LPM_TRIE,
        key_size: lpmKey(ipv6).size,
        value_size: codec.size,
        max_entries: 1,
        map_flags: BPF_F_NO_PREALLOC,
        btf_fd: fd,
        btf_key_type_id: key,
        btf_value_type_id: value,
      });
      host.close(fd);
      expect(map).toBeGreaterThanOrEqual(0);
      host.close(map);
    }),
    { numRuns: 100 },
  );
});

function hasClang(): boolean {
  try {
    return execFileSync("clang", ["--print-targets"], { encoding: "utf8" }).includes("bpf");
  } catch {
    return false;
  }
}

/** The BTF that clang makes of global variables `v0`, `v1`, ... of these types. */
function compiled(types: readonly Desc[]): Btf {
  const folder = mkdtempSync(join(tmpdir(), "bpfmaps-codec-"));
  try {
    const [source, object] = [join(folder, "types.c"), join(folder, "types.o")];
    writeFileSync(source, prelude + types.map((d, i) => `${cOf(d, `v${i}`)};\n`).join(""));
    execFileSync("clang", ["-O2", "-g", "-w", "-target", "bpf", "-c", source, "-o", object]);
    const section = parseElf(readFileSync(object)).sections.find(({ name }) => name === ".BTF");
    return parseBtf(section!.data);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.runIf(hasClang())("clang lays the same types out in the same way", () => {
  const seed = Date.now() & 0x7fff_ffff;
  const types = fc.sample(desc, { seed, numRuns: 300 });
  const btf = compiled(types);
  types.forEach((d, i) => {
    const variable = btf.find(`v${i}`, "var")!;
    const codec = codecOf(d);
    const where = `seed ${seed}: ${cOf(d, `v${i}`)}`;
    const differences = compareWithBtf(codec, btf, variable).filter(({ problem }) => problem !== "order");
    expect(`${where}\n${differences.length === 0 ? "" : formatDifferences(differences)}`).toBe(`${where}\n`);
    expect([where, codecFromBtf(btf, variable).size]).toEqual([where, codec.size]);
  });
});
