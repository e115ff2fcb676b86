/** Lookups of ARRAY and PERCPU_ARRAY in compiled programs. Kernel counterpart: array_map_gen_lookup. */
import { BPF_FUNC_map_lookup_elem } from "../uapi/index.ts";
import { I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { ARRAY_SPAN, ARRAY_STRIDE, ARRAY_VALUES } from "./array_ops.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { MAP_MAX_ENTRIES } from "./map.ts";

/** base + index * stride, where the index is one; else NULL. `more`: adds what else there is. */
function emitLookup({ code, mem, map, args }: GenCall, more: () => void): void {
  const [key] = args;
  const { u32 } = mem;
  const stride = u32[(map + ARRAY_STRIDE) >>> 2]!;
  code.get(key!);
  code.memory(w.I32_LOAD);
  code.tee(key!);
  code.i32(u32[(map + MAP_MAX_ENTRIES) >>> 2]!);
  code.op(w.I32_LT_U);
  code.open(w.IF, I32);
  code.get(key!);
  if ((stride & (stride - 1)) === 0) {
    code.i32(31 - Math.clz32(stride));
    code.op(w.I32_SHL);
  } else {
    code.i32(stride);
    code.op(w.I32_MUL);
  }
  code.i32(u32[(map + ARRAY_VALUES) >>> 2]!);
  code.op(w.I32_ADD);
  more();
  code.op(w.ELSE);
  code.i32(0);
  code.end();
}

const lookup: MapGen = { inline: true, emit: (call) => emitLookup(call, () => {}) };

const lookupPercpu: MapGen = {
  inline: true,
  emit: (call) =>
    emitLookup(call, () => {
      const { code, mem, map } = call;
      call.cpu();
      code.i32(mem.u32[(map + ARRAY_SPAN) >>> 2]!);
      code.op(w.I32_MUL, w.I32_ADD);
    }),
};

export function genArray(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? lookup : undefined;
}

export function genPercpuArray(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? lookupPercpu : undefined;
}
