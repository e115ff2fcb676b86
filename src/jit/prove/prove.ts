/**
 * The prover: what registers hold at each instruction, whatever the program is given, as far as it follows from what no
 * program can forge. An access is proved where the interpreter's exact check (`vm/access.ts`) would say yes in every run;
 * what is not proved is left to that check, so a prover that knows little is slow, never wrong. A forward pass over the
 * blocks of each function until nothing changes: what was found at the last look at an instruction is what holds.
 */

import type { Kernel } from "../../kern/kernel.ts";
import { STACK_FRAME } from "../../kern/run_record.ts";
import type { Access, Facts } from "../facts.ts";
import type { Block, Func, JitProgram, Op } from "../program.ts";
import { reversePostOrder } from "../structure.ts";
import { transferImmediate, transferMemory } from "./access.ts";
import { Arguments } from "./arguments.ts";
import { refine } from "./branch.ts";
import { Context, Writes } from "./context.ts";
import { Stops } from "./join.ts";
import { State } from "./state.ts";
import { callableOf, isTailCall } from "./summary.ts";
import { transferAlu, transferByteOrder } from "./transfer_alu.ts";
import { callbackArguments, transferCall, transferPacketLoad } from "./transfer_call.ts";
import { ctx, ELSEWHERE, K_FUNCTION, K_REGION, K_STACK, moved, stack, Val } from "./value.ts";

const FRAME_POINTER = 10;
const FIRST_ARGUMENT = 1;
const ARGUMENTS = 5;
/** Instructions that are executed before the prover gives up: for each of the program, and in all. */
const VISITS = 60;
const WORK_MAX = 500_000;
/** What it takes to get to a block, in instructions. */
const BLOCK_WORK = 4;
/** Programs with more instructions are not looked at: what is known of each block would take too much memory. */
const INSNS_MAX = 100_000;
/** How often what a function is given may grow after it was looked at, before its bounds are let go. */
const CALLS_WIDEN = 4;

/** What is known of one function. */
interface Flow {
  readonly func: Func;
  /** By block: what holds where it begins; undefined: not reached. */
  readonly states: (State | undefined)[];
  /** By block: how often its state has grown from behind. */
  readonly visits: number[];
  /** Blocks in the order in which they are looked at, and by block its place there. */
  readonly order: readonly number[];
  readonly position: Int32Array;
  /** By place: whether the block has to be looked at. */
  readonly dirty: Uint8Array;
  readonly stops: Stops;
  /** By block: how many lead here; to the first its callers do. */
  readonly ways: Int32Array;
  /** Frames of callers that are there at least. */
  frames: number;
  readonly writes: Writes;
  /** The lowest offset of its frame that it touches. */
  lowest: number;
  readonly callers: Set<Flow>;
  entries: number;
  /** How often what it is given has grown after it was looked at: all that grows before is one growth. */
  rounds: number;
  pending: boolean;
}

/** Told what holds before each instruction, whenever it is looked at: it is right what was said last. */
export type Watcher = (op: Op, state: State, context: Context) => void;

export function prove(kernel: Kernel, prog: number, program: JitProgram, watch?: Watcher): Facts {
  return new Prover(kernel, prog, program, watch).run();
}

class Prover {
  readonly #context: Context;
  readonly #program: JitProgram;
  readonly #flows: Flow[];
  readonly #watch: Watcher | undefined;
  readonly #access: (Access | undefined)[] = [];
  readonly #calls: Arguments[] = [];
  #left: number;

  constructor(kernel: Kernel, prog: number, program: JitProgram, watch: Watcher | undefined) {
    this.#context = new Context(kernel, prog, program);
    this.#program = program;
    this.#watch = watch;
    this.#flows = program.functions.map(flowOf);
    const { insnCount } = program;
    this.#left = insnCount > INSNS_MAX ? 0 : Math.min(WORK_MAX, VISITS * (insnCount + 16));
  }

  run(): Facts {
    if (this.#left > 0) this.#begin();
    for (let flow = this.#next(); flow !== undefined && this.#left > 0; flow = this.#next()) this.#follow(flow);
    return this.#left > 0 ? this.#facts() : this.#nothing();
  }

  #next(): Flow | undefined {
    return this.#flows.find((flow) => flow.pending);
  }

  /** What the program itself is given. */
  #begin(): void {
    const state = State.unknown();
    // The other registers are zero, or what a program that called this one by a tail call has left.
    if (this.#context.hasContext) state.regs[FIRST_ARGUMENT] = ctx(0);
    state.regs[FRAME_POINTER] = stack(0, 0);
    this.#enter(this.#flows[0]!, state, 0);
  }

  /** One more way into a function. */
  #enter(flow: Flow, state: State, frames: number): void {
    const known = flow.states[0];
    if (known === undefined) {
      flow.states[0] = state;
      flow.frames = frames;
      flow.pending = true;
      flow.dirty[0] = 1;
      return;
    }
    flow.entries++;
    // Its tail calls are no more the program's own.
    if (flow.entries === 1 && flow === this.#flows[0]) again(flow);
    const widening = flow.rounds > CALLS_WIDEN ? flow.rounds : 0;
    const { joiner } = this.#context;
    const { stops } = joiner;
    joiner.stops = flow.stops;
    const grown = joiner.join(known, state, widening);
    joiner.stops = stops;
    if (grown && !flow.pending) flow.rounds++;
    if (frames < flow.frames) {
      flow.frames = frames;
      again(flow);
    } else if (grown) {
      flow.dirty[0] = 1;
      flow.pending = true;
    }
  }

  /** Until nothing changes in the function. */
  #follow(flow: Flow): void {
    flow.pending = false;
    const { dirty, order, states, func } = flow;
    for (let at = 0; at < dirty.length && this.#left > 0; ) {
      if (dirty[at] === 0) {
        at++;
        continue;
      }
      dirty[at] = 0;
      const id = order[at]!;
      const context = this.#context;
      context.frames = flow.frames;
      context.writes = flow.writes;
      context.joiner.stops = flow.stops;
      context.lowest = flow.lowest;
      const block = func.blocks[id]!;
      this.#left -= block.ops.length + BLOCK_WORK;
      const state = states[id]!.copy();
      const { ops } = block;
      for (let i = 0; i < ops.length; i++) {
        this.#watch?.(ops[i]!, state, context);
        this.#execute(flow, state, ops[i]!);
      }
      flow.lowest = context.lowest;
      at = Math.min(at + 1, this.#leave(flow, block, state));
      if (!flow.writes.grown) continue;
      flow.writes.grown = false;
      for (const caller of flow.callers) again(caller);
      if (flow.callers.has(flow)) at = 0;
    }
  }

  /** Hands the state at a block's end on. Returns the first place that has to be looked at again. */
  #leave(flow: Flow, { ops, next, id }: Block, state: State): number {
    const last = ops.at(-1);
    const first = next[0];
    const second = next[1];
    if (first === undefined) return flow.dirty.length;
    if (second === undefined) return this.#reach(flow, id, first, state);
    const other = state.copy();
    const jump = last!.row.kind === "jump" ? last : undefined;
    let again = flow.dirty.length;
    if (jump === undefined || refine(this.#context, state, jump, true)) again = this.#reach(flow, id, first, state);
    if (jump !== undefined && !refine(this.#context, other, jump, false)) return again;
    return Math.min(again, this.#reach(flow, id, second, other));
  }

  /** One more way to a block, which takes the state over. Returns its place, or, when that says nothing new, the end. */
  #reach(flow: Flow, from: number, to: number, state: State): number {
    const known = flow.states[to];
    const at = flow.position[to]!;
    // Where only one block leads its state is all there is. A loop begins where others do too.
    if (known === undefined || flow.ways[to] === 1) {
      flow.states[to] = state;
    } else {
      if (!this.#context.joiner.join(known, state, flow.visits[to]!)) return flow.dirty.length;
      if (flow.position[from]! >= at) flow.visits[to]!++;
    }
    flow.dirty[at] = 1;
    return at;
  }

  /** What is written down of an instruction is what holds when it is looked at last. */
  #execute(flow: Flow, state: State, op: Op): void {
    const context = this.#context;
    switch (op.row.kind) {
      case "alu":
        transferAlu(context, state, op);
        return;
      case "load":
      case "store":
      case "atomic":
        this.#access[op.index] = transferMemory(context, state, op);
        return;
      case "end":
        transferByteOrder(state, op);
        return;
      case "ldImm64":
        transferImmediate(context, state, op);
        return;
      case "ldPacket":
        transferPacketLoad(state, op);
        return;
      case "call":
        this.#calls[op.index] = new Arguments(context, state, flow.frames);
        if (op.variant?.op === "local") this.#call(flow, state, op);
        else this.#callback(flow, state, op);
        // Another program would go on below the frames of this one, and may look at what was not cleared of them.
        if (isTailCall(op) && (flow !== this.#flows[0] || flow.entries > 0)) context.touchAll();
        transferCall(context, state, op);
        return;
      default:
    }
  }

  /** A function of the program is called: its frame lies below the caller's. */
  #call(flow: Flow, state: State, op: Op): void {
    const index = this.#program.functionAt.get(op.index + 1 + op.imm);
    if (index !== undefined) this.#into(flow, this.#flows[index]!, state, state.regs.slice(1, 1 + ARGUMENTS));
  }

  /** A helper, or a timer later on, calls a function of the program: any, where it is not known which one. */
  #callback(flow: Flow, state: State, op: Op): void {
    const callable = callableOf(op);
    const argument = callable?.args.indexOf("callback") ?? -1;
    if (argument < 0) return;
    const v = state.regs[argument + 1]!;
    const now = callable!.callback !== undefined;
    if (now && v.kind === K_FUNCTION) {
      this.#into(flow, this.#flows[v.id]!, state, callbackArguments(this.#context, state, op));
      return;
    }
    const any = v.kind === K_FUNCTION ? [this.#flows[v.id]!] : this.#flows;
    for (const callee of any) this.#enter(callee, entryOf([]), 0);
    if (!now) return;
    state.dropSlots();
    this.#context.wroteAnywhere();
  }

  /** What the function is given, and what it writes of the frames of those who called it. */
  #into(flow: Flow, callee: Flow, state: State, given: readonly Val[]): void {
    callee.callers.add(flow);
    this.#enter(callee, entryOf(given), flow.frames + 1);
    const { writes } = callee;
    if (writes.anywhere) {
      state.dropSlots();
      this.#context.wroteAnywhere();
    } else if (writes.high > 0) {
      this.#context.wrote(state, writes.low - STACK_FRAME, writes.high - STACK_FRAME);
    }
  }

  #facts(): Facts {
    const { lowestOther } = this.#context;
    const depth = this.#flows.map(({ states, lowest }) => {
      const own = states[0] === undefined ? -STACK_FRAME : lowest;
      return Math.floor(Math.min(own, lowestOther) / 8) * 8;
    });
    return { access: this.#access, calls: this.#calls, stackDepth: depth };
  }

  #nothing(): Facts {
    const access: Access[] = [];
    for (const { func } of this.#flows) {
      for (const { ops } of func.blocks) {
        for (const op of ops) if (op.row.size !== 0) access[op.index] = { how: "check" };
      }
    }
    return { access, calls: [], stackDepth: this.#flows.map(() => -STACK_FRAME) };
  }
}

function flowOf(func: Func): Flow {
  const { blocks } = func;
  const ways = new Int32Array(blocks.length);
  // The callers'.
  ways[0] = 2;
  for (const { next } of blocks) for (const to of next) ways[to]!++;
  const order = reversePostOrder(blocks);
  const position = new Int32Array(blocks.length);
  for (let at = 0; at < order.length; at++) position[order[at]!] = at;
  return {
    func,
    states: new Array<State | undefined>(blocks.length).fill(undefined),
    visits: new Array<number>(blocks.length).fill(0),
    order,
    position,
    dirty: new Uint8Array(blocks.length),
    stops: new Stops(),
    ways,
    frames: 0,
    writes: new Writes(),
    lowest: 0,
    callers: new Set(),
    entries: 0,
    rounds: 0,
    pending: false,
  };
}

/** All of the function has to be looked at once more. */
function again(flow: Flow): void {
  for (let at = 0; at < flow.dirty.length; at++) if (flow.states[flow.order[at]!] !== undefined) flow.dirty[at] = 1;
  flow.pending = true;
}

/** What holds where a function begins that is given this. */
function entryOf(given: readonly Val[]): State {
  const state = State.unknown();
  for (const [i, v] of given.entries()) state.regs[FIRST_ARGUMENT + i] = passed(v);
  state.regs[FRAME_POINTER] = stack(0, 0);
  return state;
}

/** An argument as the function sees it that gets it. */
function passed(v: Val): Val {
  if (v.kind === K_STACK) return moved(v, v.min + STACK_FRAME, v.max + STACK_FRAME, v.step);
  // It has none of the caller's calls.
  if (v.kind !== K_REGION || v.id < 0) return v;
  return new Val(v.kind, v.min, v.max, v.step, ELSEWHERE, v.off, v.room, v.size, v.flags);
}
