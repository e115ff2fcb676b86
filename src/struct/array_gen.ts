/** Lookups and updates of ARRAY and PERCPU_ARRAY in compiled programs. Kernel counterpart: array_map_gen_lookup. */
import { BPF_EXIST, BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem } from "../uapi/index.ts";
import { I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { ARRAY_SPAN, ARRAY_STRIDE, ARRAY_VALUES } from "./array_ops.ts";
import { emitCopy } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { MAP_FIELDS, MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from "./map.ts";

/** base + index * stride, where the index is one; else NULL. `more`: adds what else there is. */
function emitLookup(call: GenCall, more: () => void): void {
  const { code, mem, map, args } = call;
  const [key] = args;
  const { u32 } = mem;
  code.get(key!);
  code.memory(w.I32_LOAD);
  code.tee(key!);
  code.i32(u32[(map + MAP_MAX_ENTRIES) >>> 2]!);
  code.op(w.I32_LT_U);
  code.open(w.IF, I32);
  code.get(key!);
  emitPlace(call);
  more();
  code.op(w.ELSE);
  code.i32(0);
  code.end();
}

/** From an index on the stack to the address of its element. */
function emitPlace({ code, mem, map }: GenCall): void {
  const { u32 } = mem;
  const stride = u32[(map + ARRAY_STRIDE) >>> 2]!;
  if ((stride & (stride - 1)) === 0) {
    code.i32(31 - Math.clz32(stride));
    code.op(w.I32_SHL);
  } else {
    code.i32(stride);
    code.op(w.I32_MUL);
  }
  code.i32(u32[(map + ARRAY_VALUES) >>> 2]!);
  code.op(w.I32_ADD);
}

/** In place, where the index is one and no flag asks for more; a value that lies in the array is the element itself. */
const update: MapGen = {
  inline: false,
  emit: (call) => {
    const { code, mem, map, args } = call;
    const [key, value, flags, flagsHigh] = args as readonly [number, number, number, number];
    const { u32 } = mem;
    const index = code.local(I32);
    code.get(flags);
    code.i32(~BPF_EXIST);
    code.op(w.I32_AND);
    code.get(flagsHigh);
    code.op(w.I32_OR, w.I32_EQZ);
    code.get(key);
    code.memory(w.I32_LOAD);
    code.tee(index);
    code.i32(u32[(map + MAP_MAX_ENTRIES) >>> 2]!);
    code.op(w.I32_LT_U, w.I32_AND);
    code.open(w.IF, I32);
    code.get(index);
    emitPlace(call);
    code.set(index);
    emitCopy(code, index, value, u32[(map + MAP_VALUE_SIZE) >>> 2]!);
    code.i32(0);
    code.op(w.ELSE);
    call.callHelper();
    code.end();
  },
};

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

export function genArray({ mem }: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup;
  // What special fields hold ends with an update.
  return helper === BPF_FUNC_map_update_elem && mem.u32[(map + MAP_FIELDS) >>> 2] === 0 ? update : undefined;
}

export function genPercpuArray(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? lookupPercpu : undefined;
}
