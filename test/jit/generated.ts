/** What a map's type emits for a helper, as a function that can be called without a program around it. */
import { mapHelpers } from "../../src/helpers/map.ts";
import type { Helper } from "../../src/helpers/types.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { entryOfMap } from "../../src/kern/map.ts";
import { GRANULE } from "../../src/mem/layout.ts";
import { mapField } from "../../src/struct/map.ts";
import { BPF_FUNC_for_each_map_elem } from "../../src/uapi/index.ts";
import { Code, EXTERNREF, I32, type ValueType } from "../../src/wasm/code.ts";
import { Expr32, Local32, push32 } from "../../src/wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "../../src/wasm/module.ts";
import { I32_STORE } from "../../src/wasm/opcodes.ts";

/** The virtual CPU, then the helper's arguments behind the map; a u64 is two. */
export type Generated = (cpu: number, ...args: readonly number[]) => number;

/** Calls a function before each instruction that writes to memory. */
class WatchedCode extends Code {
  readonly #write: number;

  constructor(params: number, write: number) {
    super(params);
    this.#write = write;
  }

  override memory(opcode: number, offset?: number): void {
    if (opcode >= I32_STORE) this.call(this.#write);
    super.memory(opcode, offset);
  }

  override atomic(opcode: number, size: 4 | 8, offset?: number): void {
    this.call(this.#write);
    super.atomic(opcode, size, offset);
  }

  override bulk(opcode: number): void {
    this.call(this.#write);
    super.bulk(opcode);
  }
}

/** What is called meanwhile: where the helper's own function is called, and before each instruction that writes. */
interface Hooks {
  readonly helper?: () => void;
  readonly write?: () => void;
}

/** `map_for_each` as a helper: the walk's state, and where the key goes. */
const walk: Pick<Helper, "args" | "fn"> = {
  args: ["map", "u32", "u32"],
  fn: (kernel, map, state, key) =>
    entryOfMap(kernel, map! >>> 0).ops.map_for_each(kernel, map! >>> 0, state! >>> 0, key! >>> 0),
};

export function generated(kernel: Kernel, map: number, helper: number, hooks: Hooks = {}): Generated {
  const { mem } = kernel;
  const gen = entryOfMap(kernel, map).ops.map_gen(kernel, map, helper);
  if (gen === undefined) throw new Error(`nothing is generated for helper ${helper}`);
  const { args, fn } = helper === BPF_FUNC_for_each_map_elem ? walk : mapHelpers[helper]!;
  const params = args.slice(1).flatMap((arg): ValueType[] => (arg === "u64" ? [I32, I32] : [I32]));
  const module = new ModuleBuilder();
  const direct = module.importFunction("helper", { params: [EXTERNREF, I32, ...params], results: [I32] });
  const write = hooks.write && module.importFunction("write", { params: [], results: [] });
  const global = module.importGlobal("kernel", EXTERNREF);
  const func = module.declare({ params: [I32, ...params], results: [I32] });
  const code = write === undefined ? new Code(1 + params.length) : new WatchedCode(1 + params.length, write);
  const locals = params.map((_, i) => new Local32(code, i + 1));
  const result = gen.emit({
    code,
    mem,
    map,
    at: new Expr32(code, () => code.i32(map)),
    field: (offset) => mapField(mem, map, offset),
    holds: () => new Expr32(code, () => code.i32(0)),
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
    helper: (...args: Parameters<NonNullable<typeof fn>>) => {
      hooks.helper?.();
      return fn!(...args);
    },
    ...(hooks.write && { write: hooks.write }),
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: imports });
  return exports.run as Generated;
}
