/**
 * BPF_PROG_TEST_RUN of tracing programs: it calls the kernel's test functions, and what runs is what is attached to them,
 * whether the program of the command is among that or not. Kernel counterpart: net/bpf/test_run.c.
 */
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import { placeContext, placeMemory } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { type AttachedProg, attachedTo } from "../kern/link.ts";
import { PROG_ARG_COUNT, PROG_ATTACH_TYPE } from "../kern/prog.ts";
import { KERNEL_HIGH, RUN_REGS } from "../kern/run_record.ts";
import { type GivenMemory, NO_EVENTS, nowhere, type RunEvent } from "../kern/scene.ts";
import {
  BPF_MODIFY_RETURN,
  BPF_TRACE_FENTRY,
  BPF_TRACE_FEXIT,
  bpf_attr,
  EFAULT,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import { putU32 } from "./attr.ts";
import { runProgram, type TestRun, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
const WORD = 8;
/** On the stack of the kernel's test run: an int, a struct bpf_fentry_test_t, a u32. */
const STACK = 0xffff_c900_0001_3e00n;
const B_AT = STACK;
const STRUCT_AT = STACK + 16n;
const RETVAL_AT = STACK + 32n;

/** What the test functions' pointers lead to, as it is at each moment. */
interface Stack {
  readonly b: Int32Array;
  readonly struct: BigUint64Array;
  readonly retval: Uint32Array;
}

interface Call {
  readonly name: string;
  readonly args: readonly bigint[];
  /** What the function does: an int. */
  readonly run: (stack: Stack) => number;
}

function call(name: string, args: readonly (number | bigint)[], run: (stack: Stack) => number): Call {
  return { name, args: args.map(BigInt), run };
}

/** They add up what they are given; what they return is what the test run expects of them. */
const entryCalls: readonly Call[] = [
  call("bpf_fentry_test1", [1], () => 2),
  call("bpf_fentry_test2", [2, 3], () => 5),
  call("bpf_fentry_test3", [4, 5, 6], () => 15),
  call("bpf_fentry_test4", [7, 8, 9, 10], () => 34),
  call("bpf_fentry_test5", [11, 12, 13, 14, 15], () => 65),
  call("bpf_fentry_test6", [16, 17, 18, 19, 20, 21], () => 111),
  call("bpf_fentry_test7", [0], () => 0),
  call("bpf_fentry_test8", [STRUCT_AT], ({ struct }) => Number(BigInt.asIntN(32, struct[0]!))),
  call("bpf_fentry_test9", [RETVAL_AT], ({ retval }) => retval[0]!),
  call("bpf_fentry_test10", [0], () => 0),
];

/** They add 1 to what `b` leads to first. */
const modifyCalls: readonly Call[] = [
  call("bpf_modify_return_test", [1, B_AT], ({ b }) => 1 + ++b[0]!),
  call("bpf_modify_return_test2", [1, B_AT, 3, 4, 5, 6, 7], ({ b }) => 1 + ++b[0]! + 3 + 4 + 5 + 6 + 7),
];

/** One test run of tracing programs under way. */
interface Tracing {
  readonly kernel: Kernel;
  readonly stack: Stack;
  readonly events: RunEvent[];
  /** The first errno of a program. */
  bad: number;
}

/** As it was before anything ran, for each of the kernel's functions. */
const FIRST_B = 2;

export function testRunTracing(run: TestRun): number {
  const { kernel, prog, uattr } = run;
  if ([test.flags, test.cpu, test.batch_size].some((field) => testField(run, field) !== 0)) return -EINVAL;
  const stack: Stack = { b: Int32Array.of(FIRST_B), struct: new BigUint64Array(1), retval: new Uint32Array(1) };
  const tracing: Tracing = { kernel, stack, events: [], bad: 0 };
  const { scene } = kernel;
  scene.events = NO_EVENTS;
  try {
    const retval = callAll(tracing, kernel.mem.u32[(prog + PROG_ATTACH_TYPE) >>> 2]!);
    return retval < 0 ? retval : putU32(kernel, uattr + test.retval.offset, retval);
  } finally {
    scene.events = tracing.events;
    scene.attachment = nowhere();
    scene.placed = [];
  }
}

/** The result of the test run, or an errno: -EFAULT when a function did not return what it should. */
function callAll(tracing: Tracing, attachType: number): number {
  if (attachType === BPF_MODIFY_RETURN) return callModify(tracing);
  if (attachType !== BPF_TRACE_FENTRY && attachType !== BPF_TRACE_FEXIT) return -EFAULT;
  for (const each of entryCalls) {
    const untouched = each.run(tracing.stack);
    if (callFunction(tracing, each) !== untouched) return tracing.bad || -EFAULT;
  }
  return 0;
}

/** Low half: the sum of what both return; high half: how many of them have really run. */
function callModify(tracing: Tracing): number {
  const { b } = tracing.stack;
  let sum = 0;
  let sideEffects = 0;
  for (const each of modifyCalls) {
    b[0] = FIRST_B;
    sum += callFunction(tracing, each);
    if (tracing.bad !== 0) return tracing.bad;
    if (b[0] !== FIRST_B) sideEffects++;
  }
  return sideEffects * 0x1_0000 + (sum & 0xffff);
}

/** Calls a function with all that is attached to it. What it returns, or the first errno of a program. */
function callFunction(tracing: Tracing, each: Call): number {
  const { kernel, stack } = tracing;
  const target = kernelBtfOf(kernel).find(each.name, "func");
  if (target === undefined) return each.run(stack);
  runAttached(tracing, BPF_TRACE_FENTRY, target, each.args, 0n);
  const modified = runAttached(tracing, BPF_MODIFY_RETURN, target, each.args, 0n);
  if (tracing.bad !== 0) return tracing.bad;
  // A program that returned other than 0 stands for the function.
  const returned = modified !== 0n ? modified : BigInt.asUintN(32, BigInt(each.run(stack)));
  runAttached(tracing, BPF_TRACE_FEXIT, target, each.args, returned);
  return tracing.bad || Number(BigInt.asIntN(32, returned));
}

/** Runs programs of one attach type; of those that modify the result only as far as the first that does. The result. */
function runAttached(
  tracing: Tracing,
  attachType: number,
  target: number,
  args: readonly bigint[],
  returned: bigint,
): bigint {
  const { kernel } = tracing;
  const attached = attachedTo(kernel, target, attachType);
  let result = returned;
  try {
    for (const each of attached) {
      if (tracing.bad !== 0) break;
      const r0 = runOne(tracing, each, target, args, result);
      if (attachType === BPF_MODIFY_RETURN) result = r0;
      if (attachType === BPF_MODIFY_RETURN && r0 !== 0n) break;
    }
    return result;
  } finally {
    for (const { prog } of attached) kernel.put(prog);
  }
}

/** Runs one program, and gives its r0. */
function runOne(
  tracing: Tracing,
  { prog, cookie }: AttachedProg,
  target: number,
  args: readonly bigint[],
  returned: bigint,
): bigint {
  const { kernel, stack } = tracing;
  const { u32, u64 } = kernel.mem;
  const context = contextOf(u32[(prog + PROG_ARG_COUNT) >>> 2]!, args, returned);
  const ip = (BigInt(KERNEL_HIGH) << 32n) | BigInt(target);
  kernel.scene.attachment = { ...nowhere(), ip, cookie };
  let r0 = 0n;
  tracing.bad = runProgram(
    { kernel, prog, cpu: kernel.cpu, repeat: 1 },
    (run) => (placeMemory(kernel, run, memoryOf(stack)) && placeContext(kernel, run, context) ? 0 : -ENOMEM),
    (run) => {
      r0 = u64[(run + RUN_REGS) >>> 3]!;
      return 0;
    },
  );
  tracing.events.push(...kernel.scene.events);
  return r0;
}

/** The arguments as the program's type counts them, and behind them what was returned. */
function contextOf(count: number, args: readonly bigint[], returned: bigint): Uint8Array {
  const words = new BigUint64Array(count + 1);
  words.set(args.slice(0, count));
  words[count] = BigInt.asUintN(WORD * 8, returned);
  return new Uint8Array(words.buffer);
}

function memoryOf({ b, struct, retval }: Stack): readonly GivenMemory[] {
  const bytes = ({ buffer }: ArrayBufferView): Uint8Array => new Uint8Array(buffer);
  return [
    { address: B_AT, bytes: bytes(b) },
    { address: STRUCT_AT, bytes: bytes(struct) },
    { address: RETVAL_AT, bytes: bytes(retval) },
  ];
}
