/**
 * The assembly language of the public bpf_conformance suite (the one of ubpf): `add32 %r1, 5`, `ldxw %r0, [%r1+4]`,
 * `jeq %r0, 3, exit`, `lock fetch add [%r10-8], %r1`, `call local func`. Written from its cases.
 */
import { InputError } from "../../../src/errors.ts";
import {
  type AsmItem,
  type AtomicOp,
  assemble,
  atomic,
  byteOrder,
  call,
  callRel,
  exit,
  type Insn,
  insnTable,
  type JumpOp,
  ja,
  jal,
  type LoadSize,
  label,
  ldImm64,
  ldx,
  type MemSize,
  opcodeOf,
  type Reg,
  raw,
  st,
  stx,
} from "../../../src/insn/index.ts";
import type { AluOp } from "../../../src/insn/types.ts";

type Operands = readonly string[];

const sizes: Readonly<Record<string, MemSize>> = { b: "u8", h: "u16", w: "u32", dw: "u64" };
const signedSizes: Readonly<Record<string, LoadSize>> = { sb: "s8", sh: "s16", sw: "s32" };

/** Instructions of a program in this language. `InputError` names the line that is none. */
export function assembleText(text: string): Insn[] {
  const items: AsmItem[] = [];
  let firstExit = -1;
  for (const [number, line] of text.split("\n").entries()) {
    const code = line.replace(/#.*/, "").trim();
    if (code === "") continue;
    // A jump to `exit` needs no label: it leads to the first one.
    if (code === "exit" && firstExit < 0) firstExit = items.length;
    const named = /^(\w+):$/.exec(code)?.[1];
    const item = named === undefined ? instruction(code) : label(named);
    if (item === undefined)
      throw new InputError(`line ${number + 1}: found ${JSON.stringify(code)}, expected an instruction`);
    items.push(item);
  }
  if (firstExit >= 0 && !/^exit:/m.test(text)) items.splice(firstExit, 0, label("exit"));
  return assemble(items);
}

function instruction(code: string): AsmItem | undefined {
  const [mnemonic = "", rest = ""] = code.split(/\s+(.*)/s);
  const operands = rest === "" ? [] : rest.split(",").map((part) => part.trim());
  return (
    loadOrStore(mnemonic, operands) ??
    alu(mnemonic, operands) ??
    swap(mnemonic, operands) ??
    jump(mnemonic, operands) ??
    other(mnemonic, operands, rest)
  );
}

function register(text: string | undefined): Reg {
  const n = Number(/^%r(\d+)$/.exec(text ?? "")?.[1]);
  if (n >= 0 && n <= 10) return n as Reg;
  throw new InputError(`found ${JSON.stringify(text)}, expected a register`);
}

/** Decimal or hex, up to 64 bits; negative numbers too. */
function number(text: string | undefined): bigint {
  const [, sign = "", digits] = /^([-+]?)(0x[0-9a-f]+|\d+)$/i.exec(text ?? "") ?? [];
  if (digits === undefined) throw new InputError(`found ${JSON.stringify(text)}, expected a number`);
  return sign === "-" ? -BigInt(digits) : BigInt(digits);
}

/** As many bits as the field has, signed or unsigned. */
function field(text: string | undefined, bits: 16 | 32): number {
  const value = number(text);
  if (value < -(2n ** BigInt(bits - 1)) || value >= 2n ** BigInt(bits))
    throw new InputError(`found ${text}, expected ${bits} bits`);
  return Number(BigInt.asIntN(bits, value));
}

/** `[%r1+4]` */
function place(text: string | undefined): { readonly base: Reg; readonly off: number } {
  const [, base, off = "0"] = /^\[\s*(%r\d+)\s*([-+]\s*\w+)?\s*\]$/.exec(text ?? "") ?? [];
  return { base: register(base), off: field(off.replace(/\s/g, ""), 16) };
}

function loadOrStore(mnemonic: string, [first, second]: Operands): Insn | readonly Insn[] | undefined {
  if (mnemonic === "lddw") return ldImm64(register(first), BigInt.asUintN(64, number(second)));
  const [, kind, suffix = ""] = /^(ldx|stx|st)(\w+)$/.exec(mnemonic) ?? [];
  const size = sizes[suffix];
  if (kind === "ldx") {
    const loaded = size ?? signedSizes[suffix];
    const { base, off } = place(second);
    return loaded === undefined ? undefined : ldx(loaded, register(first), base, off);
  }
  if (kind === undefined || size === undefined) return undefined;
  const { base, off } = place(first);
  return kind === "stx" ? stx(size, base, register(second), off) : st(size, base, off, field(second, 32));
}

const aluOps = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor", "mov", "arsh"];

function alu(mnemonic: string, [first, second]: Operands): Insn | undefined {
  const [, name = "", width = ""] = /^([a-z]+?)(32|64)?$/.exec(mnemonic) ?? [];
  const sign = /^movsx(8|16|32)(32|64)$/.exec(mnemonic);
  if (sign !== null) return operation("mov", Number(sign[2]) as 32 | 64, first, second, Number(sign[1]));
  const bits = width === "32" ? 32 : 64;
  if (name === "sdiv" || name === "smod") return operation(name.slice(1) as AluOp, bits, first, second, 1);
  return aluOps.includes(name) ? operation(name as AluOp, bits, first, second, 0) : undefined;
}

function operation(op: AluOp, bits: 32 | 64, first: string | undefined, second: string | undefined, off: number): Insn {
  const dst = register(first);
  if (op === "neg") return raw(opcodeOf(op, { bits }), dst);
  return second?.startsWith("%") === true
    ? raw(opcodeOf(op, { bits, operand: "reg" }), dst, register(second), off)
    : raw(opcodeOf(op, { bits, operand: "imm" }), dst, 0, off, field(second, 32));
}

const orders = { le: "toLe", be: "toBe", swap: "bswap", bswap: "bswap" } as const;

function swap(mnemonic: string, [first]: Operands): Insn | undefined {
  const [, order, width] = /^(le|be|b?swap)(16|32|64)$/.exec(mnemonic) ?? [];
  if (order === undefined) return undefined;
  return byteOrder(orders[order as keyof typeof orders], register(first), Number(width) as 16 | 32 | 64);
}

function jump(mnemonic: string, [first, second, third]: Operands): AsmItem | undefined {
  if (mnemonic === "ja") return ja(target(first));
  if (mnemonic === "ja32") return jal(target(first));
  const [, op = "", width] = /^(j[a-z]+?)(32)?$/.exec(mnemonic) ?? [];
  const bits = width === undefined ? 64 : 32;
  if (!insnTable.some((row) => row?.kind === "jump" && row.op === op)) return undefined;
  const operand = second?.startsWith("%") === true ? "reg" : "imm";
  const opcode = opcodeOf(op as JumpOp, { bits, operand });
  const src = operand === "reg" ? register(second) : 0;
  const imm = operand === "imm" ? field(second, 32) : 0;
  const to = target(third);
  const insn = raw(opcode, register(first), src, typeof to === "number" ? to : 0, imm);
  return typeof to === "number" ? insn : { insn, field: "off", label: to };
}

/** A label, or a distance such as `+3`. */
function target(text: string | undefined): string | number {
  if (text === undefined) throw new InputError("found nothing, expected where to jump");
  return /^[-+]/.test(text) ? field(text, 16) : text;
}

function other(mnemonic: string, operands: Operands, rest: string): AsmItem | undefined {
  if (mnemonic === "exit") return exit();
  if (mnemonic === "lock") return locked(rest);
  if (mnemonic !== "call") return undefined;
  const [, kind, to] = /^(?:(local|helper)\s+)?(\S+)$/.exec(rest) ?? [];
  if (kind === "local") return callRel(target(to));
  // Call by register, which is no instruction of RFC 9669.
  if (to?.startsWith("%") === true) return raw(0x8d, register(to));
  return operands.length === 1 ? call(field(to, 32)) : undefined;
}

const atomics: Readonly<Record<string, AtomicOp>> = {
  add: "add",
  or: "or",
  and: "and",
  xor: "xor",
  "fetch add": "fetchAdd",
  "fetch or": "fetchOr",
  "fetch and": "fetchAnd",
  "fetch xor": "fetchXor",
  xchg: "xchg",
  cmpxchg: "cmpxchg",
};

function locked(rest: string): Insn | undefined {
  const [, name = "", width, at, src] = /^((?:fetch\s+)?[a-z]+?)(32|64)?\s+(\[.*\])\s*,\s*(%r\d+)$/.exec(rest) ?? [];
  const op = atomics[name.replace(/\s+/, " ")];
  if (op === undefined) return undefined;
  const { base, off } = place(at);
  return atomic(op, width === "32" ? "u32" : "u64", base, register(src), off);
}
