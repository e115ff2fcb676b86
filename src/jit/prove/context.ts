/** What holds for all of a program, and what is being found out of it. */

import { type ContextFamily, contextOf, type PacketBounds } from "../../contexts/table.ts";
import type { Kernel } from "../../kern/kernel.ts";
import { PROG_ARG_POINTERS, PROG_ATTACH_TYPE, PROG_TYPE, progMap } from "../../kern/prog.ts";
import { valueArea } from "../../kern/reach.ts";
import { STACK_FRAME } from "../../kern/run_record.ts";
import {
  AREA_BASE,
  AREA_MAP,
  AREA_PROG_READ,
  AREA_PROG_WRITE,
  AREA_RIGHTS,
  AREA_SIZE,
  AREA_STRIDE,
  AREA_VALUE_SIZE,
} from "../../mem/alloc.ts";
import type { JitProgram } from "../program.ts";
import { Joiner } from "./join.ts";
import type { State } from "./state.ts";
import { Summary } from "./summary.ts";
import {
  AT_DATA,
  AT_META,
  ELSEWHERE,
  F_META,
  F_NULL,
  F_WRITE,
  functionAddress,
  mapHandle,
  NO_ROOM,
  packet,
  packetEnd,
  region,
  type Val,
} from "./value.ts";

/** No stack follows within so many bytes of a context: smaller ones lie where there is none, larger ones are in the way. */
const CONTEXT_NEAR = 256;
const ADDRESS_SIZE = 8;
const FRAMES: number = 8 * STACK_FRAME;

/** What a function writes of the frames above its own: a range of offsets from its r10, or anything. */
export class Writes {
  low: number = Number.POSITIVE_INFINITY;
  high = 0;
  anywhere = false;
  /** It has become more. */
  grown = false;
}

export class Context {
  readonly #program: JitProgram;
  readonly kernel: Kernel;
  readonly prog: number;
  readonly joiner: Joiner = new Joiner();
  readonly summary: Summary;
  readonly #family: ContextFamily | undefined;
  readonly #attachType: number;
  readonly #pointers: number;
  readonly #packet: PacketBounds | undefined;
  /** Of the function under way: frames of callers that are there at least. */
  frames = 0;
  /** The lowest offset that is touched in the frame of the function under way, and in any frame by a function it called. */
  lowest = 0;
  lowestOther = 0;
  /** The access that was judged last may go anywhere. */
  astray = false;
  /** What the function under way writes of its callers' frames. */
  writes: Writes = new Writes();

  constructor(kernel: Kernel, prog: number, program: JitProgram) {
    const { u32 } = kernel.mem;
    this.kernel = kernel;
    this.prog = prog;
    this.#program = program;
    this.summary = new Summary(program);
    this.#attachType = u32[(prog + PROG_ATTACH_TYPE) >>> 2]!;
    this.#pointers = u32[(prog + PROG_ARG_POINTERS) >>> 2]!;
    this.#family = contextOf(u32[(prog + PROG_TYPE) >>> 2]!);
    this.#packet = packetBounds(this.#family);
  }

  newBase(): number {
    return this.joiner.newBase();
  }

  /** False: instructions that are no program of any kind. */
  get hasContext(): boolean {
    return this.#family !== undefined;
  }

  get packetWritable(): boolean {
    return this.#packet?.writable === true;
  }

  /**
   * Whether an access of the context is right, and goes where it says: in every run, or in those that have so much of it.
   * Which fields there are no run changes: that follows from the kind of program and how it was loaded.
   */
  contextAccess(offset: number, size: number, write: boolean): "proved" | "context" | "check" {
    const family = this.#family;
    if (family === undefined || offset < 0 || offset + size > family.size) return "check";
    const bound = !write && this.packetBound(offset, size) !== undefined;
    const inPlace = family.place === undefined || family.inPlace?.(offset, size) === true;
    if (!bound && !inPlace) return "check";
    if (!family.access(offset, size, write, this.#attachType, this.#pointers)) return "check";
    return bound || family.whole === true ? "proved" : "context";
  }

  /** Whether what lies there, right or not, is not the stack. */
  besideStack(offset: number, size: number): boolean {
    return this.hasContext && offset >= 0 && offset + size <= CONTEXT_NEAR;
  }

  /** What a load of a field gives that holds a bound of the packet. */
  packetBound(offset: number, size: number): Val | undefined {
    const fields = this.#packet;
    if (fields === undefined || size !== fields.size) return undefined;
    if (offset === fields.data) return packet(AT_DATA, 0, 0, 0, NO_ROOM, 0);
    if (offset === fields.end) return packetEnd();
    return offset === fields.meta ? packet(AT_META, 0, 0, 0, NO_ROOM, F_META) : undefined;
  }

  /** What a load of a field gives that holds the address of memory which is there to the run's end. */
  shownBy(offset: number, size: number): Val | undefined {
    const shown = this.#family?.shows;
    if (shown === undefined || offset !== shown.offset || size !== ADDRESS_SIZE) return undefined;
    return region(ELSEWHERE, shown.bytes, 0, (shown.write ? F_WRITE : 0) | (shown.optional ? F_NULL : 0));
  }

  /** What the constant stands for: a map of the program, or a place in a value of one. */
  address(low: number): Val | undefined {
    const { mem } = this.kernel;
    const { u32 } = mem;
    if (progMap(mem, this.prog, low) !== 0) return mapHandle(low);
    const area = valueArea(mem, low);
    const map = area === 0 ? 0 : u32[(area + AREA_MAP) >>> 2]!;
    if (map === 0 || progMap(mem, this.prog, map) === 0) return undefined;
    const at = low - u32[(area + AREA_BASE) >>> 2]!;
    const inside = at % u32[(area + AREA_STRIDE) >>> 2]!;
    const size = u32[(area + AREA_VALUE_SIZE) >>> 2]!;
    const rights = u32[(area + AREA_RIGHTS) >>> 2]!;
    if (inside >= size || at - inside + size > u32[(area + AREA_SIZE) >>> 2]! || (rights & AREA_PROG_READ) === 0) {
      return undefined;
    }
    return region(-1 - (low - inside), size, inside, (rights & AREA_PROG_WRITE) === 0 ? 0 : F_WRITE, map);
  }

  functionAt(insn: number): Val | undefined {
    const index = this.#program.functionAt.get(insn);
    return index === undefined ? undefined : functionAddress(index);
  }

  /** The function under way, or one that it calls, may write the stack between these offsets of r10. */
  wrote(state: State, low: number, high: number): void {
    state.forget(low, high);
    const { writes } = this;
    if (high <= 0 || writes.anywhere) return;
    if (high > FRAMES) {
      this.wroteAnywhere();
    } else if (Math.max(0, low) < writes.low || high > writes.high) {
      writes.low = Math.max(0, Math.min(writes.low, low));
      writes.high = Math.max(writes.high, high);
      writes.grown = true;
    }
  }

  wroteAnywhere(): void {
    if (this.writes.anywhere) return;
    this.writes.anywhere = true;
    this.writes.grown = true;
  }

  /** Bytes of the stack between these offsets of r10 may be touched. */
  touch(low: number, high: number): void {
    if (low < 0 && high <= 0) this.lowest = Math.min(this.lowest, Math.max(low, -STACK_FRAME));
    else if (low >= 0 && high <= STACK_FRAME) this.lowestOther = Math.min(this.lowestOther, low - STACK_FRAME);
    else this.touchAll();
  }

  /** Any byte of the stack may be touched. */
  touchAll(): void {
    this.lowest = -STACK_FRAME;
    this.lowestOther = -STACK_FRAME;
    this.astray = true;
  }
}

function packetBounds(family: ContextFamily | undefined): PacketBounds | undefined {
  const data = family?.pointers?.data;
  if (data === undefined) return family?.bounds;
  return { size: 8, data: data[0], end: data[1], meta: -1, writable: family?.pointers?.dataWritable === true };
}
