/** What a map's type emits for a helper, as a function that can be called without a program around it. */
import { mapHelpers } from "../../src/helpers/map.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { entryOfMap } from "../../src/kern/map.ts";
import { GRANULE } from "../../src/mem/layout.ts";
import { Code, EXTERNREF, I32, type ValueType } from "../../src/wasm/code.ts";
import { Expr32, Local32, push32 } from "../../src/wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "../../src/wasm/module.ts";

/** The virtual CPU, then the helper's arguments behind the map; a u64 is two. */
export type Generated = (cpu: number, ...args: readonly number[]) => number;

export function generated(kernel: Kernel, map: number, helper: number): Generated {
  const { mem } = kernel;
  const gen = entryOfMap(kernel, map).ops.map_gen(kernel, map, helper);
  if (gen === undefined) throw new Error(`nothing is generated for helper ${helper}`);
  const { args, fn } = mapHelpers[helper]!;
  const params = args.slice(1).flatMap((arg): ValueType[] => (arg === "u64" ? [I32, I32] : [I32]));
  const module = new ModuleBuilder();
  const direct = module.importFunction("helper", { params: [EXTERNREF, I32, ...params], results: [I32] });
  const global = module.importGlobal("kernel", EXTERNREF);
  const func = module.declare({ params: [I32, ...params], results: [I32] });
  const code = new Code(1 + params.length);
  const locals = params.map((_, i) => new Local32(code, i + 1));
  const result = gen.emit({
    code,
    mem,
    map,
    args: locals,
    cpu: new Local32(code, 0),
    helper: new Expr32(code, () => {
      code.global(global);
      code.i32(map);
      for (const local of locals) local.push();
      code.call(direct);
    }),
  });
  push32(code, result);
  module.define(func, code);
  module.exportFunction("run", func);
  const bytes = module.bytes(mem.shared ? mem.byteLength / GRANULE : undefined);
  const imports = {
    [MEMORY]: mem.wasm,
    kernel: new WebAssembly.Global({ value: "externref", mutable: false }, kernel),
    helper: fn!,
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: imports });
  return exports.run as Generated;
}
