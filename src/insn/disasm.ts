/** Instructions as text, in the pseudo-C of LLVM's BPF back end; what LLVM does not print follows the kernel's log. */
import { insnTable, variantOf } from "./table.ts";
import type { AluOp, Insn, InsnRow, InsnVariant, JumpOp } from "./types.ts";

/** What numbers in instructions stand for. Whatever is undefined is printed as the number that it is. */
export interface DisasmNames {
  /** Name of a helper, as "bpf_map_lookup_elem". */
  readonly helper?: (id: number) => string | undefined;
  /** What a kfunc call or a 64-bit immediate refers to: a kfunc, a map, a variable, a function. `index`: the instruction's. */
  readonly reference?: (index: number) => string | undefined;
  /** Name of the instruction with this index: where a jump or a call of a function leads to. */
  readonly target?: (index: number) => string | undefined;
}

const ALU_SIGNS: Readonly<Record<Exclude<AluOp, "neg">, string>> = {
  add: "+=",
  sub: "-=",
  mul: "*=",
  div: "/=",
  or: "|=",
  and: "&=",
  lsh: "<<=",
  rsh: ">>=",
  mod: "%=",
  xor: "^=",
  mov: "=",
  arsh: "s>>=",
};

const JUMP_SIGNS: Readonly<Record<JumpOp, string>> = {
  jeq: "==",
  jgt: ">",
  jge: ">=",
  jset: "&",
  jne: "!=",
  jsgt: "s>",
  jsge: "s>=",
  jlt: "<",
  jle: "<=",
  jslt: "s<",
  jsle: "s<=",
};

/**
 * One instruction as text. `next` is the slot after it: the upper half of a 64-bit immediate. `index` is what names by
 * index are asked with. An instruction that does not exist comes out as its bytes, "<unknown 8d 00 0000 00000000>".
 */
export function disassemble(insn: Insn, next?: Insn, names?: DisasmNames, index = 0): string {
  const to = (distance: number): string => names?.target?.(index + 1 + distance) ?? signed(distance);
  const row = insnTable[insn.opcode];
  if (row === undefined) return unknown(insn);
  const variant = variantOf(row, insn);
  if (row.selector !== "none" && variant === undefined) return unknown(insn);
  switch (row.kind) {
    case "alu":
      return alu(row, variant, insn);
    case "end":
      return `r${insn.dst} = ${END_NAMES[variant!.op as keyof typeof END_NAMES]}${insn.imm} r${insn.dst}`;
    case "ldImm64":
      return next === undefined ? unknown(insn) : wide(variant!, insn, next, names?.reference?.(index));
    case "load":
      return `r${insn.dst} = *(${row.signed ? "s" : "u"}${row.size * 8} *)${place("src", insn)}`;
    case "store":
      return `*(u${row.size * 8} *)${place("dst", insn)} = ${row.operand === "imm" ? insn.imm : `r${insn.src}`}`;
    case "atomic":
      return atomic(row, variant!, insn);
    case "ldPacket": {
      const index =
        row.op === "ldAbs" ? `${insn.imm}` : insn.imm === 0 ? `r${insn.src}` : `r${insn.src}${plus(insn.imm)}`;
      return `r0 = *(u${row.size * 8} *)skb[${index}]`;
    }
    case "goto":
      return row.off === "jump" ? `goto ${to(insn.off)}` : `gotol ${to(insn.imm)}`;
    case "jump":
      return `${condition(row, insn)} goto ${to(insn.off)}`;
    case "mayGoto":
      return `may_goto ${to(insn.off)}`;
    case "call":
      return call(variant!, insn, names, index);
    case "exit":
      return "exit";
    default:
      return row.kind satisfies never;
  }
}

/** A whole program, one line per instruction: index, text. A 64-bit immediate takes two indices and one line. */
export function disassembleAll(insns: readonly Insn[], names?: DisasmNames): string[] {
  const lines: string[] = [];
  for (let index = 0; index < insns.length; index++) {
    const insn = insns[index]!;
    lines.push(`${index}: ${disassemble(insn, insns[index + 1], names, index)}`);
    if (insnTable[insn.opcode]?.kind === "ldImm64") index++;
  }
  return lines;
}

const END_NAMES = { toLe: "le", toBe: "be", bswap: "bswap" } as const;

function alu(row: InsnRow, variant: InsnVariant | undefined, insn: Insn): string {
  const letter = row.bits === 32 ? "w" : "r";
  const dst = `${letter}${insn.dst}`;
  if (row.op === "neg") return `${dst} = -${dst}`;
  const operand = row.operand === "imm" ? `${insn.imm}` : `${letter}${insn.src}`;
  switch (variant?.op) {
    case "movsx":
      return `${dst} = (s${variant.width})${operand}`;
    case "addrSpaceCast":
      return `${dst} = addr_space_cast(${operand}, ${insn.imm >>> 16}, ${insn.imm & 0xffff})`;
    case "sdiv":
      return `${dst} s/= ${operand}`;
    case "smod":
      return `${dst} s%= ${operand}`;
    default:
      return `${dst} ${ALU_SIGNS[row.op as Exclude<AluOp, "neg">]} ${operand}`;
  }
}

function condition(row: InsnRow, insn: Insn): string {
  const letter = row.bits === 32 ? "w" : "r";
  const operand = row.operand === "imm" ? `${insn.imm}` : `${letter}${insn.src}`;
  return `if ${letter}${insn.dst} ${JUMP_SIGNS[row.op as JumpOp]} ${operand}`;
}

function atomic(row: InsnRow, variant: InsnVariant, insn: Insn): string {
  const wide = row.size === 8;
  const letter = wide ? "r" : "w";
  const src = `${letter}${insn.src}`;
  const address = `r${insn.dst}${plus(insn.off)}`;
  const pointer = `(u${row.size * 8} *)(${address})`;
  switch (variant.op) {
    case "add":
      return `lock *${pointer} += ${src}`;
    case "or":
      return `lock *${pointer} |= ${src}`;
    case "and":
      return `lock *${pointer} &= ${src}`;
    case "xor":
      return `lock *${pointer} ^= ${src}`;
    case "fetchAdd":
      return `${src} = atomic_fetch_add(${pointer}, ${src})`;
    case "fetchOr":
      return `${src} = atomic_fetch_or(${pointer}, ${src})`;
    case "fetchAnd":
      return `${src} = atomic_fetch_and(${pointer}, ${src})`;
    case "fetchXor":
      return `${src} = atomic_fetch_xor(${pointer}, ${src})`;
    case "xchg":
      return `${src} = xchg${wide ? "_64" : "32_32"}(${address}, ${src})`;
    case "cmpxchg":
      return `${letter}0 = cmpxchg${wide ? "_64" : "32_32"}(${address}, ${letter}0, ${src})`;
    case "loadAcq":
      return `${letter}${insn.dst} = load_acquire((u${row.size * 8} *)${place("src", insn)})`;
    case "storeRel":
      return `store_release(${pointer}, ${src})`;
    default:
      return unknown(insn);
  }
}

function wide(variant: InsnVariant, insn: Insn, next: Insn, reference: string | undefined): string {
  const dst = `r${insn.dst}`;
  if (reference !== undefined) return `${dst} = ${reference}`;
  switch (variant.op) {
    case "mapFd":
      return `${dst} = map[fd:${insn.imm}]`;
    case "mapValue":
      return `${dst} = map[fd:${insn.imm}][0]+${next.imm >>> 0}`;
    case "mapIdx":
      return `${dst} = map[idx:${insn.imm}]`;
    case "mapIdxValue":
      return `${dst} = map[idx:${insn.imm}][0]+${next.imm >>> 0}`;
    case "btfId":
      return `${dst} = btf_id[${insn.imm}]`;
    case "func":
      return `${dst} = subprog[${signed(insn.imm)}]`;
    default:
      return `${dst} = ${(BigInt(next.imm) << 32n) | BigInt(insn.imm >>> 0)} ll`;
  }
}

function call(variant: InsnVariant, insn: Insn, names: DisasmNames | undefined, index: number): string {
  if (variant.op === "local") return `call ${names?.target?.(index + 1 + insn.imm) ?? `pc${signed(insn.imm)}`}`;
  if (variant.op === "kfunc") return `call ${names?.reference?.(index) ?? `kfunc#${insn.imm}`}`;
  const name = names?.helper?.(insn.imm);
  return name === undefined ? `call ${insn.imm}` : `call ${name}#${insn.imm}`;
}

const signed = (value: number): string => (value < 0 ? `${value}` : `+${value}`);
const plus = (value: number): string => (value < 0 ? ` - ${-value}` : ` + ${value}`);
const place = (base: "dst" | "src", insn: Insn): string => `(r${insn[base]}${plus(insn.off)})`;

function unknown(insn: Insn): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
  const registers = hex((insn.src << 4) | insn.dst, 2);
  return `<unknown ${hex(insn.opcode, 2)} ${registers} ${hex(insn.off & 0xffff, 4)} ${hex(insn.imm >>> 0, 8)}>`;
}
