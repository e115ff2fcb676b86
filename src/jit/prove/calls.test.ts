/** Functions, helpers and callbacks: what they are given, give back, and leave as it was. */
import { expect, test } from "vitest";
import {
  end,
  firstValue,
  foreign,
  found,
  globals,
  hash,
  type Items,
  lookup,
  map,
  out,
  type Proofs,
  proofOf,
  readOnly,
  small,
  someNumber,
  VALUE,
  ways,
} from "../../../test/jit/proofs.ts";
import * as asm from "../../insn/index.ts";
import { FUNC_HIGH } from "../../kern/run_record.ts";
import * as u from "../../uapi/index.ts";
import { F_WRITE, region, stack, UNKNOWN, type Val } from "./value.ts";

const { R0, R1, R2, R3, R4, R5, R6, R10, label } = asm;

const calls: Proofs = {
  "a value stays good": [
    [
      found(hash),
      asm.mov64(R6, R0),
      asm.call(u.BPF_FUNC_ktime_get_ns),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      ...end,
    ],
    "proved proved",
  ],
  "a function is called often, with many indices": [
    [
      found(hash),
      asm.mov64(R6, R0),
      Array.from({ length: 8 }, (_, i): Items => [asm.mov64(R1, R6), asm.mov64Imm(R2, i * 8), asm.callRel("f")]),
      out,
      label("f"),
      asm.alu64("add", R1, R2),
      asm.ldx("u64", R3, R1, 0),
      asm.ldx("u64", R3, R1, 1),
      asm.stx("u64", R10, R2, -8),
      ...end,
    ],
    "proved proved check proved",
  ],
  "a function that calls itself with the next index": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, 0),
      asm.callRel("f"),
      out,
      label("f"),
      asm.mov64(R3, R1),
      asm.alu64("add", R3, R2),
      asm.ldx("u8", R4, R3, 0),
      asm.jmpImm("jeq", R4, 0, 2),
      asm.alu64Imm("add", R2, 1),
      asm.callRel("f"),
      ...end,
    ],
    "proved check",
  ],
  "a function is called twice, with values of different sizes": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      found(small),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      out,
      label("f"),
      asm.ldx("u64", R2, R1, 8),
      asm.ldx("u64", R2, R1, 16),
      ...end,
    ],
    "proved proved proved check",
  ],
  "the frame of the caller, and what is above it": [
    [
      asm.mov64(R1, R10),
      asm.callRel("f"),
      end,
      label("f"),
      asm.st("u64", R1, -512, 1),
      asm.st("u64", R1, 0, 1),
      asm.st("u64", R10, 0, 1),
      asm.st("u64", R10, -520, 1),
      ...end,
    ],
    "proved check proved stack",
  ],
  "a frame that is there only sometimes": [
    [
      asm.mov64(R1, R10),
      asm.callRel("g"),
      asm.mov64(R1, R10),
      asm.callRel("f"),
      end,
      label("f"),
      asm.mov64(R1, R10),
      asm.callRel("g"),
      ...end,
      label("g"),
      asm.st("u64", R10, 504, 1),
      asm.st("u64", R10, 512, 1),
      ...end,
    ],
    "proved check",
  ],
  "what a caller has in r6 a function does not see": [
    [found(hash), asm.mov64(R6, R0), asm.callRel("f"), out, label("f"), asm.ldx("u8", R1, R6, 0), ...end],
    "proved check",
  ],
  "r1 to r5 after a call": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.mov64(R6, R0),
      asm.call(u.BPF_FUNC_ktime_get_ns),
      asm.ldx("u8", R2, R1, 0),
      out,
    ],
    "proved check",
  ],
  "a turn of bpf_loop, with its number and the caller's frame": [
    [
      asm.mov64Imm(R1, 4),
      asm.ldFunc(R2, "turn"),
      asm.mov64(R3, R10),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      end,
      label("turn"),
      asm.alu64Imm("lsh", R1, 3),
      asm.alu64("add", R1, R2),
      asm.st("u64", R1, -32, 1),
      asm.st("u64", R1, -24, 1),
      ...end,
    ],
    "proved check",
  ],
  "a function that is called by an address that was made up": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      asm.mov64Imm(R1, 4),
      asm.ldImm64(R2, (BigInt(FUNC_HIGH) << 32n) | 5n),
      asm.alu64Imm("add", R2, 1),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      out,
      label("f"),
      asm.ldx("u8", R2, R1, 0),
      ...end,
    ],
    "proved check",
  ],
  "a function of each element, with key and value": [
    [
      map(R1, hash),
      asm.ldFunc(R2, "each"),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_for_each_map_elem),
      end,
      label("each"),
      asm.ldx("u32", R5, R2, 0),
      asm.st("u32", R2, 0, 1),
      asm.ldx("u64", R5, R3, VALUE - 8),
      asm.st("u64", R3, 0, 1),
      asm.ldx("u64", R5, R3, VALUE),
      ...end,
    ],
    "proved check proved proved check",
  ],
};

test.each(Object.entries(calls))("calls: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

test("arguments that are memory", () => {
  const items = [
    found(hash),
    asm.mov64(R1, R0),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -16),
    asm.call(u.BPF_FUNC_ktime_get_ns),
    out,
  ];
  let known: readonly Val[] = [];
  const facts = proofOf(items, undefined, (op, { regs }) => {
    if (op.row.kind === "call") known = regs.slice(1, 4);
  });
  const at = facts.calls.length - 1;
  const ok = (register: number, size: number): boolean => facts.calls[at]!.memory(register, size, true);
  expect([ok(1, VALUE), ok(1, VALUE + 1), ok(2, 16), ok(2, 17), ok(3, 1)]).toEqual([true, false, true, false, false]);
  expect(known).toEqual([region(at - 5, VALUE, 0, F_WRITE, hash), stack(-16, -16), UNKNOWN]);
});

test("arguments that are maps and numbers", () => {
  const number: Items = [someNumber, asm.mov64(R1, R6), asm.mov64(R2, R6), asm.alu64Imm("and", R2, 7)];
  const constants: Items = [map(R3, hash), map(R4, foreign), asm.mov64Imm(R5, -1), asm.call(u.BPF_FUNC_ktime_get_ns)];
  const call = proofOf([number, constants, out]).calls.at(-1)!;
  expect([1, 2, 3, 4, 5].map((register) => call.map(register))).toEqual([0, 0, hash, 0, 0]);
  const ranges = [1, 2, 3, 5].map((register) => call.range(register));
  expect(ranges.map((range) => range && [range.min, range.max])).toEqual([undefined, [0, 7], undefined, undefined]);
});

/** r1 = a value of this map or that one. */
const either = (one: number, other: number): Items =>
  [
    found(one),
    asm.mov64(R6, R0),
    found(other),
    asm.mov64(R1, R0),
    asm.ldx("u64", R2, R0, 0),
    asm.jmpImm("jeq", R2, 0, 1),
    asm.mov64(R1, R6),
  ].flat();

const places: Readonly<Record<string, readonly [before: Items, place: unknown]>> = {
  "of a lookup": [[found(hash), asm.mov64(R1, R0)].flat(), { map: hash, offset: 0 }],
  "behind its beginning": [
    [found(hash), asm.mov64(R1, R0), asm.alu64Imm("add", R1, 12)].flat(),
    { map: hash, offset: 12 },
  ],
  "of a constant": [map(R1, firstValue(globals) + 8), { map: globals, offset: 8 }],
  "that may be NULL": [[lookup(hash), asm.mov64(R1, R0)].flat(), undefined],
  "that may only be read": [[found(readOnly), asm.mov64(R1, R0)].flat(), undefined],
  "behind its end": [[found(hash), asm.mov64(R1, R0), asm.alu64Imm("add", R1, VALUE)].flat(), undefined],
  "in front of it": [[found(hash), asm.mov64(R1, R0), asm.alu64Imm("add", R1, -4)].flat(), undefined],
  "at one of several bytes": [
    [someNumber, asm.alu64Imm("and", R6, 4), asm.mov64(R1, R0), asm.alu64("add", R1, R6)].flat(),
    undefined,
  ],
  "of the same map, either way": [either(hash, hash), { map: hash, offset: 0 }],
  "of one of two maps": [either(hash, small), undefined],
  "of no map": [[asm.mov64(R1, R10), asm.alu64Imm("add", R1, -8)], undefined],
};

test.each(Object.entries(places))("a value %s", (_name, [before, place]) => {
  const facts = proofOf([...before, asm.call(u.BPF_FUNC_ktime_get_ns), ...out]);
  expect(facts.calls.at(-1)!.value(1)).toEqual(place);
});
