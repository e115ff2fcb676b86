/** Lookups and updates of ARRAY and PERCPU_ARRAY in compiled programs. Kernel counterpart: array_map_gen_lookup. */
import { rup8 } from "../mem/layout.ts";
import {
  BPF_EXIST,
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  ENOENT,
} from "../uapi/index.ts";
import { choose, type Expr32, type Local32, local32 } from "../wasm/expr.ts";
import { ARRAY_SPAN, ARRAY_VALUES } from "./array_ops.ts";
import { emitCopy, emitCopyCpus, MAX_CPUS } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { ElementCall, ElementGen, GenCall, MapGen } from "./gen.ts";
import { MAP_FIELDS, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Address of the element of an index that is one. */
function elementAt({ mem, map, field }: ElementCall, index: Expr32): Expr32 {
  const stride = rup8(mapField(mem, map, MAP_VALUE_SIZE));
  const isPower = (stride & (stride - 1)) === 0;
  const offset = isPower ? index.shl(31 - Math.clz32(stride)) : index.mul(stride);
  return offset.add(field(ARRAY_VALUES));
}

/** Address of an element on a CPU. */
function elementOf(call: GenCall, index: Expr32, cpu: Expr32): Expr32 {
  return elementAt(call, index).add(cpu.mul(call.field(ARRAY_SPAN)));
}

/** Where an operation finds the element: `elementAt`, or on which CPU. */
type Place = (call: GenCall, index: Expr32) => Expr32;

const ownElement: Place = (call, index) => elementOf(call, index, call.cpu);

/** NULL where the index is none. */
function lookupWith(found: Place): MapGen {
  return {
    inline: true,
    emit: (call) => {
      const [index] = call.args as [Local32];
      index.set(index.load());
      return choose(
        index.ltU(call.field(MAP_MAX_ENTRIES)),
        () => found(call, index),
        () => 0,
      );
    },
  };
}

/** bpf_map_lookup_percpu_elem. */
function lookupOf(cpus: number): MapGen {
  return lookupWith((call, index) => {
    const cpu = call.args[1]!;
    return choose(
      cpu.ltU(cpus),
      () => elementOf(call, index, cpu),
      () => 0,
    );
  });
}

/** In place, where the index is one and no flag asks for more; a value that lies in the array is the element itself. */
function emitUpdate<Call extends ElementCall>(call: Call, element: (call: Call, index: Expr32) => Expr32): Expr32 {
  const { code, mem, map, args } = call;
  const [key, value, flags, flagsHigh] = args as readonly [Local32, Local32, Local32, Local32];
  const index = local32(code, key.load());
  const plain = flags.and(~BPF_EXIST).or(flagsHigh).eqz();
  return choose(
    plain.and(index.ltU(call.field(MAP_MAX_ENTRIES))),
    () => {
      index.set(element(call, index));
      emitCopy(index, value, mapField(mem, map, MAP_VALUE_SIZE));
      return 0;
    },
    () => call.helper,
  );
}

function updateOf(element: Place): MapGen {
  return { inline: false, emit: (call) => emitUpdate(call, element) };
}

/** A lookup from user space: `copy` brings the element out. */
function emitCopyOut(call: ElementCall, copy: (to: Local32, from: Local32) => void): Expr32 {
  const [key, value] = call.args as readonly [Local32, Local32];
  const index = local32(call.code, key.load());
  return choose(
    index.ltU(call.field(MAP_MAX_ENTRIES)),
    () => {
      index.set(elementAt(call, index));
      copy(value, index);
      return 0;
    },
    () => -ENOENT,
  );
}

/** A lookup in PERCPU_ARRAY: what `copyPercpuArray` does. */
export function genPercpuArrayElement({ cpus }: MapEnv, cmd: number): ElementGen | undefined {
  if (cmd !== BPF_MAP_LOOKUP_ELEM || cpus > MAX_CPUS) return undefined;
  return (call) =>
    emitCopyOut(call, (to, from) => {
      const size = rup8(mapField(call.mem, call.map, MAP_VALUE_SIZE));
      emitCopyCpus(to, from, size, call.field(ARRAY_SPAN), cpus);
    });
}

/** Commands on elements of ARRAY: nothing is deleted. */
export function genArrayElement(_env: MapEnv, cmd: number): ElementGen | undefined {
  if (cmd === BPF_MAP_LOOKUP_ELEM) {
    return (call) => emitCopyOut(call, (to, from) => emitCopy(to, from, mapField(call.mem, call.map, MAP_VALUE_SIZE)));
  }
  return cmd === BPF_MAP_UPDATE_ELEM ? (call) => emitUpdate(call, elementAt) : undefined;
}

/** The element of the index in the walk's state, which is copied to the key: see `walkArray`. */
function walkWith(found: Place): MapGen {
  return {
    inline: true,
    emit: (call) => {
      const [state, key] = call.args as [Local32, Local32];
      const index = local32(call.code, state.load());
      return choose(
        index.ltU(call.field(MAP_MAX_ENTRIES)),
        () => {
          state.store(0, index.add(1));
          key.store(0, index);
          return found(call, index);
        },
        () => 0,
      );
    },
  };
}

const walk: MapGen = walkWith(elementAt);
const walkOwn: MapGen = walkWith(ownElement);
const lookup: MapGen = lookupWith(elementAt);
const lookupOwn: MapGen = lookupWith(ownElement);
const update: MapGen = updateOf(elementAt);
const updateOwn: MapGen = updateOf(ownElement);

/** What special fields hold ends with an update. */
function isPlain({ mem }: MapEnv, map: number): boolean {
  return mapField(mem, map, MAP_FIELDS) === 0;
}

/** Also of maps that are found at run time: all that differs between two of one template is asked of the map. */
export function genArray(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup;
  if (helper === BPF_FUNC_for_each_map_elem) return walk;
  return helper === BPF_FUNC_map_update_elem && isPlain(env, map) ? update : undefined;
}

export function genPercpuArray(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookupOwn;
  if (helper === BPF_FUNC_for_each_map_elem) return walkOwn;
  if (helper === BPF_FUNC_map_lookup_percpu_elem) return lookupOf(env.cpus);
  return helper === BPF_FUNC_map_update_elem && isPlain(env, map) ? updateOwn : undefined;
}
