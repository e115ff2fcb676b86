/** Lookups and updates of ARRAY and PERCPU_ARRAY in compiled programs. Kernel counterpart: array_map_gen_lookup. */
import { BPF_EXIST, BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem } from "../uapi/index.ts";
import { choose, type Expr32, type Local32, local32 } from "../wasm/expr.ts";
import { ARRAY_SPAN, ARRAY_STRIDE, ARRAY_VALUES } from "./array_ops.ts";
import { emitCopy } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { MAP_FIELDS, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Address of the element of an index that is one. */
function elementAt({ mem, map }: GenCall, index: Expr32): Expr32 {
  const stride = mapField(mem, map, ARRAY_STRIDE);
  const isPower = (stride & (stride - 1)) === 0;
  const offset = isPower ? index.shl(31 - Math.clz32(stride)) : index.mul(stride);
  return offset.add(mapField(mem, map, ARRAY_VALUES));
}

/** NULL where the index is none. */
function lookupWith(found: (call: GenCall, index: Expr32) => Expr32): MapGen {
  return {
    inline: true,
    emit: (call) => {
      const { mem, map, args } = call;
      const [index] = args as [Local32];
      index.set(index.load());
      return choose(
        index.ltU(mapField(mem, map, MAP_MAX_ENTRIES)),
        () => found(call, index),
        () => 0,
      );
    },
  };
}

const lookup: MapGen = lookupWith(elementAt);

const lookupPercpu: MapGen = lookupWith((call, index) =>
  elementAt(call, index).add(call.cpu.mul(mapField(call.mem, call.map, ARRAY_SPAN))),
);

/** In place, where the index is one and no flag asks for more; a value that lies in the array is the element itself. */
const update: MapGen = {
  inline: false,
  emit: (call) => {
    const { code, mem, map, args } = call;
    const [key, value, flags, flagsHigh] = args as readonly [Local32, Local32, Local32, Local32];
    const index = local32(code, key.load());
    const plain = flags.and(~BPF_EXIST).or(flagsHigh).eqz();
    return choose(
      plain.and(index.ltU(mapField(mem, map, MAP_MAX_ENTRIES))),
      () => {
        index.set(elementAt(call, index));
        emitCopy(index, value, mapField(mem, map, MAP_VALUE_SIZE));
        return 0;
      },
      () => call.helper,
    );
  },
};

export function genArray({ mem }: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup;
  // What special fields hold ends with an update.
  return helper === BPF_FUNC_map_update_elem && mapField(mem, map, MAP_FIELDS) === 0 ? update : undefined;
}

export function genPercpuArray(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? lookupPercpu : undefined;
}
