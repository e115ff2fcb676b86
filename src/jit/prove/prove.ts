/**
 * The prover: what registers hold at each instruction, whatever the program is given, as far as it follows from what no
 * program can forge. An access is proved where the interpreter's exact check (`vm/access.ts`) would say yes in every run;
 * what is not proved is left to that check, so a prover that knows little is slow, never wrong. A forward pass over the
 * blocks of each function until nothing changes, then one more that writes down what holds.
 */
import type { Kernel } from "../../kern/kernel.ts";
import type { Access, Facts, Value } from "../facts.ts";
import type { Block, Func, JitProgram, Op } from "../program.ts";
import { transferImmediate, transferMemory } from "./access.ts";
import { refine } from "./branch.ts";
import { Context, Writes } from "./context.ts";
import { Stops } from "./join.ts";
import { State } from "./state.ts";
import { callableOf, isTailCall } from "./summary.ts";
import { transferAlu, transferByteOrder } from "./transfer_alu.ts";
import { argumentOk, callbackArguments, transferCall, transferPacketLoad } from "./transfer_call.ts";
import {
  ctx,
  ELSEWHERE,
  F_META,
  F_NULL,
  F_WRITE,
  K_CTX,
  K_FUNCTION,
  K_MAP,
  K_NUMBER,
  K_PACKET,
  K_PACKET_END,
  K_REGION,
  K_STACK,
  moved,
  stack,
  Val,
} from "./value.ts";

const FRAME = 512;
const FRAME_POINTER = 10;
const FIRST_ARGUMENT = 1;
const ARGUMENTS = 5;
/** Instructions that are executed before the prover gives up: for each of the program, and in all. */
const VISITS = 30;
const WORK_MAX = 500_000;
/** What it takes to get to a block, in instructions. */
const BLOCK_WORK = 4;
/** Programs with more instructions are not looked at: what is known of each block would take too much memory. */
const INSNS_MAX = 100_000;
/** How often callers may add to what a function is given before its bounds are let go. */
const CALLS_WIDEN = 4;

/** Facts, and what `provesMemory` asks. */
export interface Proof extends Facts {
  readonly memoryOk: (index: number, argument: number, size: number, write: boolean) => boolean;
}

/** What is known of one function. */
interface Flow {
  readonly func: Func;
  /** By block: what holds where it begins; undefined: not reached. */
  readonly states: (State | undefined)[];
  /** By block: how often its state has changed. */
  readonly visits: number[];
  readonly dirty: Uint8Array;
  readonly stops: Stops;
  /** By block: whether a later block leads here. */
  readonly heads: Uint8Array;
  /** Frames of callers that are there at least. */
  frames: number;
  readonly writes: Writes;
  readonly callers: Set<Flow>;
  entries: number;
  pending: boolean;
}

/** Whether `size` bytes at r1 + `argument` - 1 of the call are right for a helper to read, or write. */
export function provesMemory(proof: Proof, index: number, argument: number, size: number, write: boolean): boolean {
  return proof.memoryOk(index, argument, size, write);
}

/** Told, in the last pass, what holds before each instruction. */
export type Watcher = (op: Op, state: State, context: Context) => void;

export function prove(kernel: Kernel, prog: number, program: JitProgram, watch?: Watcher): Proof {
  return new Prover(kernel, prog, program).run(watch);
}

class Prover {
  readonly #context: Context;
  readonly #program: JitProgram;
  readonly #flows: Flow[];
  #left: number;
  /** The last pass: nothing changes any more. */
  #writing = false;

  constructor(kernel: Kernel, prog: number, program: JitProgram) {
    this.#context = new Context(kernel, prog, program);
    this.#program = program;
    this.#flows = program.functions.map(flowOf);
    const { insnCount } = program;
    this.#left = insnCount > INSNS_MAX ? 0 : Math.min(WORK_MAX, VISITS * (insnCount + 16));
  }

  run(watch: Watcher | undefined): Proof {
    if (this.#left > 0) this.#begin();
    for (let flow = this.#next(); flow !== undefined && this.#left > 0; flow = this.#next()) this.#follow(flow);
    return this.#left > 0 ? this.#write(watch) : this.#nothing();
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
    if (this.#writing) return;
    const known = flow.states[0];
    if (known === undefined) {
      flow.states[0] = state;
      flow.frames = frames;
      flow.pending = true;
      flow.dirty[0] = 1;
      return;
    }
    flow.entries++;
    const widening = flow.entries > CALLS_WIDEN ? flow.entries : 0;
    const { joiner } = this.#context;
    const { stops } = joiner;
    joiner.stops = flow.stops;
    const grown = joiner.join(known, state, widening);
    joiner.stops = stops;
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
    const { dirty, states, func } = flow;
    for (let id = 0; id < dirty.length && this.#left > 0; ) {
      if (dirty[id] === 0) {
        id++;
        continue;
      }
      dirty[id] = 0;
      const context = this.#context;
      context.frames = flow.frames;
      context.writes = flow.writes;
      context.joiner.stops = flow.stops;
      const block = func.blocks[id]!;
      this.#left -= block.ops.length + BLOCK_WORK;
      const state = states[id]!.copy();
      for (const op of block.ops) this.#execute(flow, state, op);
      id = Math.min(id + 1, this.#leave(flow, block, state));
      if (!flow.writes.grown) continue;
      flow.writes.grown = false;
      for (const caller of flow.callers) again(caller);
      if (flow.callers.has(flow)) id = 0;
    }
  }

  /** Hands the state at a block's end on. Returns the first block that has to be looked at again. */
  #leave(flow: Flow, { ops, next, id }: Block, state: State): number {
    const last = ops.at(-1);
    let first = flow.dirty.length;
    if (last?.row.kind !== "jump") {
      for (const to of next) first = Math.min(first, this.#reach(flow, id, to, state));
      return first;
    }
    const other = state.copy();
    if (refine(this.#context, state, last, true)) first = this.#reach(flow, id, next[0]!, state);
    if (next.length > 1 && refine(this.#context, other, last, false)) {
      first = Math.min(first, this.#reach(flow, id, next[1]!, other));
    }
    return first;
  }

  /** One more way to a block. Returns it, or, when that says nothing new, the end. */
  #reach(flow: Flow, from: number, to: number, state: State): number {
    const known = flow.states[to];
    if (known === undefined) {
      flow.states[to] = state.copy();
    } else {
      const widening = flow.heads[to] === 1 ? flow.visits[to]! : 0;
      if (!this.#context.joiner.join(known, state, widening)) return flow.dirty.length;
      if (from >= to) flow.visits[to]!++;
    }
    flow.dirty[to] = 1;
    return to;
  }

  #execute(flow: Flow, state: State, op: Op): Access | undefined {
    const context = this.#context;
    switch (op.row.kind) {
      case "alu":
        transferAlu(context, state, op);
        return undefined;
      case "end":
        transferByteOrder(state, op);
        return undefined;
      case "ldImm64":
        transferImmediate(context, state, op);
        return undefined;
      case "load":
      case "store":
      case "atomic":
        return transferMemory(context, state, op);
      case "ldPacket":
        transferPacketLoad(state, op);
        return undefined;
      case "call":
        if (op.variant?.op === "local") this.#call(flow, state, op);
        else this.#callback(flow, state, op);
        // Another program would go on below the frames of this one, and may look at what was not cleared of them.
        if (isTailCall(op) && (flow !== this.#flows[0] || flow.entries > 0)) context.touchAll();
        transferCall(context, state, op);
        return undefined;
      default:
        return undefined;
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
      this.#context.wrote(state, writes.low - FRAME, writes.high - FRAME);
    }
  }

  /** The last pass. */
  #write(watch: Watcher | undefined): Proof {
    this.#writing = true;
    const context = this.#context;
    const access: (Access | undefined)[] = [];
    const calls: (readonly Value[] | undefined)[] = [];
    const memory: (readonly [readonly Val[], number] | undefined)[] = [];
    const lowest: number[] = [];
    context.lowestOther = 0;
    for (const flow of this.#flows) {
      context.frames = flow.frames;
      context.writes = flow.writes;
      context.lowest = 0;
      for (const { ops, id } of flow.func.blocks) {
        const state = flow.states[id]?.copy();
        if (state === undefined) continue;
        for (const op of ops) {
          watch?.(op, state, context);
          if (op.row.kind === "call") {
            const given = state.regs.slice(FIRST_ARGUMENT, FIRST_ARGUMENT + ARGUMENTS);
            calls[op.index] = given.map(factOf);
            memory[op.index] = [given, flow.frames];
          }
          const found = this.#execute(flow, state, op);
          if (found !== undefined) access[op.index] = found;
        }
      }
      lowest.push(flow.states[0] === undefined ? -FRAME : context.lowest);
    }
    return {
      access,
      calls,
      stackDepth: lowest.map((own) => Math.floor(Math.min(own, context.lowestOther) / 8) * 8),
      memoryOk: (index, argument, size, write) => {
        const known = memory[index];
        if (known === undefined) return false;
        context.frames = known[1];
        return argumentOk(context, known[0][argument - 1]!, size, write);
      },
    };
  }

  #nothing(): Proof {
    const access: Access[] = [];
    for (const { func } of this.#flows) {
      for (const { ops } of func.blocks) {
        for (const op of ops) if (op.row.size !== 0) access[op.index] = { how: "check" };
      }
    }
    return { access, calls: [], stackDepth: this.#flows.map(() => -FRAME), memoryOk: () => false };
  }
}

function flowOf(func: Func): Flow {
  const { blocks } = func;
  const heads = new Uint8Array(blocks.length);
  for (const { id, next } of blocks) for (const to of next) if (to <= id) heads[to] = 1;
  const stops = new Stops();
  return {
    func,
    states: new Array<State | undefined>(blocks.length).fill(undefined),
    visits: new Array<number>(blocks.length).fill(0),
    dirty: new Uint8Array(blocks.length),
    stops,
    heads,
    frames: 0,
    writes: new Writes(),
    callers: new Set(),
    entries: 0,
    pending: false,
  };
}

/** All of the function has to be looked at once more. */
function again(flow: Flow): void {
  for (let id = 0; id < flow.dirty.length; id++) if (flow.states[id] !== undefined) flow.dirty[id] = 1;
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
  if (v.kind === K_STACK) return moved(v, v.min + FRAME, v.max + FRAME, v.step);
  // It has none of the caller's calls.
  if (v.kind !== K_REGION || v.id < 0) return v;
  return new Val(v.kind, v.min, v.max, v.step, ELSEWHERE, v.off, v.room, v.size, v.flags);
}

/** As those see it who compile. */
function factOf(v: Val): Value {
  const { min, max } = v;
  switch (v.kind) {
    case K_NUMBER:
      return min < 0 ? { kind: "unknown" } : { kind: "number", min, max };
    case K_STACK:
      return { kind: "stack", min, max };
    case K_CTX:
      return { kind: "ctx", offset: min };
    case K_PACKET:
      return (v.flags & F_META) !== 0 ? { kind: "unknown" } : { kind: "packet", base: v.id, min: v.off, max: v.off };
    case K_PACKET_END:
      return { kind: "packetEnd" };
    case K_MAP:
      return { kind: "map", map: v.id };
    case K_REGION: {
      const nullable = (v.flags & F_NULL) !== 0;
      return { kind: "region", from: v.id, size: v.size, write: (v.flags & F_WRITE) !== 0, min, max, nullable };
    }
    default:
      return UNKNOWN_VALUE;
  }
}

const UNKNOWN_VALUE: Value = { kind: "unknown" };
