/** Parsers and formatters against arbitrary input: a value or an InputError, nothing else, and soon. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { ldImm64, ldx, mov64Imm } from "../insn/index.ts";
import {
  BtfBuilder,
  type BtfType,
  CoreRelocator,
  formatType,
  formatValue,
  KERNEL_RULES,
  LIBBPF_RULES,
  parseBtf,
  parseBtfExt,
  patchInsn,
} from "./index.ts";

const RUNS = { numRuns: 2000 };
/** What types are shown with; no value may come from outside it. */
const VALUE = Uint8Array.from({ length: 64 }, (_, i) => (i * 37) & 0xff);

/** Runs `use` on the input; anything but a result or an InputError fails (fast-check prints seed and input). */
function valueOrInputError(use: () => void): void {
  try {
    use();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}

function smallBtf(): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const char = b.int("char", 1, { char: true });
  const text = b.array(char, int, 8);
  const colour = b.enum("colour", [{ name: "RED", value: 0 }]);
  b.enum64("wide", [{ name: "FAR", value: 1n << 40n }]);
  const s = b.struct("s", 24, [
    { name: "a", typeId: int, bitOffset: 0, bitSize: 5 },
    { name: "b", typeId: colour, bitOffset: 32 },
    { name: "t", typeId: text, bitOffset: 64 },
    { name: "p", typeId: b.ptr(int), bitOffset: 128 },
  ]);
  const t = b.const(b.typedef("s_t", s));
  b.union("u", 24, [{ name: "s", typeId: t, bitOffset: 0 }]);
  const f = b.func("f", b.funcProto(int, [{ name: "x", typeId: t }]));
  b.datasec(".data", 24, [{ typeId: b.var("v", t), offset: 0, size: 24 }]);
  b.declTag("tag", f, 0);
  b.float("double", 8);
  b.fwd("later", "struct");
  return b.build();
}

function useAll(bytes: Uint8Array): void {
  const btf = parseBtf(bytes);
  expect(btf.types.length).toBe(btf.count);
  for (let id = 0; id < btf.count; id++) {
    const type = btf.type(id);
    if (type.name !== "") expect(btf.findAll(type.name)).toContain(id);
    valueOrInputError(() => btf.resolve(id));
    valueOrInputError(() => btf.sizeOf(id));
    valueOrInputError(() => btf.alignOf(id));
    valueOrInputError(() => formatType(btf, id));
    valueOrInputError(() => formatValue(btf, id, VALUE));
  }
}

/** Some bytes of a good input overwritten. */
function mutated(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }));
  return fc.array(edit, { minLength: 1, maxLength: 6 }).map((edits) => {
    const bytes = good.slice();
    for (const [at, value] of edits) bytes[at] = value;
    return bytes;
  });
}

test("any bytes behind a good header", () => {
  const input = fc.tuple(fc.uint8Array({ maxLength: 400 }), fc.boolean(), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(input, ([types, little, names]) => {
      const length = types.length & ~3;
      const bytes = new Uint8Array(24 + length + names.length + 2);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, 0xeb9f, little);
      view.setUint8(2, 1);
      for (const [i, word] of [24, 0, length, length, names.length + 2].entries())
        view.setUint32(4 + i * 4, word, little);
      bytes.set(types.subarray(0, length), 24);
      bytes.set(names, 24 + length + 1);
      valueOrInputError(() => useAll(bytes));
    }),
    RUNS,
  );
});

test("a good BTF with some bytes changed", () => {
  fc.assert(
    fc.property(mutated(smallBtf()), (bytes) => valueOrInputError(() => useAll(bytes))),
    RUNS,
  );
});

test("a .BTF.ext with some bytes changed", () => {
  const btf = parseBtf(smallBtf());
  const words = [0x0001_eb9f, 32, 0, 20, 20, 28, 48, 28];
  words.push(8, 1, 1, 0, 9);
  words.push(16, 1, 1, 8, 1, 1, 0x401);
  words.push(16, 1, 1, 8, 6, 1, 0);
  const good = new Uint8Array(new Uint32Array(words).buffer);
  expect(parseBtfExt(good, btf).lineInfo).toHaveLength(1);
  fc.assert(
    fc.property(mutated(good), fc.nat(good.length), (bytes, cut) => {
      valueOrInputError(() => parseBtfExt(bytes.subarray(0, bytes.length - (cut % 8 === 0 ? cut : 0)), btf));
    }),
    RUNS,
  );
});

/** Any type over a few ids: good and bad references, cycles, members beyond the end. */
function anyType(ids: number): fc.Arbitrary<BtfType> {
  const typeId = fc.nat(ids);
  const name = fc.constantFrom("", "a", "char", "__proto__");
  const size = fc.constantFrom(0, 1, 2, 4, 8, 16, 60, 0xffff_ffff);
  const bool = fc.boolean();
  const linkage = fc.constantFrom("static" as const, "global" as const, "extern" as const);
  const member = fc.record({ name, typeId, bitOffset: fc.nat(128), bitSize: fc.constantFrom(0, 0, 1, 7, 40) });
  const members = fc.array(member, { maxLength: 3 });
  const offset = fc.nat(70);
  return fc.oneof(
    fc.record({
      kind: fc.constant("int" as const),
      name,
      size: fc.constantFrom(1, 2, 4, 8, 16),
      bits: fc.nat(8),
      bitOffset: fc.constant(0),
      signed: bool,
      char: bool,
      bool,
    }),
    fc.record({
      kind: fc.constantFrom("ptr", "volatile", "const", "restrict"),
      name: fc.constant("" as const),
      typeId,
    }),
    fc.record({
      kind: fc.constant("array" as const),
      name: fc.constant("" as const),
      elemTypeId: typeId,
      indexTypeId: typeId,
      length: fc.constantFrom(0, 1, 3, 1000, 0xffff_ffff),
    }),
    fc.record({ kind: fc.constantFrom("struct", "union"), name, size, members }),
    fc.record({
      kind: fc.constant("enum" as const),
      name,
      size: fc.constantFrom(1, 4, 8),
      signed: bool,
      values: fc.array(fc.record({ name, value: fc.nat(255) }), { maxLength: 3 }),
    }),
    fc.record({
      kind: fc.constant("enum64" as const),
      name,
      size: fc.constantFrom(1, 4, 8),
      signed: bool,
      values: fc.array(fc.record({ name, value: fc.bigInt({ min: 0n, max: 255n }) }), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant("fwd" as const), name, of: fc.constantFrom("struct" as const, "union" as const) }),
    fc.record({ kind: fc.constant("typedef" as const), name, typeId }),
    fc.record({ kind: fc.constantFrom("func", "var"), name, typeId, linkage }),
    fc.record({
      kind: fc.constant("func_proto" as const),
      name: fc.constant("" as const),
      returnTypeId: typeId,
      params: fc.array(fc.record({ name, typeId }), { maxLength: 3 }),
    }),
    fc.record({
      kind: fc.constant("datasec" as const),
      name,
      size,
      vars: fc.array(fc.record({ typeId, offset, size: offset }), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant("float" as const), name, size: fc.constantFrom(2, 4, 8, 12, 16) }),
    fc.record({
      kind: fc.constant("decl_tag" as const),
      name,
      typeId,
      componentIndex: fc.integer({ min: -1, max: 3 }),
      attribute: bool,
    }),
    fc.record({ kind: fc.constant("type_tag" as const), name, typeId, attribute: bool }),
  ) as fc.Arbitrary<BtfType>;
}

test("any graph of types: shown or refused, and soon", () => {
  const ids = 8;
  fc.assert(
    fc.property(fc.array(anyType(ids), { minLength: ids, maxLength: ids }), fc.boolean(), (types, littleEndian) => {
      const builder = new BtfBuilder({ littleEndian });
      for (const type of types) builder.add(type);
      const start = performance.now();
      valueOrInputError(() => useAll(builder.build()));
      expect(performance.now() - start).toBeLessThan(10_000);
    }),
    { numRuns: 3000, interruptAfterTimeLimit: 20_000 },
  );
});

test("any graph of types relocated against another: values, poison and errors, and soon", () => {
  const ids = 8;
  const graph = fc.array(anyType(ids), { minLength: ids, maxLength: ids });
  const access = fc.constantFrom("0", "0:0", "0:1", "1:0", "0:0:0", "0:2:1", "0:0:0:0", "3", "0:99", "x");
  const record = fc.record({ typeId: fc.nat(ids), access, kind: fc.nat(13) });
  const seen = { value: 0, poison: 0, error: 0 };
  fc.assert(
    fc.property(
      graph,
      graph,
      fc.array(record, { minLength: 8, maxLength: 8 }),
      fc.boolean(),
      (own, other, records, us) => {
        const [local, target] = [own, other].map((types) => {
          const builder = new BtfBuilder();
          for (const type of types) builder.add(type);
          return builder.build();
        });
        valueOrInputError(() => {
          const relocator = new CoreRelocator(parseBtf(local!), parseBtf(target!), us ? LIBBPF_RULES : KERNEL_RULES);
          for (const each of records) {
            const result = relocator.resolve(each);
            seen[result.kind]++;
            expect(relocator.describe(each)).not.toBe("");
            for (const insns of [[mov64Imm(1, 0)], ldImm64(1, 0n), [ldx("u32", 1, 2, 0)]]) patchInsn(insns, 0, result);
          }
        });
      },
    ),
    { numRuns: 800, interruptAfterTimeLimit: 20_000 },
  );
  expect(Math.min(seen.value, seen.poison, seen.error)).toBeGreaterThan(10);
});
