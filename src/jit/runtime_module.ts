/**
 * What `runtime.ts` has for compiled code, as functions of WebAssembly that programs import: V8 makes code for each kind of
 * JavaScript function that a module imports, for every module anew, which takes it as long as to compile a small program.
 * One module a client imports them, and its functions hand on what they are given.
 */
import type { Kernel } from "../kern/kernel.ts";
import { Code, EXTERNREF, I32 } from "../wasm/code.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import { type RuntimeName, runtime } from "./runtime.ts";

const ONE: Signature = { params: [I32, EXTERNREF], results: [I32] };
const ACCESS: Signature = { params: [I32, I32, I32, EXTERNREF], results: [I32] };

/** Its arguments, and behind them the program's `Caller`. */
export function runtimeSignature(name: RuntimeName): Signature {
  return name === "access" ? ACCESS : ONE;
}

/** By `RuntimeName`; of each client, as all that is made from its memory. */
export function runtimeOf(kernel: Kernel): WebAssembly.Exports {
  kernel.runtime ??= new WebAssembly.Instance(new WebAssembly.Module(runtimeModule(kernel)), {
    [IMPORTS]: { ...runtime, [MEMORY]: kernel.mem.wasm },
  }).exports;
  return kernel.runtime;
}

function runtimeModule({ mem }: Kernel): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  for (const name of Object.keys(runtime) as RuntimeName[]) {
    const signature = runtimeSignature(name);
    const imported = module.importFunction(name, signature);
    const func = module.declare(signature);
    const code = new Code(signature.params.length);
    for (let local = 0; local < signature.params.length; local++) code.get(local);
    code.call(imported);
    module.define(func, code);
    module.exportFunction(name, func);
  }
  return module.bytes(mem.sharedPages);
}
