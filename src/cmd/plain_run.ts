/**
 * Runs of compiled programs on a packet, or on nothing, with all else as it is when nobody says anything: what
 * BPF_PROG_TEST_RUN gives for them, without attributes, and set up by what is known from the run before. Whatever is out
 * of the ordinary is left to the command, before anything has happened.
 */
import { EMPTY_PACKET, prepareXdp } from "../contexts/xdp.ts";
import { ETH_HLEN, XDP_HEADROOM } from "../helpers/xdp.ts";
import { COMPILED, entryOf, goThrough } from "../jit/run.ts";
import type { CompiledFunction, Engine } from "../kern/compiled.ts";
import { acquireRun, PACKET_ROOM, releaseRun } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { type Reopen, reopener } from "../kern/reopen.ts";
import { RUN_BUDGET, RUN_CTX, RUN_DATA_END, RUN_EXITED, RUN_META, RUN_PACKET, RUN_PROG } from "../kern/run_record.ts";
import type { RunEvent } from "../kern/scene.ts";
import { OBJ_ID, OBJ_PROG } from "../mem/layout.ts";
import { BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_XDP, xdp_md } from "../uapi/index.ts";
import { begin, Machine, rewind } from "../vm/machine.ts";
import { DURATION_MAX, stopRun } from "./prog_test_data.ts";
import { hasXdpTestRun } from "./prog_test_xdp.ts";

/** Of a run that came to its end. */
export interface PlainResult {
  readonly retval: number;
  readonly data: Uint8Array | undefined;
  readonly ctx: undefined;
  readonly duration: number;
  readonly events: readonly RunEvent[];
  readonly syscallRetval: undefined;
  readonly engine: Engine;
  readonly whyInterpreted: undefined;
}

/** Packets that lie in one piece. */
const PACKET_MAX = PACKET_ROOM - XDP_HEADROOM;

/** How runs on one CPU begin, of programs with a packet or of those without. */
interface Beginning {
  readonly cpu: number;
  readonly run: number;
  readonly reopen: Reopen;
  /** Where the packet goes: its address, and all that there is room for. */
  readonly start: number;
  readonly room: Uint8Array;
}

/** The program behind an fd, while it is the one with this address and id. */
interface Known {
  readonly prog: number;
  readonly id: number;
  readonly onPacket: boolean;
  readonly entry: CompiledFunction;
  readonly machine: Machine;
  readonly beginning: Beginning;
}

/** Of one client. */
export class PlainRun {
  readonly #kernel: Kernel;
  readonly #fd: number;
  #known: Known | undefined;

  constructor(kernel: Kernel, fd: number) {
    this.#kernel = kernel;
    this.#fd = fd;
  }

  /** A negative errno: the run was stopped, -EFAULT or -ETIMEDOUT. Undefined: nothing was done. */
  run(data: Uint8Array | undefined): PlainResult | number | undefined {
    const kernel = this.#kernel;
    if (kernel.observer !== undefined || kernel.run !== 0) return undefined;
    let known = this.#known;
    if (known === undefined || known.beginning.cpu !== kernel.cpu) {
      known = look(kernel, this.#fd);
      if (known === undefined) return undefined;
    }
    const { prog, id, onPacket, beginning } = known;
    const { run, start, reopen } = beginning;
    const length = data === undefined ? 0 : data.length;
    const fits = onPacket
      ? data instanceof Uint8Array && length >= ETH_HLEN && length <= PACKET_MAX
      : data === undefined;
    if (!fits) return undefined;
    // While it runs nobody else has its machine; a run that is stopped leaves it anyhow.
    this.#known = undefined;
    if (reopen(this.#fd, prog, id, start + length) === 0) return undefined;
    kernel.run = run;
    try {
      const result = runOn(kernel, known, data);
      if (typeof result !== "number") this.#known = known;
      return result;
    } finally {
      releaseRun(kernel, run);
      kernel.done(prog);
    }
  }
}

function runOn(
  kernel: Kernel,
  { entry, machine, beginning }: Known,
  data: Uint8Array | undefined,
): PlainResult | number {
  const { mem, scene } = kernel;
  const { u32 } = mem;
  const { run, room } = beginning;
  scene.events = [];
  scene.stopped = undefined;
  scene.ranBy = COMPILED;
  rewind(machine, kernel.runBudget);
  let duration = 0;
  let status: number;
  if (data === undefined) {
    // The command tells no duration of what has no packet.
    status = goThrough(machine, entry);
  } else {
    room.set(data);
    const start = kernel.stopwatch();
    status = goThrough(machine, entry);
    duration = Math.min(kernel.stopwatch() - start, DURATION_MAX);
  }
  if (status !== RUN_EXITED) return stopRun(kernel, run, status);
  return {
    retval: u32[machine.regs]!,
    data: data === undefined ? undefined : mem.u8.slice(u32[(run + RUN_META) >>> 2]!, u32[(run + RUN_DATA_END) >>> 2]!),
    ctx: undefined,
    duration,
    events: scene.events,
    syscallRetval: undefined,
    engine: COMPILED.engine,
    whyInterpreted: undefined,
  };
}

/** What is behind the fd; undefined: nothing that is run so, or not now. */
function look(kernel: Kernel, fd: number): Known | undefined {
  const prog = kernel.get(fd, OBJ_PROG);
  if (prog < 0) return undefined;
  try {
    const { u32 } = kernel.mem;
    const type = u32[(prog + PROG_TYPE) >>> 2];
    const onPacket = type === BPF_PROG_TYPE_XDP;
    if (onPacket ? !hasXdpTestRun(kernel, prog) : type !== BPF_PROG_TYPE_RAW_TRACEPOINT) return undefined;
    const entry = entryOf(kernel, prog, 0);
    if (entry === undefined) return undefined;
    const beginning = beginningOf(kernel, prog, onPacket);
    if (beginning === undefined) return undefined;
    const machine = new Machine(kernel, beginning.run);
    return { prog, id: u32[(prog + OBJ_ID) >>> 2]!, onPacket, entry, machine, beginning };
  } finally {
    kernel.done(prog);
  }
}

/** By the CPU. */
type Slots = (Beginning | undefined)[];
/** Of each client: how its runs begin, those without a packet and those with one, on each CPU. */
const beginnings = new WeakMap<Kernel, readonly [without: Slots, withPacket: Slots]>();

function beginningOf(kernel: Kernel, prog: number, onPacket: boolean): Beginning | undefined {
  let all = beginnings.get(kernel);
  if (all === undefined) {
    all = [[], []];
    beginnings.set(kernel, all);
  }
  const { cpu } = kernel;
  const ofKind = all[onPacket ? 1 : 0];
  ofKind[cpu] ??= begun(kernel, prog, onPacket);
  return ofKind[cpu];
}

/** Begins a run as the command does, on a packet of no bytes, and keeps what its memory is like then. */
function begun(kernel: Kernel, prog: number, onPacket: boolean): Beginning | undefined {
  const run = acquireRun(kernel, kernel.cpu);
  if (run < 0) return undefined;
  try {
    const { mem, cpu } = kernel;
    const { u32 } = mem;
    u32[(run + RUN_PROG) >>> 2] = prog;
    const packet = u32[(run + RUN_PACKET) >>> 2]!;
    const ctx = u32[(run + RUN_CTX) >>> 2]!;
    if (onPacket) {
      prepareXdp(kernel, run, EMPTY_PACKET);
    }
    begin(new Machine(kernel, run), kernel.runBudget);
    mem.writeU64(run + RUN_BUDGET, kernel.runBudget);
    const pieces = [
      { address: ctx, bytes: xdp_md.size },
      { address: packet, bytes: XDP_HEADROOM },
    ];
    const ends = [run + RUN_DATA_END, ctx + xdp_md.fields.data_end.offset];
    const reopen = reopener(kernel, run, onPacket ? pieces : [], onPacket ? ends : []);
    const start = packet + XDP_HEADROOM;
    return { cpu, run, reopen, start, room: mem.u8.subarray(start, start + PACKET_MAX) };
  } finally {
    releaseRun(kernel, run);
  }
}
