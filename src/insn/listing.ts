/** A program as text for people: functions, jump labels, source lines, and names for all that has one. */
import { disassemble } from "./disasm.ts";
import { insnTable, variantOf } from "./table.ts";
import type { Insn } from "./types.ts";

/** A line of the source; `insn` is the first instruction that comes from it. Line 0: the compiler names none. */
export interface SourceLine {
  readonly insn: number;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** What a listing is made of. */
export interface ListingSource {
  readonly insns: readonly Insn[];
  /** Ascending by first instruction. */
  readonly functions: readonly { readonly insn: number; readonly name: string }[];
  /** Ascending by instruction; empty without line information. */
  readonly lines: readonly SourceLine[];
  /** By instruction: what its 64-bit immediate or its kfunc call refers to. */
  readonly references: ReadonlyMap<number, string>;
  readonly helper: (id: number) => string | undefined;
}

/** Instructions as text with names, one at a time. */
export class Disassembly {
  readonly #source: ListingSource;
  readonly #labels: ReadonlyMap<number, string>;

  constructor(source: ListingSource) {
    this.#source = source;
    this.#labels = labelsOf(source);
  }

  /** The instruction with this index. */
  at(index: number): string {
    const { insns, helper, references } = this.#source;
    const names = {
      helper,
      reference: (i: number) => references.get(i),
      target: (i: number) => this.#labels.get(i),
    };
    return disassemble(insns[index]!, insns[index + 1], names, index);
  }

  /** The name of what begins at this instruction: a function, or `L12` where a jump leads to; else undefined. */
  label(index: number): string | undefined {
    return this.#labels.get(index);
  }

  /**
   * All of it in lines: a function's name and a label each have a line of their own, a source line stands in front of its
   * first instruction as `; file:line: text`.
   */
  lines(): string[] {
    const { insns, lines } = this.#source;
    const width = String(insns.length - 1).length + 2;
    const out: string[] = [];
    let next = 0;
    let shown = "";
    for (let index = 0; index < insns.length; index++) {
      const label = this.#labels.get(index);
      if (label !== undefined) {
        if (out.length > 0 && this.#isFunction(index)) out.push("");
        out.push(`${label}:`);
      }
      for (; next < lines.length && lines[next]!.insn <= index; next++) {
        const text = sourceText(lines[next]!);
        if (text !== "" && text !== shown) out.push(`${" ".repeat(width + 2)}; ${text}`);
        if (text !== "") shown = text;
      }
      out.push(`${String(index).padStart(width)}: ${this.at(index)}`);
      if (insnTable[insns[index]!.opcode]?.kind === "ldImm64") index++;
    }
    return out;
  }

  #isFunction(index: number): boolean {
    return this.#source.functions.some((each) => each.insn === index);
  }
}

/** `file:line: text`; empty where the compiler names no line. */
export function sourceText({ file, line, text }: SourceLine): string {
  return line === 0 ? "" : `${file}:${line}: ${text.trim()}`;
}

/** Names of functions, and labels for where jumps and calls of functions without a name lead to. */
function labelsOf({ insns, functions }: ListingSource): ReadonlyMap<number, string> {
  const labels = new Map<number, string>();
  insns.forEach((insn, index) => {
    const row = insnTable[insn.opcode];
    if (row === undefined) return;
    const op = variantOf(row, insn)?.op;
    if (op === "local" || op === "func") labels.set(index + 1 + insn.imm, `func_${index + 1 + insn.imm}`);
    else if (row.off === "jump") labels.set(index + 1 + insn.off, `L${index + 1 + insn.off}`);
    else if (row.imm === "jump") labels.set(index + 1 + insn.imm, `L${index + 1 + insn.imm}`);
  });
  for (const { insn, name } of functions) labels.set(insn, name);
  return labels;
}
