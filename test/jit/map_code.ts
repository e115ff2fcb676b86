/**
 * Code that map types and helpers have for compiled programs, held against their own functions: two hosts of the same
 * seed, so that all is at the same addresses, one with compiled programs and one that interprets them.
 */
import { EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import { planCalls } from "../../src/jit/calls.ts";
import { readProgram } from "../../src/jit/program.ts";
import { prove } from "../../src/jit/prove/index.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { OBJ_MAP, OBJ_PROG } from "../../src/mem/layout.ts";
import { MAP_DESC_SIZE } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, resultMap, testRun } from "../conformance/programs.ts";

const { R0, R1, R2, R3, R9 } = asm;

/** Of the command, a global variable of the program's: what to do, flags, size, and what came of it; then the data. */
export const COMMAND = { op: 0, flags: 8, size: 16, result: 24, more: 32, data: 64 } as const;
const COMMAND_SIZE = 256;

/** What a client that is not there any more has left in a lock. */
export const DEAD: number = (5 << 6) | 7;

export interface Command {
  readonly op: number;
  readonly flags?: bigint;
  readonly size?: bigint;
  readonly more?: bigint;
  readonly data?: Uint8Array;
}

type MapAttr = Readonly<Record<string, number>>;

/** One engine's host, with a map and a program for it. */
export class Side {
  readonly kernel: Kernel;
  readonly host: EmbeddedHost;
  readonly fd: number;
  readonly map: number;
  readonly #command: number;
  readonly #prog: number;

  constructor(
    engine: "jit" | "interp",
    shared: boolean,
    attr: MapAttr | ((host: EmbeddedHost) => MapAttr),
    items: (map: number) => readonly asm.AsmItem[],
  ) {
    this.kernel = createKernel({ memory: 2 << 20, cpus: 2, shared, seed: 1, virtualClock: true });
    this.kernel.engine = engine;
    this.host = new EmbeddedHost(this.kernel);
    this.fd = this.host.bpf(u.BPF_MAP_CREATE, typeof attr === "function" ? attr(this.host) : attr);
    this.map = this.kernel.get(this.fd, OBJ_MAP);
    this.#command = resultMap(this.host, COMMAND_SIZE);
    const start = [asm.ldMapValue(R9, this.#command, 0), asm.ldx("u64", R1, R9, COMMAND.op)];
    const end = [asm.label("end"), asm.stx("u64", R9, R0, COMMAND.result), asm.mov64Imm(R0, 0), asm.exit()];
    const loaded = loadProgram(this.host, [start, items(this.fd), end]);
    if (loaded.fd < 0) throw new Error(`the program does not load: ${loaded.fd} ${loaded.log}`);
    this.#prog = loaded.fd;
  }

  /** How calls of helpers are made, by the helper's number. */
  get plans(): ReadonlyMap<number, string> {
    const { kernel } = this;
    const prog = kernel.get(this.#prog, OBJ_PROG);
    const program = readProgram(kernel.mem, prog);
    if (typeof program === "string") throw new Error(program);
    const plans = planCalls(kernel, prog, program, prove(kernel, prog, program));
    kernel.done(prog);
    return new Map(Object.values(plans).map(({ plan, how }) => [plan.id, how]));
  }

  /** Runs the program with this command; everything that came of it. */
  run({ op, flags = 0n, size = 0n, more = 0n, data = new Uint8Array(0) }: Command): string {
    const value = new Uint8Array(COMMAND_SIZE);
    const view = new DataView(value.buffer);
    view.setUint32(COMMAND.op, op, true);
    view.setBigUint64(COMMAND.flags, flags, true);
    view.setBigUint64(COMMAND.size, size, true);
    view.setBigUint64(COMMAND.more, more, true);
    value.set(data, COMMAND.data);
    const place = { map_fd: this.#command, key: new Uint8Array(4) };
    this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { ...place, value });
    const { ret, retval } = testRun(this.host, this.#prog);
    const out = new Uint8Array(COMMAND_SIZE);
    this.host.bpf(u.BPF_MAP_LOOKUP_ELEM, { ...place, value: out });
    return `${ret} ${retval} ${Buffer.from(out).toString("hex")}`;
  }

  /** Where the map is, its descriptor, and so many bytes from where this field of it points to. */
  state(field: number, bytes: number): string {
    const { mem } = this.kernel;
    const at = mem.u32[(this.map + field) >>> 2]!;
    const hex = (from: number, length: number): string =>
      Buffer.from(mem.u8.slice(from, from + length)).toString("hex");
    return `${this.map} ${hex(this.map, MAP_DESC_SIZE)} ${hex(at, bytes)}`;
  }

  close(): void {
    this.kernel.done(this.map);
    this.host.dispose();
  }
}

/** The command's data as the argument in r2, its flags in r3 (or another register), the map in r1. */
export function callWithData(map: number, helper: number, flags: asm.Reg = R3): asm.AsmItem[] {
  return [
    asm.mov64(R2, R9),
    asm.alu64Imm("add", R2, COMMAND.data),
    asm.ldx("u64", flags, R9, COMMAND.flags),
    asm.ldMapFd(R1, map),
    asm.call(helper),
  ].flat();
}
