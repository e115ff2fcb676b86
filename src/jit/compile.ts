/** From a loaded program to functions that run it, once for each client. */
import { Bug } from "../errors.ts";
import type { Callable } from "../helpers/types.ts";
import type { CompiledFunction, CompiledProgram } from "../kern/compiled.ts";
import type { Kernel } from "../kern/kernel.ts";
import { isCallback, PROG_INSN_CNT, PROG_TYPE } from "../kern/prog.ts";
import { RUN_BUDGET, RUN_CURRENT, RUN_REGS } from "../kern/run_record.ts";
import { OBJ_ID } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_PROG_TYPE_UNSPEC } from "../uapi/index.ts";
import { Code, EXTERNREF, I32, type ValueType } from "../wasm/code.ts";
import { Local32, local64, push32 } from "../wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import { I64_STORE } from "../wasm/opcodes.ts";
import { type CallPlan, planCalls } from "./calls.ts";
import { genCall } from "./emit_call.ts";
import { emitFunction, GO_ON, goOnCode } from "./emit_function.ts";
import { bpfFunction, FP, type Program, RUN } from "./emitter.ts";
import type { Facts } from "./facts.ts";
import { type ArgumentsRead, argumentsRead, isCalled, readsTheUnknown } from "./liveness.ts";
import { type JitProgram, readProgram } from "./program.ts";
import { prove } from "./prove/index.ts";
import { type Caller, enterTarget, type RuntimeName } from "./runtime.ts";
import { runtimeOf, runtimeSignature } from "./runtime_module.ts";
import { TAIL_CALL, TAIL_ENTRY, tailCallsOf, tailEntry } from "./tail_calls.ts";

/** Larger programs take longer to compile than they would take to run. */
const MAX_INSNS = 100_000;
const KERNEL = "kernel";
const CALLER = "caller";
/** The table of `tail_calls.ts`, and the program's own function for it. */
const TAIL_CALL_NAME = "tailCall";
const TAIL = "tail";
/** What programs import that is WebAssembly already. */
type OwnImport = RuntimeName | typeof TAIL_CALL_NAME;
/** Of functions of helpers that call functions: the kernel, and two numbers. */
const OF_TURNS: Signature = { params: [EXTERNREF, I32, I32], results: [I32] };

/** The program as compiled code, or the reason why there is none. */
export function compiledOf(kernel: Kernel, prog: number): CompiledProgram {
  const id = kernel.mem.u32[(prog + OBJ_ID) >>> 2]!;
  const known = kernel.compiled.get(id);
  if (known !== undefined) return known;
  const made = compile(kernel, prog);
  // What has no id is run once.
  if (id !== 0) kernel.compiled.set(id, made, (gone) => kernel.tailCalls?.forget(gone));
  return made;
}

function compile(kernel: Kernel, prog: number): CompiledProgram {
  const start = performance.now();
  const without = (reason: string | undefined): CompiledProgram => {
    return { why: reason, functions: new Map(), start: undefined, milliseconds: performance.now() - start, bytes: 0 };
  };
  const count = kernel.mem.u32[(prog + PROG_INSN_CNT) >>> 2]!;
  // Before it is read: that alone takes seconds of a million.
  if (count > MAX_INSNS) return without(`it has ${count} instructions, more than ${MAX_INSNS}`);
  const program = readProgram(kernel.mem, prog);
  if (typeof program === "string") return without(program);
  const args = argumentsRead(program);
  if (typeof args === "string") return without(args);
  const why = readsTheUnknown(program, args, (start) => isCallback(kernel.mem, prog, start));
  if (why !== undefined) return without(why);
  const proof = prove(kernel, prog, program);
  const calls = planCalls(kernel, prog, program, proof);
  const functions = new Map<number, CompiledFunction>();
  const caller: Caller = { kernel, prog, ops: program.ops, functions };
  const imports: WebAssembly.ModuleImports = {
    [MEMORY]: kernel.mem.wasm,
    [KERNEL]: new WebAssembly.Global({ value: "externref", mutable: false }, kernel),
    [CALLER]: new WebAssembly.Global({ value: "externref", mutable: false }, caller),
  };
  const own = new Set<OwnImport>();
  const entries = entriesOf(kernel, prog, program);
  const bytes = moduleOf(kernel, prog, program, args, proof, calls, entries, imports, own);
  const instance = instantiate(kernel, bytes, imports, own);
  if (typeof instance === "string") return without(instance);
  const { exports } = instance;
  for (const start of entries) functions.set(start, exports[start] as CompiledFunction);
  const id = kernel.mem.u32[(prog + OBJ_ID) >>> 2]!;
  const tail = exports[TAIL]!;
  if (id !== 0) tailCallsOf(kernel, enterTarget).set(id, tail);
  return { why: undefined, functions, start: tail, milliseconds: performance.now() - start, bytes: bytes.length };
}

/**
 * The instance, or why this JavaScript engine has none: a page that may not compile (CompileError), a module or function
 * beyond its limits (CompileError), a module that is too large for a browser's main thread (RangeError), no memory for the
 * machine code (RangeError).
 */
function instantiate(
  kernel: Kernel,
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.ModuleImports,
  own: ReadonlySet<OwnImport>,
): WebAssembly.Instance | string {
  try {
    for (const name of own) {
      imports[name] = name === TAIL_CALL_NAME ? tailCallsOf(kernel, enterTarget).call : runtimeOf(kernel)[name]!;
    }
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: imports });
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
    return `its ${bytes.length} bytes of WebAssembly are refused: ${error.message}`;
  }
}

/** Adds to the imports the helpers' functions that the module calls, and to `own` what else it does. */
function moduleOf(
  kernel: Kernel,
  prog: number,
  program: JitProgram,
  args: ArgumentsRead,
  proof: Facts,
  calls: readonly (CallPlan | undefined)[],
  entries: readonly number[],
  imports: WebAssembly.ModuleImports,
  own: Set<OwnImport>,
): Uint8Array<ArrayBuffer> {
  const { mem } = kernel;
  const module = new ModuleBuilder();
  const runtime = new Map<RuntimeName, number>();
  const helpers = new Map<Callable, number>();
  const global = module.importGlobal(KERNEL, EXTERNREF);
  const caller = module.importGlobal(CALLER, EXTERNREF);
  const turned = new Map<string, number>();
  let [goOn, tailCall]: (number | undefined)[] = [];
  const startsItself = beginsAlike(mem, prog, program);
  const given = program.functions.map(({ start }) =>
    start === 0 && startsItself ? 0 : argumentCount(args.get(start)!),
  );
  const functions = given.map((count) => module.declare(bpfFunction(count)));
  const goesOn = program.functions.map((func) => func.calls.some(({ index }) => calls[index]?.how === "tail"));
  const generated = new Map<string, number>();
  const unit: Program = {
    prog,
    program,
    mem,
    facts: proof,
    calls,
    callRuntime: (code, name) => {
      let func = runtime.get(name);
      if (func === undefined) {
        func = module.importFunction(name, runtimeSignature(name));
        runtime.set(name, func);
        own.add(name);
      }
      code.global(caller);
      code.call(func);
    },
    kernel: global,
    direct: (callable) => {
      let func = helpers.get(callable);
      if (func === undefined) {
        const name = `helper${helpers.size}`;
        func = module.importFunction(name, directSignature(callable));
        helpers.set(callable, func);
        imports[name] = callable.fn!;
      }
      return func;
    },
    functionOf: (turns, name) => {
      let func = turned.get(name);
      if (func === undefined) {
        func = module.importFunction(name, OF_TURNS);
        turned.set(name, func);
        imports[name] = turns.functions[name]!;
      }
      return func;
    },
    goOn: () => {
      if (goOn === undefined) {
        goOn = module.declare(GO_ON);
        module.define(goOn, goOnCode(unit));
      }
      return goOn;
    },
    tailCall: () => {
      tailCall ??= module.importFunction(TAIL_CALL_NAME, TAIL_CALL);
      own.add(TAIL_CALL_NAME);
      return tailCall;
    },
    functions,
    args: given,
    startsItself,
    goesOn,
    generated: (index) => {
      const call = calls[index]!;
      if (call.how !== "gen" && call.how !== "attempt") throw new Bug(`call ${index} is not generated`);
      const map = call.how === "attempt" ? 0 : call.map;
      const inner = call.how === "gen" && call.inner;
      const key = `${map}.${call.plan.callable.name}`;
      let func = generated.get(key);
      if (func === undefined) {
        const { callable } = call.plan;
        const known = map === 0 ? 1 : 2;
        const words =
          call.how === "attempt" ? 2 * callable.args.length : directSignature(callable).params.length - known;
        const params: ValueType[] = Array.from({ length: 1 + words + (inner ? 1 : 0) }, () => I32);
        func = module.declare({ params, results: [I32] });
        generated.set(key, func);
        const code = new Code(params.length);
        const args = Array.from({ length: words }, (_, i) => i + 1);
        const found = inner ? 1 + words : undefined;
        const place = { code, unit, map, found, args, callable, direct: () => unit.direct(callable) };
        push32(
          code,
          call.how === "attempt"
            ? call.attempt({ ...genCall(place), object: undefined })
            : call.gen.emit(genCall(place)),
        );
        module.define(func, code);
      }
      return func;
    },
  };
  program.functions.forEach((func, i) => {
    module.define(functions[i]!, emitFunction(unit, func, i));
  });
  for (const start of entries) {
    const entry = module.declare({ params: [I32, I32], results: [] });
    const place = program.functionAt.get(start)!;
    module.define(entry, entryCode(unit, place));
    module.exportFunction(String(start), entry);
  }
  let [tail] = functions;
  if (given[0]! > 0) {
    tail = module.declare(TAIL_ENTRY);
    module.define(tail, tailEntry(functions[0]!, given[0]!));
  }
  module.exportFunction(TAIL, tail!);
  return module.bytes(mem.sharedPages);
}

/** Of a helper's own function: the kernel, then one number an argument, of a u64 two. */
function directSignature({ args }: Callable): Signature {
  return {
    params: [EXTERNREF, ...args.flatMap((arg): ValueType[] => (arg === "u64" ? [I32, I32] : [I32]))],
    results: [I32],
  };
}

/** The program itself, and what helpers and timers may call: also where its address is taken in code that nothing reaches. */
function entriesOf({ mem }: Kernel, prog: number, { functions }: JitProgram): number[] {
  return functions.map(({ start }) => start).filter((start) => start === 0 || isCallback(mem, prog, start));
}

/** Whether the first function always has the registers that runs begin with. With what `execute` runs they are its own. */
function beginsAlike(mem: Memory, prog: number, program: JitProgram): boolean {
  const isProgram = mem.u32[(prog + PROG_TYPE) >>> 2] !== BPF_PROG_TYPE_UNSPEC;
  return isProgram && !isCalled(program, 0) && !isCallback(mem, prog, 0);
}

/** Up to the last that is read. */
function argumentCount(read: number): number {
  return read === 0 ? 0 : 31 - Math.clz32(read);
}

/** (run, fp): budget and r1 .. r5 come from the run record, what is left and r0 go there. */
function entryCode({ prog, functions, args, goesOn }: Program, place: number): Code {
  const code = new Code(2);
  const left = local64(code);
  const run = new Local32(code, RUN);
  code.get(RUN);
  code.get(RUN);
  code.get(FP);
  run.load64(RUN_BUDGET).push();
  for (let register = 1; register <= args[place]!; register++) run.load64(RUN_REGS + 8 * register).push();
  code.call(functions[place]!);
  code.set(left.index);
  code.memory(I64_STORE, RUN_REGS);
  run.store64(RUN_BUDGET, left);
  if (goesOn[place]!) run.store(RUN_CURRENT, prog);
  return code;
}
