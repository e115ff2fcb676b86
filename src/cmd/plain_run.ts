/**
 * Runs of compiled programs on a packet, or on nothing, with all else as it is when nobody says anything: what
 * BPF_PROG_TEST_RUN gives for them, without attributes, and set up by what is known from the run before. Whatever is out
 * of the ordinary is left to the command, before anything has happened.
 */
import { ETH_HLEN } from "../helpers/xdp.ts";
import { COMPILED, runWhole, startOf } from "../jit/run.ts";
import {
  BLOCK_LENGTH,
  BLOCK_PACKET,
  BLOCK_RETVAL,
  BLOCK_ROOM,
  BLOCK_SIZE,
  CLOSED,
  NOT_BEGUN,
  type WholeRun,
  type WholeRuns,
  wholeRuns,
} from "../jit/whole_run.ts";
import type { Engine } from "../kern/compiled.ts";
import { acquireRun, CPU_LEVELS, CPU_LOCK, cpuEntry, releaseRun } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { RUN_EXITED, RUN_KEPT, RUN_PROG } from "../kern/run_record.ts";
import { NO_EVENTS, type RunEvent } from "../kern/scene.ts";
import { OBJ_ID, OBJ_PROG } from "../mem/layout.ts";
import { OWNER_MASK } from "../mem/locks.ts";
import { begin, Machine, rewind } from "../vm/machine.ts";
import { type PlainPacket, plainKind } from "./plain_kinds.ts";
import { stopRun } from "./prog_test_data.ts";

/** Of a run that came to its end. */
export interface PlainResult {
  readonly retval: number;
  readonly data: Uint8Array | undefined;
  readonly ctx: undefined;
  readonly duration: undefined;
  readonly events: readonly RunEvent[];
  readonly syscallRetval: undefined;
  readonly engine: Engine;
  readonly whyInterpreted: undefined;
}

/** Copies into shared memory go by words only where both sides have the same place in a word. */
const WORD = 8;
/** Packets from here on are worth finding that out. */
const LONG = 128;

/** How runs on one CPU begin, of programs of one type. */
interface Beginning {
  readonly cpu: number;
  /** The CPU's. */
  readonly entry: number;
  readonly run: number;
  /** Null: they run on nothing. */
  readonly kind: PlainPacket | null;
  readonly whole: WholeRuns;
  /** The client's block. */
  readonly results: number;
  /** Where the packet goes: all that there is room for, and its address. */
  readonly room: Uint8Array;
  readonly at: number;
  /** The packet that came last, as it is afterwards when the program has not moved its ends, and where that is. */
  packet: Uint8Array;
  packetAt: number;
  packetLength: number;
}

/** The program behind an fd, while it is the one with this address and id. */
interface Known {
  readonly prog: number;
  readonly id: number;
  readonly whole: WholeRun;
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
    if (kernel.engine === "interp" || kernel.observer !== undefined || kernel.run !== 0) return undefined;
    let known = this.#known;
    if (known === undefined || known.beginning.cpu !== kernel.cpu) {
      known = look(kernel, this.#fd);
      if (known === undefined) return undefined;
      this.#known = known;
    }
    const { scene } = kernel;
    const { prog, id, whole, machine, beginning } = known;
    const { kind } = beginning;
    let length = 0;
    let from = 0;
    if (kind !== null) {
      if (!(data instanceof Uint8Array)) return undefined;
      length = data.length;
      if (length < ETH_HLEN || length > kind.longest) return undefined;
      const { room, at } = beginning;
      from = length >= LONG && kernel.mem.shared ? data.byteOffset % WORD : 0;
      room.set(data, from);
      from += at;
    } else if (data !== undefined) return undefined;
    const { run } = beginning;
    if (scene.events !== NO_EVENTS) scene.events = NO_EVENTS;
    scene.stopped = undefined;
    scene.ranBy = COMPILED;
    rewind(machine, prog, kernel.runBudget);
    kernel.run = run;
    try {
      const how = runWhole(machine, whole, this.#fd, prog, id, length, from);
      if (how === CLOSED) {
        kernel.run = 0;
        return closedResult(kernel, beginning, length);
      }
      this.#known = undefined;
      if (how === NOT_BEGUN) {
        kernel.run = 0;
        return undefined;
      }
      return machine.status === RUN_EXITED ? openResult(machine, kind) : stopRun(kernel, run, machine.status);
    } finally {
      if (kernel.run !== 0) {
        const { mem } = kernel;
        const { u32 } = mem;
        const { entry } = beginning;
        // No call is made to find out: it may have thrown for want of stack, before the run was begun or behind its end.
        const open = mem.shared
          ? (u32[(entry + CPU_LOCK) >>> 2]! & OWNER_MASK) === mem.owner
          : u32[(entry + CPU_LEVELS) >>> 2] !== 0;
        if (open) {
          u32[(run + RUN_KEPT) >>> 2] = 0;
          kernel.ending = run;
          releaseRun(kernel, run);
        } else {
          kernel.run = 0;
        }
      }
    }
  }
}

function closedResult({ mem, scene, copies }: Kernel, beginning: Beginning, length: number): PlainResult {
  const { u32 } = mem;
  const { results } = beginning;
  let data: Uint8Array | undefined;
  if (beginning.kind !== null) {
    const at = u32[(results + BLOCK_PACKET) >>> 2]!;
    const size = u32[(results + BLOCK_LENGTH) >>> 2]!;
    let { packet } = beginning;
    if (beginning.packetAt !== at || beginning.packetLength !== size) {
      packet = new Uint8Array(mem.wasm.buffer, at, size);
      if (size === length) {
        beginning.packet = packet;
        beginning.packetAt = at;
        beginning.packetLength = size;
      }
    }
    data = copies.of(packet);
  }
  return resultOf(u32[(results + BLOCK_RETVAL) >>> 2]!, data, scene.events);
}

/** Of a run that has ended, and is still to be closed; or an errno. */
function openResult({ kernel, run, u32, regs }: Machine, kind: PlainPacket | null): PlainResult | number {
  const data = kind?.after(kernel, run);
  return typeof data === "number" ? data : resultOf(u32[regs]!, data, kernel.scene.events);
}

function resultOf(retval: number, data: Uint8Array | undefined, events: readonly RunEvent[]): PlainResult {
  return {
    retval,
    data,
    ctx: undefined,
    duration: undefined,
    events,
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
    const kind = plainKind(kernel, prog);
    return kind === undefined ? undefined : lookInRun(kernel, prog, kind);
  } finally {
    kernel.done(prog);
  }
}

/** The same in a run of the program: compiling it takes long, and with a client that dies meanwhile the run ends. */
function lookInRun(kernel: Kernel, prog: number, kind: PlainPacket | null): Known | undefined {
  const { u32 } = kernel.mem;
  const run = acquireRun(kernel, kernel.cpu);
  if (run < 0) return undefined;
  try {
    u32[(run + RUN_PROG) >>> 2] = prog;
    const start = startOf(kernel, prog);
    if (start === undefined) return undefined;
    const beginning = beginningOf(kernel, run, u32[(prog + PROG_TYPE) >>> 2]!, kind);
    if (beginning === undefined) return undefined;
    const machine = new Machine(kernel, run);
    return { prog, id: u32[(prog + OBJ_ID) >>> 2]!, whole: beginning.whole.of(start), machine, beginning };
  } finally {
    kernel.ending = run;
    releaseRun(kernel, run);
  }
}

/** Of each client: how its runs begin, by the type of the programs and by the CPU. */
const beginnings = new WeakMap<Kernel, (Beginning | undefined)[][]>();

function beginningOf(kernel: Kernel, run: number, type: number, kind: PlainPacket | null): Beginning | undefined {
  let all = beginnings.get(kernel);
  if (all === undefined) {
    all = [];
    beginnings.set(kernel, all);
  }
  const { cpu } = kernel;
  all[type] ??= [];
  const ofType = all[type];
  ofType[cpu] ??= begun(kernel, run, type, kind);
  return ofType[cpu];
}

/** Begins the run as the command does, on an empty packet, and keeps what its memory is like then. */
function begun(kernel: Kernel, run: number, type: number, kind: PlainPacket | null): Beginning | undefined {
  const results = kernel.results(BLOCK_SIZE);
  if (results === 0) return undefined;
  const { mem, cpu } = kernel;
  if (kind?.prepare(kernel, run) === false) return undefined;
  begin(new Machine(kernel, run), kernel.runBudget);
  const whole = wholeRuns(kernel, run, type, kind?.code, results);
  const at = whole.place === undefined || mem.shared ? results + BLOCK_ROOM : whole.place;
  const room = mem.u8.subarray(at, at + (kind?.longest ?? 0) + (mem.shared ? WORD : 0));
  const packet = { packet: room, packetAt: at, packetLength: room.length };
  return { cpu, entry: cpuEntry(mem, cpu), run, kind, whole, results, room, at, ...packet };
}
