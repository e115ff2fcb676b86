/** From a loaded program to functions that run it, once for each client. */
import { Bug } from "../errors.ts";
import type { Callable } from "../helpers/types.ts";
import type { CompiledFunction, CompiledProgram } from "../kern/compiled.ts";
import type { Kernel } from "../kern/kernel.ts";
import { isCallback, PROG_INSN_CNT } from "../kern/prog.ts";
import { RUN_REGS } from "../kern/run_record.ts";
import { OBJ_ID } from "../mem/layout.ts";
import { Code, EXTERNREF, I32, type ValueType } from "../wasm/code.ts";
import { push32 } from "../wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import { I64_LOAD, I64_STORE } from "../wasm/opcodes.ts";
import { type CallPlan, planCalls } from "./calls.ts";
import { genCall } from "./emit_call.ts";
import { emitFunction } from "./emit_function.ts";
import { BPF_FUNCTION, type Program, RUN } from "./emitter.ts";
import type { Facts } from "./facts.ts";
import { readsTheUnknown } from "./liveness.ts";
import { type JitProgram, readProgram } from "./program.ts";
import { prove } from "./prove/index.ts";
import { type RuntimeName, runtimeOf } from "./runtime.ts";

/** Larger programs take longer to compile than they would take to run. */
const MAX_INSNS = 100_000;
const KERNEL = "kernel";

/** V8 makes a wrapper for each signature that a module imports, which takes longer than a small program's own code. */
const ACCESS: Signature = { params: [I32, I32, I32], results: [I32] };
const RUNTIME: Signature = { params: [I32], results: [I32] };

/** The program as compiled code, or the reason why there is none. */
export function compiledOf(kernel: Kernel, prog: number): CompiledProgram {
  const id = kernel.mem.u32[(prog + OBJ_ID) >>> 2]!;
  const known = kernel.compiled.get(id);
  if (known !== undefined) return known;
  const made = compile(kernel, prog);
  // What has no id is run once.
  if (id !== 0) kernel.compiled.set(id, made);
  return made;
}

function compile(kernel: Kernel, prog: number): CompiledProgram {
  const start = performance.now();
  const without = (reason: string | undefined): CompiledProgram => {
    return { why: reason, functions: new Map(), milliseconds: performance.now() - start, bytes: 0 };
  };
  const count = kernel.mem.u32[(prog + PROG_INSN_CNT) >>> 2]!;
  // Before it is read: that alone takes seconds of a million.
  if (count > MAX_INSNS) return without(`it has ${count} instructions, more than ${MAX_INSNS}`);
  const program = readProgram(kernel.mem, prog);
  const why =
    typeof program === "string" ? program : readsTheUnknown(program, (start) => isCallback(kernel.mem, prog, start));
  if (typeof program === "string" || why !== undefined) return without(why);
  const proof = prove(kernel, prog, program);
  const calls = planCalls(kernel, prog, program, proof);
  const functions = new Map<number, CompiledFunction>();
  const imports: WebAssembly.ModuleImports = {
    ...runtimeOf(kernel, program, functions),
    [MEMORY]: kernel.mem.wasm,
    [KERNEL]: new WebAssembly.Global({ value: "externref", mutable: false }, kernel),
  };
  const bytes = moduleOf(kernel, prog, program, proof, calls, imports);
  const instance = instantiate(bytes, imports);
  if (typeof instance === "string") return without(instance);
  for (const [name, func] of Object.entries(instance.exports)) functions.set(Number(name), func as CompiledFunction);
  return { why: undefined, functions, milliseconds: performance.now() - start, bytes: bytes.length };
}

/**
 * The instance, or why this JavaScript engine has none: a page that may not compile (CompileError), a module or function
 * beyond its limits (CompileError), a module that is too large for a browser's main thread (RangeError), no memory for the
 * machine code (RangeError).
 */
function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.ModuleImports,
): WebAssembly.Instance | string {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: imports });
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
    return `its ${bytes.length} bytes of WebAssembly are refused: ${error.message}`;
  }
}

/** Adds to the imports the helpers' functions that the module calls. */
function moduleOf(
  kernel: Kernel,
  prog: number,
  program: JitProgram,
  proof: Facts,
  calls: readonly (CallPlan | undefined)[],
  imports: WebAssembly.ModuleImports,
): Uint8Array<ArrayBuffer> {
  const { mem } = kernel;
  const module = new ModuleBuilder();
  const runtime = new Map<RuntimeName, number>();
  const helpers = new Map<Callable, number>();
  const global = module.importGlobal(KERNEL, EXTERNREF);
  const functions = program.functions.map(() => module.declare(BPF_FUNCTION));
  const generated = new Map<string, number>();
  const unit: Program = {
    program,
    mem,
    facts: proof,
    calls,
    imported: (name) => {
      let func = runtime.get(name);
      if (func === undefined) {
        func = module.importFunction(name, name === "access" ? ACCESS : RUNTIME);
        runtime.set(name, func);
      }
      return func;
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
    functions,
    generated: (index) => {
      const call = calls[index]!;
      if (call.how !== "gen" && call.how !== "attempt") throw new Bug(`call ${index} is not generated`);
      const { map, inner } = call.how === "gen" ? call : { map: 0, inner: false };
      const key = `${map}.${call.plan.id}`;
      let func = generated.get(key);
      if (func === undefined) {
        const { callable } = call.plan;
        const words = call.how === "gen" ? directSignature(callable).params.length - 2 : 2 * callable.args.length;
        const params: ValueType[] = Array.from({ length: 1 + words + (inner ? 1 : 0) }, () => I32);
        func = module.declare({ params, results: [I32] });
        generated.set(key, func);
        const code = new Code(params.length);
        const args = Array.from({ length: words }, (_, i) => i + 1);
        const found = inner ? 1 + words : undefined;
        const place = { code, unit, map, found, args, direct: () => unit.direct(callable) };
        push32(code, call.how === "gen" ? call.gen.emit(genCall(place)) : call.attempt(genCall(place)));
        module.define(func, code);
      }
      return func;
    },
  };
  program.functions.forEach((func, i) => {
    module.define(functions[i]!, emitFunction(unit, func, i));
  });
  for (const start of entriesOf(kernel, prog, program)) {
    const entry = module.declare({ params: [I32, I32], results: [] });
    module.define(entry, entryCode(functions[program.functionAt.get(start)!]!));
    module.exportFunction(String(start), entry);
  }
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

/** (run, fp): r1 .. r5 come from the run record, r0 goes there. */
function entryCode(func: number): Code {
  const code = new Code(2);
  code.get(RUN);
  code.get(0);
  code.get(1);
  for (let register = 1; register <= 5; register++) {
    code.get(RUN);
    code.memory(I64_LOAD, RUN_REGS + 8 * register);
  }
  code.call(func);
  code.memory(I64_STORE, RUN_REGS);
  return code;
}
