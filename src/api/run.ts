/** BPF_PROG_TEST_RUN: one program's attributes and buffers, kept from run to run. */
import { InputError } from "../errors.ts";
import type { Host, UserBuffer } from "../host/host.ts";
import type { RunEvent } from "../kern/scene.ts";
import {
  BPF_PROG_TEST_RUN,
  bpf_attr,
  E2BIG,
  EFAULT,
  EINVAL,
  ENOSPC,
  ENOTSUPP,
  EOPNOTSUPP,
  ETIMEDOUT,
} from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { type RanOn, ranOn } from "./engine.ts";
import { BpfError, RunFault } from "./error.ts";
import type { Observer } from "./observe/observer.ts";
import { argumentBytes, requireTestRun, runOwn, type Surroundings, wantsOwnRun } from "./own_run.ts";
import { progTypeName, type RunTraits, runTraits } from "./prog_types.ts";

/** What a run gets. */
export interface RunOptions extends Surroundings {
  /**
   * The packet, from its Ethernet header on: at least 14 bytes. Only for types that run on one. For sk_skb: bytes of the
   * stream, any number. For types whose context has other data: the message (sk_msg), the option's value (cgroup_sockopt), the packet (sock_ops, sk_reuseport).
   */
  readonly data?: Uint8Array;
  /** The context as bytes: `struct xdp_md`, `struct __sk_buff`, or whatever the type has. */
  readonly ctx?: Uint8Array;
  /**
   * In place of `ctx`, for types whose context is an array of u64: the arguments of what the program is attached to
   * (raw_tracepoint, tracing, lsm, struct_ops). Behind them, for fexit and fmod_ret, what the function returned.
   */
  readonly args?: readonly (number | bigint)[];
  /** How often; the result's duration, which is there with this option only, is the mean. */
  readonly repeat?: number;
  /**
   * The CPU to run on: with the flag BPF_F_TEST_RUN_ON_CPU, and where the type allows it; on embedded hosts for all types
   * that have no BPF_PROG_TEST_RUN too.
   */
  readonly cpu?: number;
  /** BPF_F_TEST_*. */
  readonly flags?: number;
  /** Is told of this run, as by `host.observe`: a `Trace`, `Coverage`, a `Profile`. Only on embedded hosts. */
  readonly observe?: Observer;
}

/** What a run leaves. */
export interface RunResult extends RanOn {
  /** What the program returned, 0 to 2^32 - 1. */
  readonly retval: number;
  /**
   * The packet afterwards; undefined for a run without one. The bytes are this result's own, but like a small Buffer's their
   * `buffer` may have others beside them: mind `byteOffset` where a view is made of it.
   */
  readonly data: Uint8Array | undefined;
  /** The context afterwards; undefined for a run without one, or when the type does not give it back. */
  readonly ctx: Uint8Array | undefined;
  /** Nanoseconds of one run, where `repeat` was given (1 will do): to read a clock takes longer than many a program. */
  readonly duration: number | undefined;
  /** What the program did to the outside, on embedded hosts: what it printed, sent, redirected; the first 10,000 of it. */
  readonly events: readonly RunEvent[];
  /** What the system call returns that the program decides about (bpf_set_retval); undefined for other runs. */
  readonly syscallRetval: number | undefined;
}

/** No options. */
export const NOTHING: RunOptions = Object.freeze({});

const { test } = bpf_attr;
const ATTR_SIZE = test.batch_size.offset + test.batch_size.size;
const ATTR_ROOM = Math.ceil(ATTR_SIZE / 16) * 16;
/** By how much a program can make a packet longer, amply: a run is not made twice to find out. */
const GROWTH = 16 * 1024;
/** Bytes of the pages that buffers are made of; contexts beyond this are refused by the kernel as well. */
const BUFFER_MIN = 2048;

export interface RunTarget {
  readonly fd: number;
  readonly type: number;
  readonly title: string;
}

/** Addresses and views into one block of user memory. */
interface Buffers {
  readonly block: UserBuffer;
  readonly attr: DataView;
  readonly data: number;
  readonly dataRoom: number;
  readonly ctxRoom: number;
}

export class Runner {
  readonly #context: HostContext;
  readonly #target: RunTarget;
  #buffers: Buffers | undefined;
  /** Undefined: the host has none. */
  readonly #plain: ReturnType<NonNullable<Host["plainRun"]>> | undefined;

  constructor(context: HostContext, target: RunTarget) {
    this.#context = context;
    this.#target = target;
    this.#plain = context.seam.plainRun?.(target.fd);
  }

  /** `stderr` reads what the host said about the run. */
  run(options: RunOptions, stderr: () => string): RunResult {
    if (this.#plain !== undefined && isPlain(options)) {
      const result = this.#plain(options.data);
      if (typeof result === "number") throw this.failure(-result, options, undefined, stderr);
      if (result !== undefined) return result;
    }
    const { seam } = this.#context;
    const { fd, type, title } = this.#target;
    if (seam.runProg !== undefined && wantsOwnRun(options, type)) {
      requireArguments(options, type, title);
      const result = runOwn(seam, fd, options);
      if (typeof result === "number") throw this.failure(-result, options, undefined, stderr);
      return result;
    }
    return this.testRun(options, stderr);
  }

  /** BPF_PROG_TEST_RUN, whatever it is for this type. */
  testRun(options: RunOptions, stderr: () => string): RunResult {
    const { seam } = this.#context;
    const { fd, type, title } = this.#target;
    requireArguments(options, type, title);
    requireTestRun(options, title);
    const { data, repeat = 0, cpu = 0, flags = 0 } = options;
    const ctx = options.args === undefined ? options.ctx : argumentBytes(options.args);
    const buffers = this.#room(data?.length ?? 0, ctx?.length ?? 0);
    const { block, attr, data: dataAt, dataRoom, ctxRoom } = buffers;
    const { bytes } = block;
    // Addresses of user space are below 2^48.
    const address = Number(block.address);
    // Behind the attributes: packet in, packet out, context in, context out.
    const outAt = dataAt + dataRoom;
    const ctxAt = outAt + dataRoom + GROWTH;
    const ctxOutAt = ctxAt + ctxRoom;
    const ctxTo = runTraits(type).contextResult;
    for (let i = 0; i < ATTR_ROOM; i += 4) attr.setUint32(i, 0, true);
    attr.setUint32(test.prog_fd.offset, fd, true);
    attr.setUint32(test.repeat.offset, integer("repeat", repeat), true);
    attr.setUint32(test.cpu.offset, integer("cpu", cpu), true);
    attr.setUint32(test.flags.offset, integer("flags", flags), true);
    if (data !== undefined) {
      bytes.set(data, dataAt);
      attr.setUint32(test.data_size_in.offset, data.length, true);
      putPointer(attr, test.data_in.offset, address, dataAt);
      attr.setUint32(test.data_size_out.offset, dataRoom + GROWTH, true);
      putPointer(attr, test.data_out.offset, address, outAt);
    }
    if (ctx !== undefined) {
      bytes.set(ctx, ctxAt);
      attr.setUint32(test.ctx_size_in.offset, ctx.length, true);
      putPointer(attr, test.ctx_in.offset, address, ctxAt);
      if (ctxTo === "out") {
        attr.setUint32(test.ctx_size_out.offset, ctxRoom, true);
        putPointer(attr, test.ctx_out.offset, address, ctxOutAt);
      }
    }
    const result = seam.bpf(BPF_PROG_TEST_RUN, address, ATTR_SIZE);
    if (result < 0) throw this.failure(-result, options, attr, stderr);
    const size = attr.getUint32(test.data_size_out.offset, true);
    const { engine, whyInterpreted } = ranOn(seam);
    return {
      retval: attr.getUint32(test.retval.offset, true),
      data: data === undefined ? undefined : this.#context.copies.of(bytes.subarray(outAt, outAt + size)),
      ctx: ctx === undefined ? undefined : this.#contextAfter(buffers, ctxTo, ctx.length, ctxAt, ctxOutAt),
      duration: options.repeat === undefined ? undefined : attr.getUint32(test.duration.offset, true),
      events: seam.runEvents?.() ?? [],
      syscallRetval: undefined,
      engine,
      whyInterpreted,
    };
  }

  #contextAfter(
    { block, attr }: Buffers,
    ctxTo: RunTraits["contextResult"],
    size: number,
    ctxAt: number,
    ctxOutAt: number,
  ): Uint8Array | undefined {
    if (ctxTo === "none") return undefined;
    if (ctxTo === "in place") return block.bytes.slice(ctxAt, ctxAt + size);
    return block.bytes.slice(ctxOutAt, ctxOutAt + attr.getUint32(test.ctx_size_out.offset, true));
  }

  #room(data: number, ctx: number): Buffers {
    const old = this.#buffers;
    if (old !== undefined && data <= old.dataRoom && ctx <= old.ctxRoom) return old;
    const dataRoom = roomFor(Math.max(data, old?.dataRoom ?? 0));
    const ctxRoom = roomFor(Math.max(ctx, old?.ctxRoom ?? 0));
    const block = this.#context.alloc(ATTR_ROOM + 2 * dataRoom + GROWTH + 2 * ctxRoom);
    old?.block.free();
    const attr = new DataView(block.bytes.buffer, block.bytes.byteOffset, ATTR_ROOM);
    this.#buffers = { block, attr, data: ATTR_ROOM, dataRoom, ctxRoom };
    return this.#buffers;
  }

  /** What a run failed with; `events`: what it had done to the outside. */
  failure(
    errno: number,
    options: RunOptions,
    attr: DataView | undefined,
    stderr: () => string,
    events: readonly RunEvent[] = this.#context.seam.runEvents?.() ?? [],
  ): BpfError {
    const { title, type } = this.#target;
    const parts = { errno, cmd: BPF_PROG_TEST_RUN };
    const { seam } = this.#context;
    const stopped = errno === EFAULT || errno === ETIMEDOUT ? seam.runStopped?.() : undefined;
    if (stopped !== undefined) {
      const what = errno === EFAULT ? `${title} did what it must not do` : `${title} ran too long`;
      const log = stderr().trimEnd();
      return new RunFault({
        ...parts,
        what,
        log,
        summary: log.split("\n"),
        events,
        stopped,
        ...ranOn(seam),
      });
    }
    if (errno === ENOTSUPP)
      return new BpfError({ ...parts, what: `programs of type ${progTypeName(type)} cannot be run` });
    if (errno === ENOSPC && attr !== undefined) {
      const size = attr.getUint32(test.data_size_out.offset, true);
      return new BpfError({
        ...parts,
        what: `${title} ran, but left a packet of ${size} bytes, more than there is room for`,
      });
    }
    return new BpfError({ ...parts, what: `cannot run ${title}${reason(errno, options, type)}` });
  }

  close(): void {
    this.#buffers?.block.free();
    this.#buffers = undefined;
  }
}

/** Whether nothing is asked for but a packet, or not even that. */
function isPlain(options: RunOptions): boolean {
  return (
    options.ctx === undefined &&
    options.args === undefined &&
    options.repeat === undefined &&
    options.cpu === undefined &&
    options.flags === undefined &&
    options.task === undefined &&
    options.memory === undefined &&
    options.sock === undefined &&
    options.attachment === undefined
  );
}

function requireArguments({ args }: RunOptions, type: number, title: string): void {
  if (args === undefined || runTraits(type).takesArguments === true) return;
  throw new InputError(`run ${title}: \`args\`: the context of this type is a struct, give its bytes as \`ctx\``);
}

const ETHERNET_HEADER = 14;

/** What is wrong with the options, where that is sure. */
function reason(errno: number, { data, ctx }: RunOptions, type: number): string {
  const { packet, reasons } = runTraits(type);
  const known = reasons?.[errno];
  if (known !== undefined) return `: ${known}`;
  if (errno === E2BIG && ctx !== undefined) {
    return `: the context has ${ctx.length} bytes, more than that of this type, or other than 0 where it has none`;
  }
  if (errno === EOPNOTSUPP && data !== undefined) return ": this type takes no `data` but a context: `ctx`";
  if (errno !== EINVAL) return "";
  if (packet === undefined) return data === undefined ? "" : ": this type takes no `data`";
  if (data === undefined) return ": it wants a packet as `data`";
  if (data.length < ETHERNET_HEADER && packet === "ethernet")
    return `: the packet has ${data.length} bytes, at least ${ETHERNET_HEADER} are needed`;
  return "";
}

/** The address so far behind the block's beginning, as the u64 of a field. */
function putPointer(attr: DataView, field: number, block: number, offset: number): void {
  const address = block + offset;
  attr.setUint32(field, address >>> 0, true);
  attr.setUint32(field + 4, Math.floor(address / 2 ** 32), true);
}

function roomFor(bytes: number): number {
  return Math.max(BUFFER_MIN, Math.ceil(bytes / 64) * 64);
}

function integer(option: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) return value;
  throw new InputError(`run: ${option} is ${value}, expected a whole number from 0 to 2^32 - 1`);
}
