/**
 * How each call of a helper is made, decided before any code is emitted: through the run record, where the interpreter's
 * checks look at its arguments; straight to its function, where the prover knows them to be right; as code that the map's
 * type or the helper emits; as a loop around a function of the program; or as code that looks at the arguments itself,
 * before the checks do.
 */
import type { Callable, HelperArg, TurnsGen } from "../helpers/types.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { helperAllowed, innerAllowed, isCallback, progMap } from "../kern/prog.ts";
import type { Attempt, HelperGen, MapGen } from "../struct/gen.ts";
import { MAP_INNER, MAP_KEY_SIZE, MAP_VALUE_SIZE, mapField } from "../struct/map.ts";
import { type Plan, planOfCall } from "../vm/call.ts";
import type { CallFacts, Facts } from "./facts.ts";
import type { JitProgram, Op } from "./program.ts";

/** The map is the argument's, 0: the call has none. Of an inner map it is the template that it is like. */
export type CallPlan =
  | { readonly how: "checked"; readonly plan: Plan }
  | {
      readonly how: "attempt";
      readonly plan: Plan;
      readonly attempt: Attempt;
      /** It is code of this one call; else one function of the module for all calls. */
      readonly inline: boolean;
      /** The call in the same function that has set up the object that this one is about; -1: it is not known. */
      readonly object: number;
    }
  | { readonly how: "direct"; readonly plan: Plan }
  | {
      readonly how: "turns";
      readonly plan: Plan;
      readonly map: number;
      readonly callee: number;
      readonly turns: TurnsGen;
      /** The map's type's own code. */
      readonly gen: MapGen | undefined;
    }
  | { readonly how: "tail"; readonly plan: Plan; readonly map: number; readonly gen: HelperGen }
  | {
      readonly how: "gen";
      readonly plan: Plan;
      readonly map: number;
      readonly inner: boolean;
      readonly gen: HelperGen;
    };

/** Addresses from here on look like negative numbers to functions that are called with i32. */
const SIGN = 0x8000_0000;

/** By the index of the call. */
export function planCalls(kernel: Kernel, prog: number, program: JitProgram, proof: Facts): CallPlan[] {
  const plans: CallPlan[] = [];
  for (const { calls } of program.functions) {
    for (const op of calls) {
      if (op.variant?.op !== "local") plans[op.index] = planCall(kernel, prog, program, proof, op);
    }
  }
  return plans;
}

function planCall(kernel: Kernel, prog: number, program: JitProgram, proof: Facts, op: Op): CallPlan {
  const plan = planOfCall(op.src, op.imm);
  const { callable, id } = plan;
  const facts = proof.calls[op.index];
  const known = facts && callable.known?.(kernel.mem, facts);
  const attempt = known ?? callable.attempt;
  if (attempt !== undefined) {
    const object = known === undefined ? -1 : objectOf(callable, facts!);
    return { how: "attempt", plan, attempt, inline: known !== undefined, object };
  }
  const turns = callable.callback?.gen;
  const callee = turns === undefined ? -1 : functionGiven(kernel, prog, program, callable, facts);
  const plain = (callable.fn !== undefined || callee >= 0) && callable.result !== "throw";
  if (facts === undefined || !plain || kernel.mem.byteLength > SIGN) return { how: "checked", plan };
  const at = callable.args.indexOf("map");
  const outer = at < 0 ? 0 : facts.outer(at + 1);
  const inner = outer !== 0;
  const map = at < 0 ? 0 : inner ? mapField(kernel.mem, outer, MAP_INNER) : facts.map(at + 1);
  const fits = inner ? id < 0 || innerAllowed(kernel, map, id) : at < 0 || mapFits(kernel, prog, map, id);
  const isOwn = turns !== undefined || callable.result === "program";
  if (!fits || (inner && isOwn)) return { how: "checked", plan };
  for (const [i, arg] of callable.args.entries()) {
    if (!argumentProved(kernel, facts, callable, i, arg, map)) return { how: "checked", plan };
  }
  const ofType = at === 0 && id >= 0 ? genOf(kernel, map, id, inner) : undefined;
  if (turns !== undefined) return { how: "turns", plan, map, callee, turns, gen: ofType };
  if (callable.result === "program") return { how: "tail", plan, map, gen: callable.gen! };
  const gen = (inner ? undefined : callable.gen) ?? ofType;
  return gen === undefined ? { how: "direct", plan } : { how: "gen", plan, map, inner, gen };
}

function objectOf({ args }: Callable, facts: CallFacts): number {
  for (const [i, arg] of args.entries()) {
    if (typeof arg === "object" && "object" in arg) return facts.object(i + 1, arg.object);
  }
  return -1;
}

function genOf(kernel: Kernel, map: number, id: number, inner: boolean): HelperGen | undefined {
  const { ops } = entryOfMap(kernel, map);
  return inner ? ops.map_gen_inner(kernel, map, id) : ops.map_gen(kernel, map, id);
}

/** The function that the helper is to call, by its place in the program; -1: any. */
function functionGiven(
  { mem }: Kernel,
  prog: number,
  { functions }: JitProgram,
  { args }: Callable,
  facts: CallFacts | undefined,
): number {
  const func = facts?.func(args.indexOf("callback") + 1) ?? -1;
  return func >= 0 && isCallback(mem, prog, functions[func]!.start) ? func : -1;
}

/** The map is one of the program's and goes with the helper. */
function mapFits(kernel: Kernel, prog: number, map: number, id: number): boolean {
  const entry = map === 0 ? 0 : progMap(kernel.mem, prog, map);
  return entry !== 0 && (id < 0 || helperAllowed(kernel.mem, entry, id));
}

function argumentProved(
  kernel: Kernel,
  facts: CallFacts,
  { args }: Callable,
  i: number,
  arg: HelperArg,
  map: number,
): boolean {
  const { u32 } = kernel.mem;
  const memory = (size: number, write: boolean): boolean => facts.memory(i + 1, size, write);
  const isZero = (register: number): boolean => facts.range(register)?.max === 0;
  if (typeof arg === "object") {
    if ("fixed" in arg) return memory(arg.fixed, arg.write);
    return "stack" in arg && facts.isStackWord(i + 1) && memory(arg.stack, true);
  }
  switch (arg) {
    case "u32":
    case "u64":
    case "map":
    case "callback":
      return true;
    case "key":
      return map !== 0 && memory(u32[(map + MAP_KEY_SIZE) >>> 2]!, false);
    case "value":
      return map !== 0 && memory(u32[(map + MAP_VALUE_SIZE) >>> 2]!, false);
    case "valueOut":
      return (
        map !== 0 &&
        memory(u32[(map + MAP_VALUE_SIZE) >>> 2]!, entryOfMap(kernel, map).traits.lookupReadsValue !== true)
      );
    case "size":
    case "sizeOrZero": {
      const size = facts.range(i + 1);
      return size !== undefined && size.max < SIGN && (arg === "sizeOrZero" || size.min > 0);
    }
    case "mem":
    case "memOut": {
      const size = args[i + 1] === undefined ? undefined : facts.range(i + 2);
      return size !== undefined && size.max < SIGN && memory(size.max, arg === "memOut");
    }
    case "memOrNull":
    case "memOutOrNull": {
      const size = facts.range(i + 2);
      if (size === undefined || size.max >= SIGN) return false;
      return isZero(i + 1) ? size.max === 0 : memory(size.max, arg === "memOutOrNull");
    }
    case "ctx":
      return facts.isContext(i + 1);
    case "ctxOrNull":
      return facts.isContext(i + 1) || isZero(i + 1);
    default:
      return false;
  }
}
