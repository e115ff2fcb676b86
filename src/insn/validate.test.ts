import fc from "fast-check";
import { expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import { SEED } from "../../test/seed.ts";
import { BPF_PROG_LOAD, BPF_PROG_TYPE_SOCKET_FILTER, E2BIG, EACCES, EINVAL } from "../uapi/index.ts";
import * as asm from "./asm.ts";
import { encodeInsns } from "./codec.ts";
import { insnTable } from "./table.ts";
import type { Insn } from "./types.ts";
import { validateInsn, validateProgram } from "./validate.ts";

const { raw, R0, R1, R4, R6, R10 } = asm;
const end: readonly Insn[] = [asm.mov64Imm(R0, 0), asm.exit()];
/** Registers that every instruction may read and a stack that every access may hit: r4 = r10, r6 = r1 = context. */
const start: readonly Insn[] = [
  asm.mov64(R6, R1),
  ...([0, 2, 3, 4, 5, 7, 8, 9] as const).map((reg) => asm.mov64Imm(reg, 1)),
  ...[8, 16, 24, 32].map((depth) => asm.st("u64", R10, -depth, 0)),
  asm.mov64(R4, R10),
];
const within = (...insns: Insn[]): Insn[] => [...start, ...insns, ...end];

/** What Linux 6.18 answers to PROG_LOAD of a socket filter. */
const rows: readonly (readonly [id: string, program: readonly Insn[], result: number])[] = [
  ["alu.imm", within(raw(0x07, 0, 0, 0, 5)), 0],
  ["alu.imm.src", within(raw(0x07, 0, 2, 0, 5)), -EINVAL],
  ["alu.imm.off", within(raw(0x07, 0, 0, 1, 5)), -EINVAL],
  ["alu.reg.imm", within(raw(0x0f, 0, 2, 0, 1)), -EINVAL],
  ["alu.dst.r11", within(raw(0xb7, 11)), -EINVAL],
  ["alu.src.r11", within(raw(0x0f, 0, 11)), -EINVAL],
  ["alu.dst.r10", within(raw(0xb7, 10)), -EACCES],
  ["alu.dst.r10.and-src", within(raw(0xb7, 10, 1)), -EINVAL],
  ["alu.src.r10", within(raw(0xbf, 2, 10)), 0],
  ["shift32.31", within(raw(0x64, 0, 0, 0, 31)), 0],
  ["shift32.32", within(raw(0x64, 0, 0, 0, 32)), -EINVAL],
  ["shift64.63", within(raw(0x77, 0, 0, 0, 63)), 0],
  ["shift64.64", within(raw(0xc7, 0, 0, 0, 64)), -EINVAL],
  ["shift.negative", within(raw(0xc7, 0, 0, 0, -1)), -EINVAL],
  ["div.zero", within(raw(0x37, 0, 0, 0, 0)), -EINVAL],
  ["div.one", within(raw(0x37, 0, 0, 0, 1)), 0],
  ["sdiv.one", within(raw(0x37, 0, 0, 1, 1)), 0],
  ["smod32.reg", within(raw(0x9c, 0, 2, 1)), 0],
  ["div.off-2", within(raw(0x37, 0, 0, 2, 1)), -EINVAL],
  ["div.off-minus-1", within(raw(0x37, 0, 0, -1, 1)), -EINVAL],
  ["neg", within(raw(0x87, 0)), 0],
  ["neg.src", within(raw(0x87, 0, 2)), -EINVAL],
  ["neg.imm", within(raw(0x87, 0, 0, 0, 1)), -EINVAL],
  ["neg.x", within(raw(0x8f, 0, 2)), -EINVAL],
  ["movsx64.32", within(raw(0xbf, 0, 2, 32)), 0],
  ["movsx64.64", within(raw(0xbf, 0, 2, 64)), -EINVAL],
  ["movsx64.imm", within(raw(0xbf, 0, 2, 8, 1)), -EINVAL],
  ["movsx32.16", within(raw(0xbc, 0, 2, 16)), 0],
  ["movsx32.32", within(raw(0xbc, 0, 2, 32)), -EINVAL],
  ["movsx.imm", within(raw(0xb7, 0, 0, 8)), -EINVAL],
  ["cast32", within(raw(0xbc, 0, 2, 1, 1)), -EINVAL],
  ["cast.imm-0", within(raw(0xbf, 0, 2, 1, 0)), -EINVAL],
  ["cast.imm-2", within(raw(0xbf, 0, 2, 1, 2)), -EINVAL],
  ["end.le16", within(raw(0xd4, 0, 0, 0, 16)), 0],
  ["end.be64", within(raw(0xdc, 0, 0, 0, 64)), 0],
  ["end.bswap32", within(raw(0xd7, 0, 0, 0, 32)), 0],
  ["end.bswap-reg", within(raw(0xdf, 0, 0, 0, 32)), -EINVAL],
  ["end.8", within(raw(0xdc, 0, 0, 0, 8)), -EINVAL],
  ["end.src", within(raw(0xdc, 0, 1, 0, 16)), -EINVAL],
  ["ldx", within(raw(0x79, 0, 4, -8)), 0],
  ["ldx.imm", within(raw(0x79, 0, 4, -8, 5)), -EINVAL],
  ["ldx.r10", within(raw(0x79, 10, 4, -8)), -EACCES],
  ["ldsx.4", within(raw(0x81, 0, 4, -8)), 0],
  ["ldsx.8", within(raw(0x99, 0, 4, -8)), -EINVAL],
  ["st", within(raw(0x7a, 4, 0, -8, 5)), 0],
  ["st.src", within(raw(0x7a, 4, 2, -8, 5)), -EINVAL],
  ["stx.imm", within(raw(0x7b, 4, 2, -8, 5)), -EINVAL],
  ["atomic.add", within(raw(0xdb, 4, 2, -8, 0)), 0],
  ["atomic.sub", within(raw(0xdb, 4, 2, -8, 0x10)), -EINVAL],
  ["atomic.xchg-without-fetch", within(raw(0xdb, 4, 2, -8, 0xe0)), -EINVAL],
  ["atomic.add.2", within(raw(0xcb, 4, 2, -8, 0)), -EINVAL],
  ["atomic.load-acq.1", within(raw(0xd3, 2, 4, -8, 0x100)), 0],
  ["atomic.store-rel.2", within(raw(0xcb, 4, 2, -8, 0x110)), 0],
  ["atomic.load-acq.r10", within(raw(0xdb, 10, 4, -8, 0x100)), -EACCES],
  ["atomic.fetch.r10", within(raw(0xdb, 4, 10, -8, 1)), -EACCES],
  ["atomic.cmpxchg.r10", within(raw(0xdb, 4, 10, -8, 0xf1)), 0],
  ["packet.abs", within(raw(0x20, 0, 0, 0, 1)), 0],
  ["packet.abs.src", within(raw(0x20, 0, 2, 0, 1)), -EINVAL],
  ["packet.abs.8", within(raw(0x38, 0, 0, 0, 1)), -EINVAL],
  ["packet.ind", within(raw(0x50, 0, 2, 0, 1)), 0],
  ["packet.ind.dst", within(raw(0x50, 1, 2, 0, 1)), -EINVAL],
  ["call.helper", within(raw(0x85, 0, 0, 0, 5)), 0],
  ["call.src-3", within(raw(0x85, 0, 3, 0, 5)), -EINVAL],
  ["call.dst", within(raw(0x85, 1, 0, 0, 5)), -EINVAL],
  ["call.off", within(raw(0x85, 0, 0, 1, 5)), -EINVAL],
  ["callx", within(raw(0x8d, 0, 0, 0, 5)), -EINVAL],
  ["call.local", [raw(0x85, 0, 1, 0, 1), asm.exit(), ...end], 0],
  ["call.local.off", [raw(0x85, 0, 1, 1, 1), asm.exit(), ...end], -EINVAL],
  ["call.local.range", [raw(0x85, 0, 1, 0, 9), asm.exit(), ...end], -EINVAL],
  ["call.local.into-wide", [raw(0x85, 0, 1, 0, 2), asm.exit(), ...asm.ldImm64(R0, 1n), asm.exit()], -EINVAL],
  ["call.runs-into-callee", [raw(0x85, 0, 1, 0, 1), asm.mov64Imm(R0, 0), ...end], -EINVAL],
  ["exit.off-is-free", [asm.mov64Imm(R0, 0), raw(0x95, 0, 0, 1)], 0],
  ["exit.dst", [asm.mov64Imm(R0, 0), raw(0x95, 1)], -EINVAL],
  ["exit.src", [asm.mov64Imm(R0, 0), raw(0x95, 0, 1)], -EINVAL],
  ["exit.imm", [asm.mov64Imm(R0, 0), raw(0x95, 0, 0, 0, 1)], -EINVAL],
  ["exit32", [asm.mov64Imm(R0, 0), raw(0x96)], -EINVAL],
  ["ja", within(raw(0x05)), 0],
  ["ja.imm", within(raw(0x05, 0, 0, 0, 1)), -EINVAL],
  ["ja.over-code", within(raw(0x05, 0, 0, 1)), -EINVAL],
  ["ja32", within(raw(0x06)), 0],
  ["ja32.off", within(raw(0x06, 0, 0, 1)), -EINVAL],
  ["ja.reg", within(raw(0x0d)), -EINVAL],
  ["jump.src", within(raw(0x15, 0, 2)), -EINVAL],
  ["jump.reg.imm", within(raw(0x1d, 0, 2, 0, 1)), -EINVAL],
  ["jump.on-r10", within(raw(0x15, 10, 0, 0, 1)), 0],
  ["jump.past-end", [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 1, 1), asm.exit()], -EINVAL],
  ["jump.before-start", [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 1, -3), asm.exit()], -EINVAL],
  ["jump.to-start", [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 1, -2), asm.exit()], 0],
  ["jump.into-wide", [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 1, 1), ...asm.ldImm64(R0, 5n), asm.exit()], -EINVAL],
  ["jump.other-function", [raw(0x85, 0, 1, 0, 2), asm.jmpImm("jeq", R0, 0, 1), asm.exit(), ...end], -EINVAL],
  ["mayGoto", within(asm.mayGoto(0)), 0],
  ["mayGoto.src", within(raw(0xe5, 0, 1)), -EINVAL],
  ["mayGoto.imm", within(raw(0xe5, 0, 0, 0, 1)), -EINVAL],
  ["last.falls-through", [asm.mov64Imm(R0, 0)], -EINVAL],
  ["last.conditional", [asm.mov64Imm(R0, 0), asm.jmpImm("jeq", R0, 0, -1)], -EINVAL],
  ["last.call", [asm.mov64Imm(R0, 0), asm.call(5)], -EINVAL],
  ["last.gotol", [asm.ja(2), ...end, asm.jal(-3)], 0],
  ["unreachable", [...end, asm.exit()], -EINVAL],
  ["empty", [], -E2BIG],
  ["wide", [...asm.ldImm64(R0, 0x7_0000_0005n), asm.exit()], 0],
  ["wide.off", [raw(0x18, 0, 0, 1, 5), raw(0), asm.exit()], -EINVAL],
  ["wide.second.opcode", [raw(0x18, 0, 0, 0, 5), raw(1), ...end], -EINVAL],
  ["wide.second.dst", [raw(0x18, 0, 0, 0, 5), raw(0, 1), ...end], -EINVAL],
  ["wide.second.src", [raw(0x18, 0, 0, 0, 5), raw(0, 0, 1), ...end], -EINVAL],
  ["wide.second.off", [raw(0x18, 0, 0, 0, 5), raw(0, 0, 0, 1), ...end], -EINVAL],
  ["wide.last", [...end, raw(0x18)], -EINVAL],
  ["wide.second.alone", within(raw(0)), -EINVAL],
  ["wide.r10", [raw(0x18, 10), raw(0), ...end], -EACCES],
  ["wide.r11", [raw(0x18, 11), raw(0), ...end], -EINVAL],
  ["wide.src-7", [raw(0x18, 0, 7), raw(0), ...end], -EINVAL],
  ["wide.map.second", [raw(0x18, 0, 1), raw(0, 0, 0, 0, 1), ...end], -EINVAL],
  // The kernel follows jumps before it reads fields: the later fault decides.
  ["order.r10-then-range", [raw(0xb7, 10), asm.jmpImm("jeq", R0, 0, 99), ...end], -EINVAL],
  ["order.r10-then-ldx-imm", within(raw(0xb7, 10), raw(0x79, 0, 4, -8, 5)), -EINVAL],
  ["order.r10-then-src", within(raw(0xb7, 10), raw(0x07, 0, 2)), -EACCES],
];

test.each(rows)("%s", (_id, program, result) => {
  expect(validateProgram(program)?.errno ?? 0).toBe(result);
});

test("a fault names its instruction and what is wrong", () => {
  expect(validateProgram([asm.mov64Imm(R0, 0), raw(0x64, 0, 0, 0, 40), asm.exit()])).toEqual({
    insn: 1,
    errno: -EINVAL,
    message: "shift by 40, expected 0..31",
  });
  expect(validateProgram([asm.mov64Imm(R0, 0)])).toEqual({
    insn: 0,
    errno: -EINVAL,
    message: "a function ends in something other than exit or goto",
  });
  expect(validateInsn([raw(0x8d)], 0)).toBe("unknown opcode 0x8d");
  expect(validateInsn([raw(0x18)], 0)).toBe("64-bit immediate without its second slot");
  expect(validateInsn(end, 0)).toBeUndefined();
});

test("a million instructions are judged, one more is too big", () => {
  const program = new Array<Insn>(1_000_001).fill(asm.mov64Imm(R0, 0));
  expect(validateProgram(program)?.errno).toBe(-E2BIG);
  program.length = 1_000_000;
  program[999_999] = asm.exit();
  expect(validateProgram(program)).toBeUndefined();
});

/** PROG_LOAD of a socket filter: 0 or a negative errno, and the verifier's log. Undefined where bpf(2) is out of reach. */
function kernelLoader(): ((program: readonly Insn[]) => { result: number; log: string }) | undefined {
  const host = kernelHost();
  if (host === undefined) return undefined;
  const log = Buffer.alloc(1 << 16);
  return (program) => {
    log[0] = 0;
    const fd = host.bpf(BPF_PROG_LOAD, {
      prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
      insn_cnt: program.length,
      insns: encodeInsns(program),
      license: "GPL",
      log_level: 1,
      log_size: log.length,
      log_buf: log,
    });
    if (fd >= 0) host.close(fd);
    return { result: Math.min(fd, 0), log: log.toString("latin1", 0, log.indexOf(0)) };
  };
}

const load = kernelLoader();

test.skipIf(load === undefined)("the kernel at hand agrees with every row", () => {
  const different = rows.filter(([, program, result]) => load!(program).result !== result).map(([id]) => id);
  expect(different).toEqual([]);
});

const fields = {
  register: fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 9, 10, 10, 11, 15),
  off: fc.constantFrom(0, 0, 0, 1, -1, -8, -16, 2, 5, 8, 16, 32, 64, 32767, -32768),
  imm: fc.constantFrom(0, 0, 1, -1, 2, 3, 5, 16, 31, 32, 63, 64, 0x40, 0x51, 0xe0, 0xe1, 0xf1, 0x100, 0x110, 0x10000),
};
const anyInsn: fc.Arbitrary<Insn> = fc.record({
  opcode: fc.nat(255),
  dst: fields.register,
  src: fields.register,
  off: fields.off,
  imm: fields.imm,
});
/** An instruction with the right opcode and selector, and now and then something wrong in the rest. */
const likelyInsn: fc.Arbitrary<Insn> = fc
  .tuple(fc.constantFrom(...insnTable.filter((row) => row !== undefined)), anyInsn, fc.nat(99))
  .map(([row, insn, pick]) => {
    const base = { ...insn, opcode: row.opcode };
    if (row.dst === "none" && pick % 5 !== 0) base.dst = 0;
    if (row.src === "none" && pick % 6 !== 0) base.src = 0;
    if (row.off === "zero" && pick % 7 !== 0) base.off = 0;
    if (row.imm === "zero" && pick % 8 !== 0) base.imm = 0;
    const variant = row.variants[pick % Math.max(row.variants.length, 1)];
    return variant === undefined || row.selector === "none" ? base : { ...base, [row.selector]: variant.value };
  });

/** What the verifier's log says when it refuses the shape of an instruction and not its values. */
const STRUCTURAL =
  /reserved fields|unknown opcode|R\d+ is invalid|invalid shift|div by zero|out of range from|not an exit|unreachable|middle of|bpf_ld_imm64 insn|atomic opcode|operand size|frame pointer is read only|invalid destination|may_goto imm|can only convert/;

test.skipIf(load === undefined)("random instructions: structural refusals are the kernel's, and all of them", () => {
  fc.assert(
    fc.property(fc.oneof({ weight: 4, arbitrary: likelyInsn }, anyInsn), fc.boolean(), (insn, second) => {
      const program = within(insn, ...(insn.opcode === 0x18 && second ? [raw(0, 0, 0, 0, insn.imm)] : []));
      const ours = validateProgram(program);
      const kernel = load!(program);
      if (ours === undefined) return kernel.result === 0 || !STRUCTURAL.test(kernel.log);
      // Where values, fds or BTF are wrong as well the kernel may find that first, with another errno.
      return kernel.result === ours.errno || (kernel.result < 0 && !STRUCTURAL.test(kernel.log));
    }),
    { seed: SEED, numRuns: 1500 },
  );
});
