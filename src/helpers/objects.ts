/** Kernel functions that allocate objects of the program's structs, and share and drop them. */
import { FIELD_REFCOUNT } from "../btf/special_fields.ts";
import { poolOfStruct } from "../kern/btf.ts";
import { FAULT_NO_OBJECT } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_BTF } from "../kern/prog.ts";
import { faultHelper } from "../kern/reach.ts";
import { RUN_CURRENT } from "../kern/run_record.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { R_MASK } from "../struct/fields.ts";
import { dropObject } from "../struct/object_owner.ts";
import {
  freeObject,
  headOf,
  isLive,
  liveObjectAt,
  newObject,
  OBJECT_REFS,
  objectArea,
  objectAround,
  POOL_BTF,
  POOL_PERCPU,
  POOL_RECORD,
  POOL_STRUCT_SIZE,
  poolOf,
} from "../struct/objects.ts";
import { BPF_FUNC_per_cpu_ptr, BPF_FUNC_this_cpu_ptr } from "../uapi/index.ts";
import { disown, own, ownedEntry } from "./slots.ts";
import type { Helper, Kfunc } from "./types.ts";

function programBtf({ mem, run }: Kernel): number {
  return mem.u32[(mem.u32[(run + RUN_CURRENT) >>> 2]! + PROG_BTF) >>> 2]!;
}

/** The struct is named by its id in the program's BTF. NULL: out of memory. */
function allocate(percpu: boolean): NonNullable<Kfunc["fn"]> {
  return (kernel, type, typeHigh) => {
    const { mem } = kernel;
    const btf = programBtf(kernel);
    const pool = btf === 0 || typeHigh !== 0 ? 0 : poolOfStruct(kernel, btf, type >>> 0, percpu);
    if (pool === 0) {
      faultHelper(kernel, FAULT_NO_OBJECT, type, typeHigh, 1);
      return 0;
    }
    const object = newObject(mem, pool);
    if (object === 0) return 0;
    kernel.hold(btf);
    if (own(kernel, object)) return object;
    freeObject(mem, object);
    kernel.put(btf);
    return 0;
  };
}

function drop(percpu: boolean): NonNullable<Kfunc["fn"]> {
  return (kernel, low, high) => {
    if (ownedEntry(kernel, low, high, 1) === 0) return 0;
    const { mem } = kernel;
    const object = low >>> 0;
    if ((mem.u32[(poolOf(mem, object) + POOL_PERCPU) >>> 2] === 1) !== percpu) {
      faultHelper(kernel, FAULT_NO_OBJECT, low, high, 1);
      return 0;
    }
    disown(kernel, object);
    dropObject(kernel, object);
    return 0;
  };
}

/** One reference more to an object that counts them, owned or not. NULL: it is gone already. */
function acquire(kernel: Kernel, low: number, high: number): number {
  const { mem } = kernel;
  const { u32 } = mem;
  const object = low >>> 0;
  const area = high === 0 ? objectArea(mem, object) : 0;
  const pool = area === 0 || objectAround(mem, area, object) !== object ? 0 : poolOf(mem, object);
  const record =
    pool === 0 || u32[(pool + POOL_BTF) >>> 2] !== programBtf(kernel) ? 0 : u32[(pool + POOL_RECORD) >>> 2]!;
  if (record === 0 || (u32[(record + R_MASK) >>> 2]! & FIELD_REFCOUNT) === 0) {
    faultHelper(kernel, FAULT_NO_OBJECT, low, high, 1);
    return 0;
  }
  if (!isLive(mem, object) || !countUp(mem, headOf(mem, object) + OBJECT_REFS)) return 0;
  if (own(kernel, object)) return object;
  dropObject(kernel, object);
  return 0;
}

/** False: the count is 0 and stays so. */
function countUp({ atomics }: Memory, at: number): boolean {
  for (;;) {
    const count = atomics.load32(at);
    if (count === 0) return false;
    if (atomics.cas32(at, count, count + 1) === count) return true;
  }
}

/** Where one CPU's copy lies of an object that has one for each. */
function copyOf(kernel: Kernel, low: number, high: number, cpu: number): number {
  const { mem } = kernel;
  const object = high === 0 ? liveObjectAt(mem, low >>> 0) : 0;
  const pool = object === 0 ? 0 : poolOf(mem, object);
  const own = pool !== 0 && mem.u32[(pool + POOL_BTF) >>> 2] === programBtf(kernel);
  if (!own || mem.u32[(pool + POOL_PERCPU) >>> 2] === 0) {
    faultHelper(kernel, FAULT_NO_OBJECT, low, high, 1);
    return 0;
  }
  return cpu >= kernel.cpus ? 0 : object + cpu * rup8(mem.u32[(pool + POOL_STRUCT_SIZE) >>> 2]!);
}

function object(
  name: string,
  since: string,
  result: Kfunc["result"],
  args: Kfunc["args"],
  fn: NonNullable<Kfunc["fn"]>,
): Kfunc {
  return { name, since, args, result, fn };
}

export const objectKfuncs: readonly Kfunc[] = [
  object("bpf_obj_new_impl", "6.2", "pointer", ["u64", "u64"], allocate(false)),
  object("bpf_obj_drop_impl", "6.2", "void", ["u64", "u64"], drop(false)),
  object("bpf_refcount_acquire_impl", "6.4", "pointer", ["u64", "u64"], acquire),
  object("bpf_percpu_obj_new_impl", "6.6", "pointer", ["u64", "u64"], allocate(true)),
  object("bpf_percpu_obj_drop_impl", "6.6", "void", ["u64", "u64"], drop(true)),
];

/** For objects with a copy for each CPU; variables of the kernel that have one are none here. */
export const perCpuHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_per_cpu_ptr]: {
    name: "bpf_per_cpu_ptr",
    since: "5.10",
    gplOnly: false,
    args: ["u64", "u32"],
    result: "pointer",
    fn: (kernel, low, high, cpu) => copyOf(kernel, low, high, cpu >>> 0),
  },
  [BPF_FUNC_this_cpu_ptr]: {
    name: "bpf_this_cpu_ptr",
    since: "5.10",
    gplOnly: false,
    args: ["u64"],
    result: "pointer",
    fn: (kernel, low, high) => copyOf(kernel, low, high, kernel.cpu),
  },
};
