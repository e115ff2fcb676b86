/**
 * Sets of CPUs that programs make (bpf_cpumask). They are objects of the kernel's: programs read them, and only these
 * functions change them. Kernel counterpart: kernel/bpf/cpumask.c.
 */
import { KERNEL_CPUMASK } from "../btf/special_fields.ts";
import { FAULT_NO_OBJECT } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { SB_CPUMASKS, SB_OBJECTS_LOCK } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { dropObject } from "../struct/object_owner.ts";
import { freeObject, headOf, liveObjectAt, makePool, newObject, OBJECT_REFS, poolOf } from "../struct/objects.ts";
import {
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  EACCES,
} from "../uapi/index.ts";
import { disown, own, ownedEntry } from "./slots.ts";
import type { Kfunc } from "./types.ts";

const programs: readonly number[] = [
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_SYSCALL,
];

/** Bytes of a set: whole longs, of which the bits of CPUs that there are not stay 0. */
function bytesOf(cpus: number): number {
  return Math.ceil(cpus / 64) * 8;
}

/** All sets of the host come from one pool, which lives as long as the host. 0: out of memory. */
function poolOfMasks({ mem, cpus }: Kernel): number {
  const { u32 } = mem;
  const known = mem.atomics.load32(SB_CPUMASKS);
  if (known !== 0) return known;
  lock(mem, SB_OBJECTS_LOCK);
  let pool = u32[SB_CPUMASKS >>> 2]!;
  if (pool === 0) {
    const spec = { btf: 0, type: KERNEL_CPUMASK, size: bytesOf(cpus), cpus: 1, percpu: false, fields: undefined };
    pool = makePool(mem, spec, 0);
    mem.atomics.store32(SB_CPUMASKS, pool);
  }
  unlock(mem, SB_OBJECTS_LOCK);
  return pool;
}

/** The set at high:low; 0: none lives there, and the run has faulted at argument `arg`. */
function maskAt(kernel: Kernel, low: number, high: number, arg: number): number {
  const { mem } = kernel;
  const mask = high === 0 ? liveObjectAt(mem, low >>> 0) : 0;
  if (mask !== 0 && poolOf(mem, mask) === mem.u32[SB_CPUMASKS >>> 2]) return mask;
  faultHelper(kernel, FAULT_NO_OBJECT, low, high, arg);
  return 0;
}

/** NULL: out of memory. */
function create(kernel: Kernel): number {
  const { mem } = kernel;
  const pool = poolOfMasks(kernel);
  const mask = pool === 0 ? 0 : newObject(mem, pool);
  if (mask === 0 || own(kernel, mask)) return mask;
  freeObject(mem, mask);
  return 0;
}

function acquire(kernel: Kernel, low: number, high: number): number {
  const { mem } = kernel;
  const mask = maskAt(kernel, low, high, 1);
  if (mask === 0) return 0;
  mem.atomics.add32(headOf(mem, mask) + OBJECT_REFS, 1);
  if (own(kernel, mask)) return mask;
  dropObject(kernel, mask);
  return 0;
}

function release(kernel: Kernel, low: number, high: number): number {
  const mask = maskAt(kernel, low, high, 1);
  if (mask === 0 || ownedEntry(kernel, low, high, 1) === 0) return 0;
  disown(kernel, mask);
  dropObject(kernel, mask);
  return 0;
}

/** First CPU from `from` on whose bit is as `wanted` says in all of the masks; as many as there are: none. */
function find({ mem, cpus }: Kernel, wanted: number, a: number, b: number, from: number): number {
  for (let cpu = from; cpu < cpus; cpu++) if ((bit(mem, a, cpu) & bit(mem, b, cpu)) === wanted) return cpu;
  return cpus;
}

function bit({ u32 }: Memory, mask: number, cpu: number): number {
  return (u32[(mask >>> 2) + (cpu >>> 5)]! >>> (cpu & 31)) & 1;
}

/** Sets or clears the CPU's bit as the kernel does, in one piece; returns what it was. CPUs that there are not: 0. */
function change({ mem, cpus }: Kernel, mask: number, cpu: number, to: number): number {
  if (cpu >= cpus) return 0;
  const at = mask + (cpu >>> 5) * 4;
  const one = 1 << (cpu & 31);
  for (;;) {
    const before = mem.atomics.load32(at);
    const after = to === 1 ? before | one : before & ~one;
    if (after === before || mem.atomics.cas32(at, before, after) === before) return (before & one) === 0 ? 0 : 1;
  }
}

/** A CPU of both sets, another one each time as far as there are more; as many as there are: none. */
function any(kernel: Kernel, a: number, b: number): number {
  const start = kernel.random32() % kernel.cpus;
  const found = find(kernel, 1, a, b, start);
  return found < kernel.cpus ? found : find(kernel, 1, a, b, 0);
}

type Combine = (a: number, b: number) => number;
const and: Combine = (a, b) => a & b;
const or: Combine = (a, b) => a | b;
const xor: Combine = (a, b) => a ^ b;

/** Whether any bit is set in the words' combination. */
function some({ mem: { u32 }, cpus }: Kernel, a: number, b: number, combine: Combine): boolean {
  const end = bytesOf(cpus);
  for (let i = 0; i < end; i += 4) if (combine(u32[(a + i) >>> 2]!, u32[(b + i) >>> 2]!) !== 0) return true;
  return false;
}

function store({ mem: { u32 }, cpus }: Kernel, to: number, a: number, b: number, combine: Combine): void {
  const end = bytesOf(cpus);
  for (let i = 0; i < end; i += 4) u32[(to + i) >>> 2] = combine(u32[(a + i) >>> 2]!, u32[(b + i) >>> 2]!);
}

function setAll(kernel: Kernel, mask: number): number {
  for (let cpu = 0; cpu < kernel.cpus; cpu++) change(kernel, mask, cpu, 1);
  return 0;
}

function weight(kernel: Kernel, mask: number): number {
  let count = 0;
  for (let cpu = 0; cpu < kernel.cpus; cpu++) count += bit(kernel.mem, mask, cpu);
  return count;
}

/** Takes the bits of CPUs that there are from the program's memory, which has to be whole longs. */
function populate(kernel: Kernel, low: number, high: number, from: number, size: number): number {
  const mask = maskAt(kernel, low, high, 1);
  if (mask === 0) return 0;
  if (size >>> 0 < bytesOf(kernel.cpus)) return -EACCES;
  const { u8 } = kernel.mem;
  for (let cpu = 0; cpu < kernel.cpus; cpu++) {
    change(kernel, mask, cpu, (u8[(from >>> 0) + (cpu >>> 3)]! >>> (cpu & 7)) & 1);
  }
  return 0;
}

type One = (kernel: Kernel, mask: number) => number;
type Two = (kernel: Kernel, a: number, b: number) => number;

function one(name: string, since: string, result: Kfunc["result"], work: One): Kfunc {
  const fn: Kfunc["fn"] = (kernel, low, high) => {
    const mask = maskAt(kernel, low, high, 1);
    return mask === 0 ? 0 : work(kernel, mask);
  };
  return { name, since, programs, args: ["u64"], result, fn };
}

function two(name: string, since: string, result: Kfunc["result"], work: Two): Kfunc {
  const fn: Kfunc["fn"] = (kernel, a, aHigh, b, bHigh) => {
    const first = maskAt(kernel, a, aHigh, 1);
    const second = first === 0 ? 0 : maskAt(kernel, b, bHigh, 2);
    return second === 0 ? 0 : work(kernel, first, second);
  };
  return { name, since, programs, args: ["u64", "u64"], result, fn };
}

function combining(name: string, result: Kfunc["result"], combine: Combine): Kfunc {
  const fn: Kfunc["fn"] = (kernel, to, toHigh, a, aHigh, b, bHigh) => {
    const target = maskAt(kernel, to, toHigh, 1);
    const first = target === 0 ? 0 : maskAt(kernel, a, aHigh, 2);
    const second = first === 0 ? 0 : maskAt(kernel, b, bHigh, 3);
    if (second === 0) return 0;
    store(kernel, target, first, second, combine);
    return some(kernel, target, target, and) ? 1 : 0;
  };
  return { name, since: "6.3", programs, args: ["u64", "u64", "u64"], result, fn };
}

function ofCpu(
  name: string,
  result: Kfunc["result"],
  work: (kernel: Kernel, mask: number, cpu: number) => number,
): Kfunc {
  const fn: Kfunc["fn"] = (kernel, cpu, low, high) => {
    const mask = maskAt(kernel, low, high, 2);
    return mask === 0 ? 0 : work(kernel, mask, cpu >>> 0);
  };
  return { name, since: "6.3", programs, args: ["u32", "u64"], result, fn };
}

const set = (kernel: Kernel, mask: number, cpu: number): number => change(kernel, mask, cpu, 1);
const clear = (kernel: Kernel, mask: number, cpu: number): number => change(kernel, mask, cpu, 0);

export const cpumaskKfuncs: readonly Kfunc[] = [
  { name: "bpf_cpumask_create", since: "6.3", programs, args: [], result: "pointer", fn: create },
  { name: "bpf_cpumask_acquire", since: "6.3", programs, args: ["u64"], result: "pointer", fn: acquire },
  { name: "bpf_cpumask_release", since: "6.3", programs, args: ["u64"], result: "void", fn: release },
  one("bpf_cpumask_first", "6.3", "u32", (kernel, mask) => find(kernel, 1, mask, mask, 0)),
  one("bpf_cpumask_first_zero", "6.3", "u32", (kernel, mask) => find(kernel, 0, mask, mask, 0)),
  two("bpf_cpumask_first_and", "6.5", "u32", (kernel, a, b) => find(kernel, 1, a, b, 0)),
  ofCpu("bpf_cpumask_set_cpu", "void", set),
  ofCpu("bpf_cpumask_clear_cpu", "void", clear),
  ofCpu("bpf_cpumask_test_cpu", "u32", (kernel, mask, cpu) => (cpu < kernel.cpus ? bit(kernel.mem, mask, cpu) : 0)),
  ofCpu("bpf_cpumask_test_and_set_cpu", "u32", set),
  ofCpu("bpf_cpumask_test_and_clear_cpu", "u32", clear),
  one("bpf_cpumask_setall", "6.3", "void", setAll),
  one("bpf_cpumask_clear", "6.3", "void", (kernel, mask) => {
    store(kernel, mask, mask, mask, xor);
    return 0;
  }),
  combining("bpf_cpumask_and", "u32", and),
  combining("bpf_cpumask_or", "void", or),
  combining("bpf_cpumask_xor", "void", xor),
  two("bpf_cpumask_equal", "6.3", "u32", (kernel, a, b) => (some(kernel, a, b, xor) ? 0 : 1)),
  two("bpf_cpumask_intersects", "6.3", "u32", (kernel, a, b) => (some(kernel, a, b, and) ? 1 : 0)),
  two("bpf_cpumask_subset", "6.3", "u32", (kernel, a, b) => (some(kernel, a, b, (x, y) => x & ~y) ? 0 : 1)),
  one("bpf_cpumask_empty", "6.3", "u32", (kernel, mask) => (some(kernel, mask, mask, and) ? 0 : 1)),
  one("bpf_cpumask_full", "6.3", "u32", (kernel, mask) => (find(kernel, 0, mask, mask, 0) < kernel.cpus ? 0 : 1)),
  two("bpf_cpumask_copy", "6.3", "void", (kernel, to, from) => {
    store(kernel, to, from, from, and);
    return 0;
  }),
  one("bpf_cpumask_any_distribute", "6.5", "u32", (kernel, mask) => any(kernel, mask, mask)),
  two("bpf_cpumask_any_and_distribute", "6.5", "u32", any),
  one("bpf_cpumask_weight", "6.8", "u32", weight),
  {
    name: "bpf_cpumask_populate",
    since: "6.15",
    programs,
    args: ["u64", "mem", "sizeOrZero"],
    result: "errno",
    fn: populate,
  },
];
