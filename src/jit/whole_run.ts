/**
 * A run from the look at the fd to the unlocked CPU as one function of WebAssembly, for what begins as a run before began:
 * the memory of that one, when it had just begun, is what this one finds. Where anything is not as it was, or somebody
 * else is there, it does nothing; what cannot be closed here is left open.
 */
import { CPU_BORROWED, CPU_LEVELS, CPU_LOCK, CPU_OWED, cpuEntry, dropOwed, PACKET_ROOM } from "../kern/cpus.ts";
import { MODE_MASK, PROCESS_CAPACITY, PROCESS_TABLE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  HELD_FIRST_ROOM,
  RUN_CASTS,
  RUN_CURRENT,
  RUN_HELD_COUNT,
  RUN_HELD_ROOM,
  RUN_IMAGE,
  RUN_KEPT,
  RUN_KEPT_FOR,
  RUN_PROG,
  RUN_REGS,
  RUN_TAIL_CALLS,
} from "../kern/run_record.ts";
import { OBJ_ID, OBJ_KIND, OBJ_PROG } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { emitUnlock } from "../struct/emit.ts";
import { Code, I32 } from "../wasm/code.ts";
import { block, const32, type Exit, type Expr32, Local32, local32, local64, when } from "../wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { emitPutBack, type PacketCode, type PacketKind, type Region } from "./packet_code.ts";
import { COPY_STEP, emitPacketCopy } from "./packet_copy.ts";
import { emitStart, TAIL_ENTRY } from "./tail_calls.ts";

/**
 * Of the program that has this address and id, if it is behind the fd, on a packet of `length` bytes that lies at `from`.
 * How it went: see below.
 */
export type WholeRun = (fd: number, prog: number, id: number, length: number, from: number) => number;

/** Nothing has changed. */
export const NOT_BEGUN = 0;
/** It is over and closed; its results are in the block. */
export const CLOSED = 1;
/** It has come to its end, with r0 in its record, and is open: the CPU is the client's to give back. */
export const OPEN = 2;

/**
 * The client's own block: what the program returned, where its packet is and how long, and room for packets. The packet
 * of a run lies on its CPU, which on a shared host is anybody's before the run and behind it.
 */
export const BLOCK_RETVAL = 0;
export const BLOCK_PACKET = 4;
export const BLOCK_LENGTH = 8;
export const BLOCK_ROOM = 16;
/** With room for a packet at any place in a word. */
export const BLOCK_SIZE: number = BLOCK_ROOM + PACKET_ROOM + COPY_STEP + 8;

const SIGNATURE: Signature = { params: [I32, I32, I32, I32, I32], results: [I32] };
const RUN = "run";
const START = "start";
const DROP_OWED = "dropOwed";

/** How runs are made of a client's programs of one kind, on one CPU. */
export interface WholeRuns {
  /** Where packets go. Undefined: these programs run on nothing. */
  readonly place: number | undefined;
  of(start: WebAssembly.ExportValue): WholeRun;
}

/**
 * As `run` is run, which has just begun and is the only one on its CPU. `type`: of the programs, which run on `packet`, or
 * on nothing.
 */
export function wholeRuns(
  kernel: Kernel,
  run: number,
  type: number,
  packet: PacketKind | undefined,
  results: number,
): WholeRuns {
  const { mem } = kernel;
  const builder = new ModuleBuilder();
  const start = builder.importFunction(START, TAIL_ENTRY);
  const owed = builder.importFunction(DROP_OWED, { params: [], results: [] });
  const func = builder.declare(SIGNATURE);
  const runCode = new RunCode(kernel, run, type, packet, results);
  builder.define(func, runCode.emit(start, owed));
  builder.exportFunction(RUN, func);
  const module = new WebAssembly.Module(builder.bytes(mem.sharedPages));
  const made = new WeakMap<WebAssembly.ExportValue, WholeRun>();
  const entry = cpuEntry(mem, kernel.cpu);
  return {
    place: runCode.place,
    of: (program) => {
      let whole = made.get(program);
      if (whole === undefined) {
        const imports = { [MEMORY]: mem.wasm, [START]: program, [DROP_OWED]: () => dropOwed(kernel, entry) };
        whole = new WebAssembly.Instance(module, { [IMPORTS]: imports }).exports[RUN] as WholeRun;
        made.set(program, whole);
      }
      return whole;
    },
  };
}

class RunCode {
  readonly #kernel: Kernel;
  readonly #mem: Memory;
  readonly #code = new Code(SIGNATURE.params.length);
  readonly #packet: PacketCode | undefined;
  readonly #type: number;
  readonly #record: Expr32;
  readonly #results: Expr32;
  /** The CPU's. */
  readonly #entry: Expr32;
  readonly #run: number;
  /** Resources that all runs hold from their beginning on. */
  readonly #around: number;

  constructor(kernel: Kernel, run: number, type: number, packet: PacketKind | undefined, results: number) {
    const { mem, cpu } = kernel;
    this.#kernel = kernel;
    this.#mem = mem;
    this.#packet = packet?.(kernel, run, this.#code);
    this.#type = type;
    this.#run = run;
    this.#record = this.#at(run);
    this.#results = this.#at(results);
    this.#entry = this.#at(cpuEntry(mem, cpu));
    this.#around = mem.u32[(run + RUN_HELD_COUNT) >>> 2]!;
  }

  get place(): number | undefined {
    return this.#packet?.place;
  }

  #at(address: number): Expr32 {
    return const32(this.#code, address);
  }

  /** `owed`: drops what is owed on the CPU. */
  emit(start: number, owed: number): Code {
    const code = this.#code;
    const record = this.#record;
    const fds = this.#at(this.#kernel.process);
    const [fd, prog, id, length, from] = [0, 1, 2, 3, 4].map((i) => new Local32(code, i)) as [
      Local32,
      Local32,
      Local32,
      Local32,
      Local32,
    ];
    block(code, (busy) => {
      this.#packet?.refuse(from, length, busy);
      this.#leaveUnlessFree(busy);
      block(code, (refused) => {
        this.#borrow(prog, refused);
        // The lock of the table is not taken: while it moves, what the old one says was so behind the announcement.
        refused.when(fd.geU(fds.atomicLoad(PROCESS_CAPACITY)));
        const object = fds.atomicLoad(PROCESS_TABLE).add(fd.shl(2)).atomicLoad().and(~MODE_MASK);
        refused.when(object.ne(prog));
        refused.when(prog.load(OBJ_KIND).ne(OBJ_PROG));
        refused.when(prog.load(OBJ_ID).ne(id));
        this.#open(prog, length, from);
        const r0 = local64(code);
        emitStart(this.#kernel, this.#run, r0, start);
        record.store64(RUN_REGS, r0);
        const holds = record.load(RUN_HELD_COUNT).xor(this.#around);
        when(holds.or(record.load(RUN_HELD_ROOM).xor(HELD_FIRST_ROOM)), () => this.#return(OPEN));
        this.#packet?.close(() => this.#return(OPEN));
        this.#results.store(BLOCK_RETVAL, r0.wrap());
        this.#giveBack();
        this.#entry.store(CPU_LEVELS, 0);
        this.#leave(owed);
        this.#return(CLOSED);
      });
      this.#leave(owed);
    });
    code.i32(NOT_BEGUN);
    return code;
  }

  #return(how: number): void {
    this.#code.i32(how);
    this.#code.op(w.RETURN);
  }

  /** Takes the CPU, unless somebody has it, dead or alive. */
  #leaveUnlessFree(busy: Exit): void {
    const { shared, owner } = this.#mem;
    if (shared) busy.when(this.#entry.add(CPU_LOCK).cmpxchg(0, 0, owner));
  }

  /** Announces that the program is used on this CPU: see `oweToBorrower`. */
  #borrow(prog: Local32, refused: Exit): void {
    const entry = this.#entry;
    if (this.#mem.shared) {
      when(entry.load(CPU_BORROWED).ne(prog), () => entry.atomicStore(CPU_BORROWED, prog));
    } else {
      // Of a run inside a run.
      refused.when(entry.load(CPU_LEVELS));
    }
  }

  #leave(owed: number): void {
    if (!this.#mem.shared) return;
    emitUnlock(this.#mem, this.#entry.add(CPU_LOCK));
    when(this.#entry.atomicLoad(CPU_OWED), () => this.#code.call(owed));
  }

  /** The record as all runs find it, then the packet. */
  #open(prog: Local32, length: Local32, from: Local32): void {
    const record = this.#record;
    const packet = this.#packet;
    const { owner, shared } = this.#mem;
    const others = record.load(RUN_KEPT).xor(owner).or(record.load(RUN_KEPT_FOR).xor(this.#type));
    when(
      others,
      () => {
        const image: Region = [this.#run, RUN_IMAGE];
        for (const region of [image, ...(packet?.once ?? [])]) emitPutBack(this.#mem, this.#code, region);
        record.store(RUN_KEPT, owner);
        record.store(RUN_KEPT_FOR, this.#type);
      },
      // The run before was closed here too, and holds no more than it began with: no more is changed than this, and what
      // is stored below.
      () => {
        for (const field of [RUN_CASTS, RUN_TAIL_CALLS]) record.store(field, 0);
      },
    );
    for (const field of [RUN_PROG, RUN_CURRENT]) record.store(field, prog);
    // As in `acquireRun`: what is taken over from a dead client is what counts.
    this.#entry.store(CPU_LEVELS, 1);
    if (packet === undefined) return;
    if (shared) {
      const to = local32(this.#code, packet.place);
      emitPacketCopy(to, from, length);
    }
    packet.renew();
    packet.open(length);
  }

  /** The packet goes to the client's own block. */
  #giveBack(): void {
    if (this.#packet === undefined) return;
    const results = this.#results;
    const { from, length } = this.#packet.after();
    results.store(BLOCK_LENGTH, length);
    if (this.#mem.shared) {
      const to = local32(this.#code, results.add(BLOCK_ROOM));
      results.store(BLOCK_PACKET, to);
      emitPacketCopy(to, from, length);
    } else {
      results.store(BLOCK_PACKET, from);
    }
  }
}
