/** CO-RE between two layouts of our own. What the kernel answers is compared in test/conformance/core_relos.test.ts. */
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { BAD_RELO, type Btf, BtfBuilder, CoreRelocator, type CoreResult, parseBtf, patchInsn } from "./index.ts";

type Members = readonly (readonly [name: string, typeId: number, bitOffset: number, bitSize?: number])[];

/** A BTF with the numbers that every program knows. */
class Layout {
  readonly b: BtfBuilder = new BtfBuilder();
  readonly int: number = this.b.int("int", 4, { signed: true });
  readonly u32: number = this.b.int("unsigned int", 4);
  readonly u64: number = this.b.int("unsigned long long", 8);
  readonly u8: number = this.b.int("unsigned char", 1);
  readonly ptr: number = this.b.ptr(0);

  struct(name: string, size: number, members: Members): number {
    return this.b.struct(name, size, list(members));
  }

  union(name: string, size: number, members: Members): number {
    return this.b.union(name, size, list(members));
  }

  btf(): Btf {
    return parseBtf(this.b.build());
  }
}

function list(members: Members): { name: string; typeId: number; bitOffset: number; bitSize?: number }[] {
  return members.map(([name, typeId, bitOffset, bitSize]) => ({
    name,
    typeId,
    bitOffset,
    ...(bitSize === undefined ? {} : { bitSize }),
  }));
}

const brief = (result: CoreResult): unknown =>
  result.kind === "value" ? [Number(result.local), Number(result.value)] : `${result.kind}: ${result.why}`;

/** What the program was compiled with. */
function program(): { local: Layout; ids: Record<string, number> } {
  const l = new Layout();
  const inner = l.struct("inner", 8, [
    ["a", l.u32, 0],
    ["b", l.u32, 32],
  ]);
  const ids = {
    task: l.struct("task", 40, [
      ["pid", l.int, 0],
      ["flags", l.u32, 32],
      ["name", l.b.array(l.u8, l.int, 8), 64],
      ["inner", inner, 128],
      ["parent", l.ptr, 192],
      ["low", l.u32, 256, 3],
      ["high", l.u32, 259, 20],
    ]),
    old: l.struct("task___old", 8, [["state", l.u64, 0]]),
    inners: l.struct("list", 24, [["all", l.b.array(inner, l.int, 3), 0]]),
    tail: l.struct("tail", 4, [
      ["n", l.u32, 0],
      ["rest", l.b.array(l.u32, l.int, 0), 32],
    ]),
    color: l.b.enum("color", [
      { name: "RED", value: 0 },
      { name: "BLUE", value: 1 },
      { name: "GONE", value: 2 },
    ]),
    word: l.b.typedef("word", l.u32),
    callback: l.b.typedef("callback", l.b.ptr(l.b.funcProto(l.int, [{ name: "x", typeId: l.ptr }]))),
    missing: l.struct("missing", 4, [["x", l.u32, 0]]),
    nameless: l.struct("", 4, [["x", l.u32, 0]]),
  };
  return { local: l, ids };
}

/** The same things elsewhere: moved, renamed, grown, inside anonymous members. */
function kernel(): Layout {
  const t = new Layout();
  const inner = t.struct("inner", 16, [
    ["b", t.u64, 0],
    ["a", t.u32, 64],
  ]);
  const anonymous = t.union("", 8, [
    ["ignored", t.u64, 0],
    ["pid", t.int, 0],
  ]);
  t.struct("task", 80, [
    ["parent", t.ptr, 0],
    ["", anonymous, 64],
    ["flags", t.u64, 128],
    ["name", t.b.array(t.u8, t.int, 16), 192],
    ["inner", inner, 320],
    ["low", t.u32, 460, 3],
    ["high", t.u32, 463, 20],
    ["state", t.u64, 512],
  ]);
  t.struct("list", 32, [["all", t.b.array(inner, t.int, 2), 0]]);
  t.struct("tail", 8, [
    ["n", t.u64, 0],
    ["rest", t.b.array(t.u32, t.int, 0), 64],
  ]);
  t.b.enum64("color", [
    { name: "BLUE___v2", value: 0x1_0000_0007n },
    { name: "RED", value: 3n },
  ]);
  t.b.typedef("word", t.u64);
  t.b.typedef("callback", t.b.ptr(t.b.funcProto(t.int, [])));
  return t;
}

const made = program();
const relocator = new CoreRelocator(made.local.btf(), kernel().btf());
const ask = (name: string, access: string, kind: number): CoreResult =>
  relocator.resolve({ typeId: made.ids[name]!, access, kind });

test.each<[string, string, number, unknown]>([
  ["task", "0", u.BPF_CORE_FIELD_BYTE_OFFSET, [0, 0]],
  ["task", "2:0", u.BPF_CORE_FIELD_BYTE_OFFSET, [80, 168]],
  ["task", "0:0", u.BPF_CORE_FIELD_BYTE_OFFSET, [0, 8]],
  ["task", "0:1", u.BPF_CORE_FIELD_BYTE_OFFSET, [4, 16]],
  ["task", "0:1", u.BPF_CORE_FIELD_BYTE_SIZE, [4, 8]],
  ["task", "0:0", u.BPF_CORE_FIELD_SIGNED, [1, 1]],
  ["task", "0:1", u.BPF_CORE_FIELD_SIGNED, [0, 0]],
  ["task", "0:0", u.BPF_CORE_FIELD_LSHIFT_U64, [32, 32]],
  ["task", "0:2:3", u.BPF_CORE_FIELD_BYTE_OFFSET, [11, 27]],
  ["task", "0:2", u.BPF_CORE_FIELD_BYTE_SIZE, [8, 16]],
  ["task", "0:3:0", u.BPF_CORE_FIELD_BYTE_OFFSET, [16, 48]],
  ["task", "0:3:1", u.BPF_CORE_FIELD_BYTE_OFFSET, [20, 40]],
  // Bits 256..258 in the program, 460..462 there: both in one load of 4 bytes.
  ["task", "0:5", u.BPF_CORE_FIELD_BYTE_OFFSET, [32, 56]],
  ["task", "0:5", u.BPF_CORE_FIELD_LSHIFT_U64, [61, 49]],
  ["task", "0:5", u.BPF_CORE_FIELD_RSHIFT_U64, [61, 61]],
  // Bits 463..482 cross a word there: 8 bytes from byte 56 on.
  ["task", "0:6", u.BPF_CORE_FIELD_BYTE_OFFSET, [32, 56]],
  ["task", "0:6", u.BPF_CORE_FIELD_BYTE_SIZE, [4, 8]],
  ["task", "0:6", u.BPF_CORE_FIELD_LSHIFT_U64, [41, 29]],
  ["task", "0:6", u.BPF_CORE_FIELD_EXISTS, [1, 1]],
  ["old", "0:0", u.BPF_CORE_FIELD_BYTE_OFFSET, [0, 64]],
  ["old", "0", u.BPF_CORE_TYPE_SIZE, [8, 80]],
  ["inners", "0:0:1:1", u.BPF_CORE_FIELD_BYTE_OFFSET, [12, 16]],
  ["inners", "0:0:2:1", u.BPF_CORE_FIELD_EXISTS, [1, 0]],
  ["inners", "0:0:2:1", u.BPF_CORE_FIELD_BYTE_OFFSET, "poison: an array has 2 elements, none with index 2"],
  ["tail", "0:1:5", u.BPF_CORE_FIELD_BYTE_OFFSET, [24, 28]],
  ["color", "0", u.BPF_CORE_ENUMVAL_VALUE, [0, 3]],
  ["color", "1", u.BPF_CORE_ENUMVAL_VALUE, [1, 0x1_0000_0007]],
  ["color", "2", u.BPF_CORE_ENUMVAL_EXISTS, [1, 0]],
  ["color", "2", u.BPF_CORE_ENUMVAL_VALUE, "poison: enum color has no value GONE"],
  ["word", "0", u.BPF_CORE_TYPE_SIZE, [4, 8]],
  ["word", "0", u.BPF_CORE_TYPE_EXISTS, [1, 1]],
  ["word", "0", u.BPF_CORE_TYPE_MATCHES, [1, 0]],
  ["callback", "0", u.BPF_CORE_TYPE_EXISTS, [1, 0]],
  ["missing", "0", u.BPF_CORE_TYPE_EXISTS, [1, 0]],
  ["missing", "0", u.BPF_CORE_TYPE_SIZE, [4, 0]],
  ["missing", "0:0", u.BPF_CORE_FIELD_EXISTS, [1, 0]],
  ["missing", "0:0", u.BPF_CORE_FIELD_BYTE_SIZE, "poison: it has no struct missing"],
  ["nameless", "0:0", u.BPF_CORE_FIELD_EXISTS, "error: struct without a name, which nothing can be found by"],
  ["task", "0:9", u.BPF_CORE_FIELD_EXISTS, 'error: access path "0:9": no member 9 in struct task'],
  ["task", "0:0:0", u.BPF_CORE_FIELD_EXISTS, 'error: access path "0:0:0": nothing is inside int int'],
  ["task", "0:2:8", u.BPF_CORE_FIELD_EXISTS, 'error: access path "0:2:8": element 8 of an array of 8'],
  ["task", "x", u.BPF_CORE_FIELD_EXISTS, 'error: access path "x", expected numbers joined by colons'],
  ["task", "0:1", u.BPF_CORE_TYPE_SIZE, 'error: access path "0:1" of a type, expected "0"'],
  ["color", "3", u.BPF_CORE_ENUMVAL_VALUE, 'error: access path "3", expected the index of an enum\'s value'],
  ["task", "0:2:1", u.BPF_CORE_FIELD_SIGNED, "error: sign or shifts of an element, which only members have"],
  ["task", "0", 13, "error: relocation kind 13 is unknown"],
])("%s %s kind %i", (name, access, kind, expected) => {
  expect(brief(ask(name, access, kind))).toEqual(expected);
});

test("ids of types: the program's own, and the target's", () => {
  const target = kernel().btf();
  expect(brief(ask("task", "0", u.BPF_CORE_TYPE_ID_LOCAL))).toEqual([made.ids.task, made.ids.task]);
  expect(brief(ask("task", "0", u.BPF_CORE_TYPE_ID_TARGET))).toEqual([made.ids.task, target.find("task", "struct")]);
  expect(brief(ask("missing", "0", u.BPF_CORE_TYPE_ID_TARGET))).toEqual([made.ids.missing, 0]);
  const alone = new CoreRelocator(made.local.btf(), undefined);
  const record = { typeId: made.ids.task!, access: "0", kind: u.BPF_CORE_TYPE_ID_LOCAL };
  expect(brief(alone.resolve(record))).toEqual([made.ids.task, made.ids.task]);
  expect(brief(alone.resolve({ ...record, kind: u.BPF_CORE_TYPE_SIZE }))).toBe(
    "error: no target BTF to relocate against",
  );
});

test("against the program's own BTF nothing changes", () => {
  const own = made.local.btf();
  const self = new CoreRelocator(own, own);
  for (const [access, kind] of [
    ["0:6", u.BPF_CORE_FIELD_BYTE_OFFSET],
    ["0:6", u.BPF_CORE_FIELD_LSHIFT_U64],
    ["0:3:1", u.BPF_CORE_FIELD_BYTE_SIZE],
    ["0", u.BPF_CORE_TYPE_MATCHES],
  ] as const) {
    const result = self.resolve({ typeId: made.ids.task!, access, kind });
    expect(result.kind === "value" && result.local === result.value, `${access} ${kind}`).toBe(true);
  }
});

test("words for a relocation", () => {
  const words = (name: string, access: string, kind: number): string =>
    relocator.describe({ typeId: made.ids[name]!, access, kind });
  expect(words("inners", "1:0:2:1", 0)).toBe("field_byte_offset of struct list[1].all[2].b (1:0:2:1)");
  expect(words("color", "1", 11)).toBe("enumval_value of enum color::BLUE (1)");
  expect(words("old", "0", 8)).toBe("type_exists of struct task___old");
  expect(words("task", "0:77", 0)).toBe("field_byte_offset of struct task (0:77)");
});

test("several types of one name: they must agree, and those that do not fit do not count", () => {
  const l = new Layout();
  const typeId = l.struct("twin", 8, [
    ["a", l.u32, 0],
    ["b", l.u32, 32],
  ]);
  const t = new Layout();
  t.struct("twin", 8, [
    ["a", t.u32, 0],
    ["b", t.u32, 32],
    ["c", t.u32, 64 - 32],
  ]);
  t.struct("twin___2", 12, [
    ["a", t.u32, 0],
    ["b", t.u32, 64],
  ]);
  t.struct("twin", 4, [["z", t.u32, 0]]);
  const record = (access: string, kind: number = 0) => ({ typeId, access, kind });
  const twins = new CoreRelocator(l.btf(), t.btf());
  expect(brief(twins.resolve(record("0:0")))).toEqual([0, 0]);
  expect(brief(twins.resolve(record("0:1")))).toMatch(
    /^error: the target has struct twin more than once, .* ids 6 and 7/,
  );
  // Also where the answer would be the same.
  expect(brief(twins.resolve(record("0:1", u.BPF_CORE_FIELD_EXISTS)))).toMatch(/^error: the target has struct twin/);
  expect(brief(twins.resolve(record("0", u.BPF_CORE_TYPE_EXISTS)))).toEqual([1, 1]);
});

test("a bitfield that no load has all bits of", () => {
  const l = new Layout();
  const typeId = l.struct("wide", 16, [["bits", l.u64, 0, 60]]);
  const t = new Layout();
  t.struct("wide", 16, [["bits", t.u64, 10, 60]]);
  const wide = new CoreRelocator(l.btf(), t.btf());
  const result = wide.resolve({ typeId, access: "0:0", kind: u.BPF_CORE_FIELD_BYTE_OFFSET });
  expect(result).toMatchObject({ kind: "error", errno: -u.E2BIG });
  expect(brief(wide.resolve({ typeId, access: "0:0", kind: u.BPF_CORE_FIELD_EXISTS }))).toEqual([1, 1]);
});

test("what fields must be to mean the same", () => {
  const cases: [string, (l: Layout) => number, (t: Layout) => number, boolean][] = [
    ["numbers of any size and sign", (l) => l.int, (t) => t.u64, true],
    ["a number and a pointer", (l) => l.u64, (t) => t.ptr, false],
    ["pointers to anything", (l) => l.b.ptr(l.int), (t) => t.b.ptr(t.u64), true],
    ["a struct and a union", (l) => l.struct("x", 0, []), (t) => t.union("y", 0, []), true],
    ["enums of one name", (l) => l.b.enum("e", []), (t) => t.b.enum64("e___2", []), true],
    ["enums of two names", (l) => l.b.enum("e", []), (t) => t.b.enum("f", []), false],
    ["an enum without a name", (l) => l.b.enum("", []), (t) => t.b.enum("f", []), true],
    ["an enum and a number", (l) => l.b.enum("e", []), (t) => t.u32, false],
    ["floats", (l) => l.b.float("f", 4), (t) => t.b.float("d", 8), true],
    ["arrays of the same", (l) => l.b.array(l.u8, l.int, 4), (t) => t.b.array(t.u32, t.int, 9), true],
    ["arrays of something else", (l) => l.b.array(l.u8, l.int, 4), (t) => t.b.array(t.ptr, t.int, 4), false],
    ["through typedefs and const", (l) => l.b.typedef("w", l.b.const(l.u8)), (t) => t.b.volatile(t.u8), true],
    ["functions", (l) => l.b.funcProto(0, []), (t) => t.b.funcProto(0, []), false],
  ];
  for (const [what, local, target, same] of cases) {
    const l = new Layout();
    const t = new Layout();
    const typeId = l.struct("s", 8, [["f", local(l), 0]]);
    t.struct("s", 8, [["f", target(t), 0]]);
    const exists = new CoreRelocator(l.btf(), t.btf()).resolve({ typeId, access: "0:0", kind: 2 });
    expect(brief(exists), what).toEqual([1, same ? 1 : 0]);
  }
});

test("what matches: the program's type with all that is in it, where the target may have more", () => {
  const cases: [string, (l: Layout) => number, (t: Layout) => unknown, boolean][] = [
    [
      "fewer members",
      (l) => l.struct("s", 4, [["a", l.u32, 0]]),
      (t) =>
        t.struct("s", 8, [
          ["b", t.u64, 0],
          ["a", t.u32, 0],
        ]),
      true,
    ],
    [
      "more members",
      (l) =>
        l.struct("s", 8, [
          ["a", l.u32, 0],
          ["b", l.u32, 32],
        ]),
      (t) => t.struct("s", 4, [["a", t.u32, 0]]),
      false,
    ],
    [
      "a number of another size",
      (l) => l.struct("s", 4, [["a", l.u32, 0]]),
      (t) => t.struct("s", 8, [["a", t.u64, 0]]),
      false,
    ],
    ["a number of another sign", (l) => l.b.typedef("s", l.u32), (t) => t.b.typedef("s", t.int), false],
    [
      "a struct behind a pointer only by name",
      (l) => l.struct("s", 8, [["p", l.b.ptr(l.struct("q", 4, [["a", l.u32, 0]])), 0]]),
      (t) => t.struct("s", 8, [["p", t.b.ptr(t.struct("q", 0, [])), 0]]),
      true,
    ],
    [
      "declared only, behind a pointer",
      (l) => l.struct("s", 8, [["p", l.b.ptr(l.b.fwd("q", "struct")), 0]]),
      (t) => t.struct("s", 8, [["p", t.b.ptr(t.struct("q", 0, [])), 0]]),
      true,
    ],
    [
      "declared as a union",
      (l) => l.struct("s", 8, [["p", l.b.ptr(l.b.fwd("q", "union")), 0]]),
      (t) => t.struct("s", 8, [["p", t.b.ptr(t.struct("q", 0, [])), 0]]),
      false,
    ],
    [
      "an array of another length",
      (l) => l.b.typedef("s", l.b.array(l.u8, l.int, 3)),
      (t) => t.b.typedef("s", t.b.array(t.u8, t.int, 4)),
      false,
    ],
    [
      "values of an enum, in any order",
      (l) => l.b.enum("s", [{ name: "B", value: 1 }]),
      (t) =>
        t.b.enum("s", [
          { name: "A", value: 1 },
          { name: "B", value: 9 },
        ]),
      true,
    ],
    [
      "a value that is not there",
      (l) => l.b.enum("s", [{ name: "C", value: 1 }]),
      (t) => t.b.enum("s", [{ name: "A", value: 1 }]),
      false,
    ],
    [
      "functions",
      (l) => l.b.typedef("s", l.b.ptr(l.b.funcProto(l.int, [{ name: "x", typeId: l.ptr }]))),
      (t) => t.b.typedef("s", t.b.ptr(t.b.funcProto(t.int, [{ name: "y", typeId: t.ptr }]))),
      true,
    ],
    [
      "functions of other arguments",
      (l) => l.b.typedef("s", l.b.ptr(l.b.funcProto(l.int, [{ name: "x", typeId: l.ptr }]))),
      (t) => t.b.typedef("s", t.b.ptr(t.b.funcProto(t.int, [{ name: "y", typeId: t.u32 }]))),
      false,
    ],
  ];
  for (const [what, local, target, same] of cases) {
    const l = new Layout();
    const t = new Layout();
    const typeId = local(l);
    target(t);
    const result = new CoreRelocator(l.btf(), t.btf()).resolve({ typeId, access: "0", kind: u.BPF_CORE_TYPE_MATCHES });
    expect(brief(result), what).toEqual([1, same ? 1 : 0]);
  }
});

const patched = (insns: asm.Insn[], name: string, access: string, kind: number = 0): unknown => {
  const copy = [...insns];
  const fault = patchInsn(copy, 0, ask(name, access, kind));
  return fault === undefined || fault.poisoned ? copy : `${fault.errno}: ${fault.why}`;
};
const poison = asm.call(BAD_RELO);

test("instructions get the value, and loads the size", () => {
  expect(patched([asm.mov64Imm(1, 4)], "task", "0:1")).toEqual([asm.mov64Imm(1, 16)]);
  expect(patched([asm.alu64Imm("add", 1, 4)], "task", "0:1")).toEqual([asm.alu64Imm("add", 1, 16)]);
  expect(patched(asm.ldImm64(1, 1n), "color", "1", u.BPF_CORE_ENUMVAL_VALUE)).toEqual(asm.ldImm64(1, 0x1_0000_0007n));
  // flags: 4 bytes unsigned here, 8 there.
  expect(patched([asm.ldx("u32", 1, 2, 4)], "task", "0:1")).toEqual([asm.ldx("u64", 1, 2, 16)]);
  expect(patched([asm.stx("u32", 1, 2, 4)], "task", "0:1")).toEqual([asm.stx("u64", 1, 2, 16)]);
  expect(patched([asm.st("u32", 1, 4, 7)], "task", "0:1")).toEqual([asm.st("u64", 1, 16, 7)]);
  expect(patched([asm.ldx("u16", 1, 2, 4)], "task", "0:1")).toBe("-22: found an access of 2 bytes to a field of 4");
  // An element of an array of 1-byte numbers, however long the array is.
  expect(patched([asm.ldx("u8", 1, 2, 11)], "task", "0:2:3")).toEqual([asm.ldx("u8", 1, 2, 27)]);
  // Bitfields: the compiler may have chosen another load.
  expect(patched([asm.mov64Imm(1, 36)], "task", "0:6")).toEqual([asm.mov64Imm(1, 56)]);
});

test("instructions that hold something else are refused", () => {
  expect(patched([asm.mov64Imm(1, 5)], "task", "0:1")).toBe("-22: found 5 in the instruction, expected 4");
  expect(patched([asm.ldx("u32", 1, 2, 8)], "task", "0:1")).toBe("-22: found 8 in the instruction, expected 4");
  expect(patched(asm.ldImm64(1, 5n), "task", "0:1")).toBe("-22: found 5 in the instruction, expected 4");
  expect(patched([asm.mov64(1, 2)], "task", "0:1")).toBe(
    "-22: found an operation with a register, expected a constant",
  );
  expect(patched([asm.exit()], "task", "0:1")).toMatch(/^-22: found opcode 0x95/);
  expect(patched(asm.ldMapFd(1, 4), "task", "0:1")).toMatch(/^-22: found a 64-bit immediate that is no plain number/);
  expect(patched([asm.ldx("u32", 1, 2, 0)], "task", "5000:0")).toMatch(/expected 200000/);
});

test("what the target lacks poisons, also the second half of an immediate", () => {
  expect(patched([asm.mov64Imm(1, 0)], "missing", "0:0")).toEqual([poison]);
  expect(patched(asm.ldImm64(1, 0n), "missing", "0:0")).toEqual([poison, poison]);
  // pid became part of a number of 8 bytes: with a sign, the load cannot be made to fit.
  const l = new Layout();
  const typeId = l.struct("s", 4, [["x", l.int, 0]]);
  const t = new Layout();
  t.struct("s", 8, [["x", t.u64, 0]]);
  const insns = [asm.ldx("u32", 1, 2, 0)];
  const fault = patchInsn(insns, 0, new CoreRelocator(l.btf(), t.btf()).resolve({ typeId, access: "0:0", kind: 0 }));
  expect(insns).toEqual([poison]);
  expect(fault?.why).toBe("the field has 8 bytes there and 4 here, and is no unsigned number");
});

test("BTFs that lead nowhere end in an error, quickly", () => {
  const l = new Layout();
  const typeId = l.struct("s", 4, [["x", l.u32, 0]]);
  // A struct whose anonymous members are itself, and structs that have the next one a hundred times.
  const t = new Layout();
  const own = t.b.struct(
    "s",
    8,
    Array.from({ length: 50 }, () => ({ name: "", typeId: 6, bitOffset: 0 })),
  );
  expect(own).toBe(6);
  expect(brief(new CoreRelocator(l.btf(), t.btf()).resolve({ typeId, access: "0:0", kind: 0 }))).toMatch(/no member x/);

  const deep = (): { layout: Layout; top: number } => {
    const layout = new Layout();
    let id = layout.struct("s0", 4, [["x", layout.u32, 0]]);
    for (let i = 1; i < 30; i++)
      id = layout.struct(
        `s${i}`,
        4,
        Array.from({ length: 100 }, () => ["m", id, 0] as const),
      );
    return { layout, top: id };
  };
  const [here, there] = [deep(), deep()];
  const matcher = new CoreRelocator(here.layout.btf(), there.layout.btf());
  const record = { typeId: here.top, access: "0", kind: u.BPF_CORE_TYPE_MATCHES };
  expect(brief(matcher.resolve(record))).toMatch(/^error: types that take too long to compare/);

  const loop = new Layout();
  const array = loop.b.array(7, loop.int, 1);
  loop.b.typedef("t", array);
  const looped = loop.struct("s", 4, [["x", array, 0]]);
  const self = new CoreRelocator(loop.btf(), loop.btf());
  for (const kind of [0, 1, 2, 8, 9, 12]) {
    const access = kind < 8 ? "0:0" : "0";
    expect(self.resolve({ typeId: looped, access, kind }).kind, `kind ${kind}`).toMatch(/error|value/);
  }
  expect(() => new CoreRelocator(l.btf(), parseBtf(new BtfBuilder({ littleEndian: false }).build()))).toThrow(
    InputError,
  );
});
