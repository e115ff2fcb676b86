/**
 * One BPF function as one WebAssembly function: (run, fp, budget, r1 .. rn) → (r0, budget), n: the last argument that it
 * reads. Registers are i64 locals, an address is the u32 in their lower half; r10 is fp, the end of the frame's stack.
 */

import type { Callable, TurnsGen } from "../helpers/types.ts";
import { RUN_BUDGET, RUN_CTX } from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";
import { Code, I32, I64 } from "../wasm/code.ts";
import { Local32, Local64 } from "../wasm/expr.ts";
import type { Signature } from "../wasm/module.ts";
import { BLOCK, I64_EXTEND_I32_U, I64_LOAD, I64_STORE, I64_SUB, RETURN } from "../wasm/opcodes.ts";
import type { CallPlan } from "./calls.ts";
import type { Facts } from "./facts.ts";
import type { JitProgram, Op } from "./program.ts";
import type { RuntimeName } from "./runtime.ts";

/** Parameters. */
export const RUN = 0;
export const FP = 1;
/** Instructions that may still be executed. */
export const BUDGET = 2;
const ARGS = 5;
export const FRAME_POINTER = 10;

export function bpfFunction(args: number): Signature {
  return { params: [I32, I32, I64, ...Array.from({ length: args }, () => I64)], results: [I64, I64] };
}

/** What a program begins with: r1 is the context, the others are 0. */
export function pushFirstArguments(code: Code, count: number): void {
  if (count > 0) new Local32(code, RUN).load(RUN_CTX).extendU().push();
  for (let i = 1; i < count; i++) code.i64(0, 0);
}

/** What is the same for all functions of a program. */
export interface Program {
  /** Its address. */
  readonly prog: number;
  readonly program: JitProgram;
  readonly mem: Memory;
  readonly facts: Facts;
  readonly calls: readonly (CallPlan | undefined)[];
  /** Calls what `runtime.ts` has for compiled code: its arguments are on the stack. */
  callRuntime(code: Code, name: RuntimeName): void;
  /** The global that holds the kernel: the first argument of every helper's function. */
  readonly kernel: number;
  /** The helper's own function, as the module calls it. */
  direct(callable: Callable): number;
  /** A function of a helper that calls functions of the program, as the module calls it. */
  functionOf(turns: TurnsGen, name: string): number;
  /** What functions end with that the interpreter goes on in, as the module calls it: GO_ON. */
  goOn(): number;
  /** What tail calls go on by, as the module calls it: TAIL_CALL. */
  tailCall(): number;
  /** The module's own function for what the map's type emits: (run, arguments, a map that is found at run time) → result. */
  generated(call: number): number;
  /** By the function's place in the program: its number in the module, and how many arguments it is given. */
  readonly functions: readonly number[];
  readonly args: readonly number[];
  /** Nothing calls the first function but who starts the program: it is given none, and takes what it begins with itself. */
  readonly startsItself: boolean;
  /** The same: whether it makes tail calls, and so may come back from another program. */
  readonly goesOn: readonly boolean[];
}

/** Where the result of a call is kept, and a local that is all ones where it is NULL, else 0. */
interface Window {
  readonly base: number;
  readonly far: number;
}

export class Emitter {
  readonly code: Code;
  readonly unit: Program;
  /** For one instruction at a time. */
  readonly address: number;
  readonly wide: number;
  readonly #registers: readonly number[];
  /** Calls whose results accesses are measured against → where the result is kept. */
  readonly #windows = new Map<number, Window>();
  /** Calls that set up objects on the stack → where the object's entry is kept; 0: there is none. */
  readonly #objects = new Map<number, number>();
  readonly #temporaries: number[] = [];
  /** Turns that may_goto loops have left. */
  readonly turns: number;
  /** Instructions that ran in front of this one and were not charged; below 0: it and so many behind it were. */
  due = 0;
  /** The block around all compiled code: behind it the interpreter goes on. */
  #compiled = 0;

  /** The frame's number: RUN_DEPTH, where the function calls others. */
  readonly depth: number;

  /** `args`: how many the function is given; `room`: about so many bytes it comes to. */
  constructor(unit: Program, args: number, room: number) {
    this.unit = unit;
    const params = bpfFunction(args).params.length;
    this.code = new Code(params, room);
    const { code } = this;
    this.wide = code.local(I64);
    const r0 = code.local(I64);
    const given = Array.from({ length: args }, (_, i) => params - args + i);
    const others = Array.from({ length: ARGS - args }, () => code.local(I64));
    const saved = [6, 7, 8, 9].map(() => code.local(I64));
    this.#registers = [r0, ...given, ...others, ...saved];
    this.address = code.local(I32);
    this.turns = code.local(I32);
    this.depth = code.local(I32);
  }

  /** The local that a register is. */
  register(register: number): Local64 {
    return new Local64(this.code, this.#registers[register]!);
  }

  /** Puts a register on the stack, as i64. */
  get(register: number): void {
    if (register === FRAME_POINTER) {
      this.code.get(FP);
      this.code.op(I64_EXTEND_I32_U);
    } else {
      this.code.get(this.#registers[register]!);
    }
  }

  set(register: number): void {
    this.code.set(this.#registers[register]!);
  }

  /** The second operand of an arithmetic, jump or store instruction, as i64. */
  operand(op: Op): void {
    if (op.row.operand === "reg") this.get(op.src);
    else this.code.i64(op.imm, op.imm >> 31);
  }

  /** Keeps the result of the call for accesses inside of it; before any code. */
  addWindow(call: number): void {
    if (this.#windows.has(call)) return;
    this.#windows.set(call, { base: this.code.local(I64), far: this.code.local(I64) });
  }

  /** Keeps the entry of the object that the call sets up, for calls that are about it; before any code. */
  addObject(call: number): void {
    if (!this.#objects.has(call)) this.#objects.set(call, this.code.local(I32));
  }

  objectOf(call: number): Local32 | undefined {
    const local = this.#objects.get(call);
    return local === undefined ? undefined : new Local32(this.code, local);
  }

  /** The n-th local for an argument of a helper. */
  temporary(n: number): number {
    while (this.#temporaries.length <= n) this.#temporaries.push(this.code.local(I32));
    return this.#temporaries[n]!;
  }

  windowOf(call: number): Window | undefined {
    return this.#windows.get(call);
  }

  charge(count: number): void {
    const { code } = this;
    code.get(BUDGET);
    code.i64(count, count >> 31);
    code.op(I64_SUB);
    code.set(BUDGET);
  }

  /** Before any code. */
  beginCompiled(): void {
    this.#compiled = this.code.open(BLOCK);
  }

  /**
   * The program does not do what it did when it was proved, or its budget may end before it is looked at: from this
   * instruction on the interpreter executes the function, to its end. Nothing comes back, so that V8 need not keep the
   * variables of loops in memory, as it does around calls that return.
   */
  giveUp(op: Op): void {
    const { code } = this;
    if (this.due !== 0) this.charge(this.due);
    code.i32(op.index);
    code.set(this.address);
    code.br(this.#compiled);
  }

  /** Returns the i64 on the stack to who called the function. */
  leave(): void {
    this.code.get(BUDGET);
    this.code.op(RETURN);
  }

  /** For code that counts on behind an import: functions that helpers call, other programs. */
  putBudget(): void {
    this.code.get(RUN);
    this.code.get(BUDGET);
    this.code.memory(I64_STORE, RUN_BUDGET);
  }

  takeBudget(): void {
    this.code.get(RUN);
    this.code.memory(I64_LOAD, RUN_BUDGET);
    this.code.set(BUDGET);
  }
}
