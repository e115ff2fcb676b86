/** Where in the source each instruction of a program comes from, and what kind of instruction it is. */
import { insnTable, type SourceLine } from "../../insn/index.ts";
import type { ProgramCode } from "../../kern/observer.ts";

/** Goes on at one of two places. */
export const CONDITIONAL = 1;
/** Calls something, or comes back from it. */
export const CALL = 2;

export class Places {
  readonly code: ProgramCode;
  /** By instruction: 0, CONDITIONAL or CALL. */
  readonly kinds: Uint8Array;
  readonly #lines: (SourceLine | undefined)[];
  readonly #functions: number[];

  constructor(code: ProgramCode) {
    const { insns, lines, functions } = code;
    this.code = code;
    this.kinds = Uint8Array.from(insns, ({ opcode, off }) => {
      const kind = insnTable[opcode]?.kind;
      // A jump to the next instruction goes on at one place only.
      if (kind === "jump" && off !== 0) return CONDITIONAL;
      return kind === "call" || kind === "exit" ? CALL : 0;
    });
    this.#lines = spread(insns.length, lines);
    this.#functions = spread(
      insns.length,
      functions.map((each, i) => ({ insn: each.insn, i })),
    ).map((f) => f?.i ?? 0);
  }

  /** The source line of an instruction; undefined without line information, and where the compiler names no line. */
  line(index: number): SourceLine | undefined {
    const line = this.#lines[index];
    return line === undefined || line.line === 0 ? undefined : line;
  }

  /** Whether instructions say where they come from at all. */
  get hasLines(): boolean {
    return this.code.lines.length > 0;
  }

  functionName(index: number): string {
    return this.code.functions[this.#functions[index]!]?.name ?? this.code.name;
  }

  /** Whether the instruction is the second half of a 64-bit immediate, which is never executed. */
  isSecondHalf(index: number): boolean {
    return index > 0 && insnTable[this.code.insns[index - 1]!.opcode]?.kind === "ldImm64";
  }
}

/** For each instruction the last record at or before it; records are ascending. */
function spread<T extends { readonly insn: number }>(count: number, records: readonly T[]): (T | undefined)[] {
  const out: (T | undefined)[] = [];
  let next = 0;
  let last: T | undefined;
  for (let index = 0; index < count; index++) {
    while (next < records.length && records[next]!.insn <= index) last = records[next++];
    out.push(last);
  }
  return out;
}

/** Keeps what was made of programs, which come again with every run. */
export class PerProgram<T> {
  readonly #made: WeakMap<ProgramCode, T> = new WeakMap();
  readonly #make: (code: ProgramCode) => T;

  constructor(make: (code: ProgramCode) => T) {
    this.#make = make;
  }

  of(code: ProgramCode): T {
    let made = this.#made.get(code);
    if (made === undefined) {
      made = this.#make(code);
      this.#made.set(code, made);
    }
    return made;
  }
}
