/**
 * Runs of this host's own beside BPF_PROG_TEST_RUN: for kinds of programs that the kernel cannot run so, and with what
 * is around a run (who, memory, stacks) given by the caller.
 */
import { isSkbFamily } from "../contexts/skb.ts";
import { type ContextFamily, contextOf } from "../contexts/table.ts";
import { seesResult } from "../helpers/attached.ts";
import { SKB_DATA, SKB_END, SKB_MAC, SKB_NETWORK, SKB_TAIL, setSkb } from "../helpers/skb_buffer.ts";
import { placeBytes, placeContext, placeMemory, takeMemoryBack } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_ARG_COUNT, PROG_TYPE } from "../kern/prog.ts";
import {
  HELD_READABLE,
  hold,
  RUN_CTX,
  RUN_DATA,
  RUN_DATA_END,
  RUN_META,
  RUN_PACKET_READ_ONLY,
} from "../kern/run_record.ts";
import { type Attachment, type GivenMemory, nobody, nowhere, type RunEvent, type Task } from "../kern/scene.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import { bpf_sock, E2BIG, EINVAL, ENOMEM, ENOTSUPP, EOPNOTSUPP } from "../uapi/index.ts";
import { runProgram } from "./prog_test_data.ts";
import { skbSetup } from "./run_skb.ts";

/** What a run gets. */
export interface ProgRun {
  /** The context as the program sees it; what it changes is in here afterwards. Pointers in it are filled in. */
  readonly ctx?: Uint8Array | undefined;
  /** In place of `ctx`, where the context is an array of u64. */
  readonly args?: readonly bigint[] | undefined;
  /**
   * The packet, for sk_skb a piece of a stream; or what pointers of the context lead to: message, socket option, packet.
   */
  readonly data?: Uint8Array | undefined;
  /** struct bpf_sock */
  readonly sock?: Uint8Array | undefined;
  readonly task?: Partial<Task> | undefined;
  readonly memory?: readonly GivenMemory[] | undefined;
  readonly attachment?: Partial<Attachment> | undefined;
  readonly cpu?: number | undefined;
}

export interface ProgResult {
  /** Low half of r0. */
  readonly retval: number;
  /** The data afterwards: programs may move its bounds. */
  readonly data: Uint8Array | undefined;
  readonly events: readonly RunEvent[];
  /** What bpf_set_retval left. */
  readonly syscallRetval: number;
  readonly duration: number;
}

/** How a run of one family is set up, and what is taken from it at its end. */
export interface Setup {
  /** 0 or an errno. */
  readonly prepare: (run: number) => number;
  /** Fills in the caller's context and gives the data, or an errno. */
  readonly finish: (run: number) => Uint8Array | number | undefined;
}

const NO_MEMORY: readonly GivenMemory[] = [];
const NO_BYTES = new Uint8Array(0);
const WORD = 8;
/** Contexts that may be larger are of any size. */
const STRUCT_MAX = 256;
/** Every address lies below. */
const NOWHERE = 0xffff_ffff;

/**
 * Runs the program once. An errno: -EBADF, -EINVAL for arguments that do not go with the program, -ENOTSUPP for XDP
 * programs and flow dissectors, -EFAULT and -ETIMEDOUT as in a test run.
 */
export function runProg(kernel: Kernel, fd: number, wanted: ProgRun): ProgResult | number {
  const prog = kernel.get(fd, OBJ_PROG);
  if (prog < 0) return prog;
  try {
    const { cpu = kernel.cpu } = wanted;
    const family = contextOf(kernel.mem.u32[(prog + PROG_TYPE) >>> 2]!);
    if (family === undefined) return -ENOTSUPP;
    if (!isSkbFamily(family) && family.pointers === undefined && family.kernelPointers !== true) return -ENOTSUPP;
    if (!(cpu < kernel.cpus)) return -EINVAL;
    const setup = isSkbFamily(family) ? skbSetup(kernel, family, wanted) : plainSetup(kernel, prog, family, wanted);
    return typeof setup === "number" ? setup : runIn(kernel, prog, setup, wanted, cpu);
  } finally {
    kernel.done(prog);
  }
}

function runIn(kernel: Kernel, prog: number, setup: Setup, wanted: ProgRun, cpu: number): ProgResult | number {
  const { scene } = kernel;
  const { task, attachment, memory = NO_MEMORY } = wanted;
  scene.task = task === undefined ? nobody : { ...nobody, ...task };
  scene.attachment = attachment === undefined ? nowhere() : { ...nowhere(), ...attachment };
  let result: ProgResult | undefined;
  try {
    const ret = runProgram(
      { kernel, prog, cpu, repeat: 1 },
      (run) => (placeMemory(kernel, run, memory) ? setup.prepare(run) : -ENOMEM),
      (run, retval, duration) => {
        const data = setup.finish(run);
        if (typeof data === "number") return data;
        takeMemoryBack(kernel, memory);
        result = { retval, data, events: scene.events, syscallRetval: scene.attachment.retval, duration };
        return 0;
      },
    );
    return result ?? ret;
  } finally {
    scene.placed = [];
    scene.task = nobody;
    scene.attachment = nowhere();
  }
}

/** Of the families whose context is plain memory. */
function plainSetup(kernel: Kernel, prog: number, family: ContextFamily, wanted: ProgRun): Setup | number {
  const ctx = contextOfRun(kernel, prog, family, wanted);
  if (typeof ctx === "number") return ctx;
  const { mem } = kernel;
  return {
    prepare: (run) => prepare(kernel, run, family, ctx, wanted),
    finish: (run) => {
      const at = mem.u32[(run + RUN_CTX) >>> 2]!;
      wanted.ctx?.set(mem.u8.subarray(at, at + wanted.ctx.length));
      const [start, end] = [mem.u32[(run + RUN_DATA) >>> 2]!, mem.u32[(run + RUN_DATA_END) >>> 2]!];
      return wanted.data === undefined ? undefined : kernel.copies.of(mem.u8.subarray(start, end));
    },
  };
}

/** What the context begins with, and its size. */
interface Context {
  readonly bytes: Uint8Array;
  readonly size: number;
}

/** Or an errno for what does not go with the program. */
function contextOfRun(kernel: Kernel, prog: number, family: ContextFamily, wanted: ProgRun): Context | number {
  const { u32 } = kernel.mem;
  const { ctx, args } = wanted;
  const { typedArgs = false } = family;
  const count = u32[(prog + PROG_ARG_COUNT) >>> 2]!;
  // Behind the arguments lies what the function has returned, or would.
  const returned = typedArgs && seesResult(u32, prog) ? 1 : 0;
  const least = typedArgs ? (count + returned) * WORD : 0;
  if (ctx !== undefined && args !== undefined) return -EINVAL;
  const bytes = ctx ?? (args === undefined ? NO_BYTES : new Uint8Array(BigUint64Array.from(args).buffer));
  if (bytes.length > family.size) return -E2BIG;
  // A context of one struct is there as a whole.
  return { bytes, size: Math.max(bytes.length, typedArgs || family.size > STRUCT_MAX ? least : family.size) };
}

/** Puts context, data and socket where the run finds them. 0 or an errno. */
function prepare(kernel: Kernel, run: number, family: ContextFamily, ctx: Context, wanted: ProgRun): number {
  const { mem } = kernel;
  const { u32 } = mem;
  const { data } = wanted;
  const { sock: sockAt, sockOptional = false, data: dataAt, dataWritable = false, skb = false } = family.pointers ?? {};
  if (data !== undefined && dataAt === undefined) return -EOPNOTSUPP;
  if (!placeContext(kernel, run, ctx.bytes, ctx.size)) return -ENOMEM;
  const at = u32[(run + RUN_CTX) >>> 2]!;
  const sock = sockAt === undefined ? 0 : placeSock(kernel, run, wanted.sock, sockOptional);
  if (sock < 0) return sock;
  if (sockAt !== undefined) putPointer(u32, at + sockAt, sock);
  if (dataAt === undefined) return 0;
  const block = placeBytes(kernel, run, data ?? NO_BYTES);
  if (block === 0) return -ENOMEM;
  const length = data?.length ?? 0;
  putPointer(u32, at + dataAt[0], block);
  putPointer(u32, at + dataAt[1], block + length);
  u32[(run + RUN_PACKET_READ_ONLY) >>> 2] = dataWritable ? 0 : 1;
  u32[(run + RUN_META) >>> 2] = block;
  u32[(run + RUN_DATA) >>> 2] = block;
  u32[(run + RUN_DATA_END) >>> 2] = block + length;
  if (skb) showHelpers(kernel, block, length);
  return 0;
}

/** The data as the packet of helpers that read an skb. The headers before it are not given: nothing lies there. */
function showHelpers(kernel: Kernel, data: number, length: number): void {
  setSkb(kernel, SKB_DATA, data);
  setSkb(kernel, SKB_TAIL, data + length);
  setSkb(kernel, SKB_END, data + length);
  setSkb(kernel, SKB_MAC, NOWHERE);
  setSkb(kernel, SKB_NETWORK, NOWHERE);
}

/** Where the socket lies, 0 for none, or an errno. */
function placeSock(kernel: Kernel, run: number, given: Uint8Array | undefined, optional: boolean): number {
  if (given === undefined && optional) return 0;
  const sock = new Uint8Array(bpf_sock.size);
  sock.set((given ?? sock).subarray(0, bpf_sock.size));
  const block = placeBytes(kernel, run, sock);
  return block !== 0 && hold(kernel.mem, run, HELD_READABLE, 0, block, sock.length) ? block : -ENOMEM;
}

function putPointer(u32: Uint32Array, at: number, address: number): void {
  u32[at >>> 2] = address;
  u32[(at + 4) >>> 2] = 0;
}
