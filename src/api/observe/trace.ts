/** A trace: each executed instruction with what it did. */
import { helperTable } from "../../helpers/table.ts";
import {
  Disassembly,
  type Insn,
  type InsnKind,
  type InsnRow,
  insnTable,
  type SourceLine,
  variantOf,
} from "../../insn/index.ts";
import type { ObservedRun, ProgramCode } from "../../kern/observer.ts";
import type { Observer } from "./observer.ts";
import { PerProgram, Places } from "./places.ts";

export interface RegisterChange {
  /** 0 to 10. */
  readonly register: number;
  /** Unsigned. */
  readonly before: bigint;
  readonly after: bigint;
}

/** What a load, store or atomic operation touched, or tried to. */
export interface MemoryAccess {
  readonly kind: "load" | "store" | "atomic";
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  /** What was loaded or stored; of an atomic operation the operand. Undefined: the load failed. */
  readonly value: bigint | undefined;
  /** What lies there: `its stack, byte 504 of 512`. */
  readonly where: string;
}

export interface TracedCall {
  readonly kind: "helper" | "kfunc" | "function";
  /** As the kernel calls it, `bpf_map_lookup_elem`; of a function its own name. */
  readonly name: string;
  /** r1 and on: as many as the helper takes; of kfuncs and functions all five. */
  readonly args: readonly bigint[];
  /** r0, where the call has come back: undefined for functions, callbacks under way and tail calls. */
  readonly result: bigint | undefined;
}

/** Where a call led to that does not come back at once. */
export interface Entered {
  /** `program`: a tail call. */
  readonly kind: "function" | "callback" | "program";
  readonly name: string;
}

export interface TraceStep {
  readonly program: string;
  readonly function: string;
  /** Of the instruction, in its program. */
  readonly index: number;
  /** The instruction, as `r1 = *(u32 *)(r1 + 4)`. */
  readonly text: string;
  /** Calls that are open before it. */
  readonly depth: number;
  readonly source: SourceLine | undefined;
  readonly changes: readonly RegisterChange[];
  readonly memory: MemoryAccess | undefined;
  readonly call: TracedCall | undefined;
  readonly entered: Entered | undefined;
  /** Why the run ended here, when it did not exit; else empty. */
  readonly fault: string;
}

interface Program {
  readonly places: Places;
  readonly text: Disassembly;
}

/** What is kept of a run from before an instruction to after it. */
interface Level {
  readonly registers: Uint32Array;
  depth: number;
}

const REGISTERS = 11;
const MAX_ARGS = 5;

/**
 * Calls back for every instruction that is executed.
 *
 *     using watched = host.observe(new Trace((step) => console.log(formatStep(step))));
 */
export class Trace implements Observer {
  readonly #onStep: (step: TraceStep) => void;
  readonly #programs: PerProgram<Program> = new PerProgram((code) => ({
    places: new Places(code),
    text: new Disassembly(code),
  }));
  /** Of runs inside runs, the newest last. */
  readonly #levels: Level[] = [];

  constructor(onStep: (step: TraceStep) => void) {
    this.#onStep = onStep;
  }

  begin(run: ObservedRun): void {
    this.#levels.push({ registers: run.registers.slice(), depth: 0 });
  }

  before(run: ObservedRun): void {
    const level = this.#levels.at(-1)!;
    level.registers.set(run.registers);
    level.depth = run.depth;
  }

  after(run: ObservedRun): void {
    this.#onStep(this.#step(run, this.#levels.at(-1)!));
  }

  end(): void {
    this.#levels.pop();
  }

  #step(run: ObservedRun, { registers, depth }: Level): TraceStep {
    const { program, index } = run;
    const { places, text } = this.#programs.of(program);
    const insn = program.insns[index]!;
    const row = insnTable[insn.opcode]!;
    const call = row.kind === "call" ? tracedCall(run, row, insn, registers, depth) : undefined;
    return {
      program: program.name,
      function: places.functionName(index),
      index,
      text: text.at(index),
      depth,
      source: places.line(index),
      changes: changesOf(run, registers, row.kind === "exit" && run.state === "running"),
      memory: memoryOf(run, row, insn, registers),
      call,
      entered: this.#entered(run, row.kind, call, depth),
      fault: run.fault,
    };
  }

  /** A call that goes deeper, or the exit of a callback whose helper calls it again. */
  #entered(run: ObservedRun, kind: InsnKind, call: TracedCall | undefined, depth: number): Entered | undefined {
    const { program, nextProgram, nextIndex, state } = run;
    if (state !== "running" || (kind !== "call" && kind !== "exit")) return undefined;
    if (kind === "call" && nextProgram !== program) return { kind: "program", name: nextProgram.name };
    if (run.depth < depth || (kind === "call" && run.depth === depth)) return undefined;
    const name = this.#programs.of(nextProgram).places.functionName(nextIndex);
    return { kind: call?.kind === "function" ? "function" : "callback", name };
  }
}

function registerValue(registers: Uint32Array, n: number): bigint {
  return (BigInt(registers[n * 2 + 1]!) << 32n) | BigInt(registers[n * 2]!);
}

/** A function's return brings back r6 to r10 as its caller had them: that is no change that an instruction made. */
function changesOf(run: ObservedRun, before: Uint32Array, returns: boolean): RegisterChange[] {
  const changes: RegisterChange[] = [];
  for (let n = 0; n < (returns ? 6 : REGISTERS); n++) {
    if (before[n * 2] === run.registers[n * 2] && before[n * 2 + 1] === run.registers[n * 2 + 1]) continue;
    changes.push({ register: n, before: registerValue(before, n), after: registerValue(run.registers, n) });
  }
  return changes;
}

function memoryOf(run: ObservedRun, row: InsnRow, insn: Insn, before: Uint32Array): MemoryAccess | undefined {
  const { kind, size } = row;
  if (kind !== "load" && kind !== "store" && kind !== "atomic") return undefined;
  const loads = kind === "load" || variantOf(row, insn)?.op === "loadAcq";
  const address = BigInt.asUintN(64, registerValue(before, loads ? insn.src : insn.dst) + BigInt(insn.off));
  const value = loads ? loaded(run, insn) : row.operand === "imm" ? BigInt(insn.imm) : registerValue(before, insn.src);
  return {
    kind: kind === "atomic" && !loads ? "atomic" : loads ? "load" : "store",
    address,
    size,
    value: value === undefined ? undefined : BigInt.asUintN(size * 8, value),
    where: address < 2n ** 32n ? run.where(Number(address), size) : "no pointer: its upper half is not zero",
  };
}

function loaded(run: ObservedRun, insn: Insn): bigint | undefined {
  return run.state === "running" ? registerValue(run.registers, insn.dst) : undefined;
}

function tracedCall(run: ObservedRun, row: InsnRow, insn: Insn, before: Uint32Array, depth: number): TracedCall {
  const op = variantOf(row, insn)?.op;
  const kind = op === "local" ? "function" : op === "kfunc" ? "kfunc" : "helper";
  const { program, index } = run;
  const count = kind === "helper" ? (helperTable[insn.imm]?.args.length ?? MAX_ARGS) : MAX_ARGS;
  const back = run.state === "running" && run.nextProgram === program && run.depth === depth;
  return {
    kind,
    name: nameOf(program, index, insn, kind),
    args: Array.from({ length: count }, (_, i) => registerValue(before, i + 1)),
    result: back && kind !== "function" ? registerValue(run.registers, 0) : undefined,
  };
}

function nameOf(program: ProgramCode, index: number, insn: Insn, kind: TracedCall["kind"]): string {
  if (kind === "helper") return program.helper(insn.imm) ?? `helper ${insn.imm}`;
  if (kind === "kfunc") return program.references.get(index) ?? `kfunc ${insn.imm}`;
  const to = index + 1 + insn.imm;
  return program.functions.find((each) => each.insn === to)?.name ?? `func_${to}`;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const TEXT_WIDTH = 36;

/**
 * A step in one line: index, instruction, what it changed, and what it touched or called. The source line is not in it:
 * `sourceText(step.source)` gives it.
 */
export function formatStep(step: TraceStep): string {
  const { index, text, depth, changes, memory, call, entered, fault } = step;
  const parts = changes.map(({ register, after }) => `r${register} = ${hex(after)}`);
  if (memory !== undefined) {
    const { kind, size, value, where } = memory;
    const did = value === undefined ? "" : kind === "load" ? `${hex(value)} from ` : `${hex(value)} to `;
    parts.push(`[${size}: ${did}${where}]`);
  }
  if (call !== undefined && call.kind !== "function") {
    const result = call.result === undefined ? "" : ` = ${hex(call.result)}`;
    parts.push(`${call.name}(${call.args.map(hex).join(", ")})${result}`);
  }
  if (entered !== undefined) parts.push(`-> ${entered.kind} ${entered.name}`);
  if (fault !== "") parts.push("<- the run ends here");
  return `${"  ".repeat(depth)}${String(index).padStart(5)}: ${text.padEnd(TEXT_WIDTH)}  ${parts.join("  ")}`.trimEnd();
}
