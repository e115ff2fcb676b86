/**
 * A BPF program that does OPS operations on a map a run, of the same instructions on every host: what clang makes of a
 * loop over a global array of keys, with the key copied to the stack, the result tested, and what was found summed up.
 */
import type { BpfHost, Program } from "../src/index.ts";
import * as asm from "../src/insn/index.ts";
import * as u from "../src/uapi/index.ts";
import { compiled, type ProgramHost } from "./hosts.ts";
import type { KeySet } from "./keys.ts";
import { cpuNs, type Side } from "./measure.ts";
import { createFd } from "./raw_map.ts";

/** Operations of one run: so many that the cost of a run does not show. */
export const OPS = 1_000;
const PACKET = 64;
/** Of the state, a global variable: where in the keys the next run goes on, and the sum of all results. */
const STATE_SIZE = 16;
const STATE_SUM = 8;
const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10 } = asm;

/** Of the map, and of the stack: where the key is, and eight words below it that are free for values. */
export interface OperationPlace {
  readonly fd: number;
  readonly key: number;
  readonly value: number;
  readonly valueSize: number;
}

/** Instructions of one operation. r6 to r9 are kept, but for what is added to r9, the sum; r7 is the key's number. */
export type ProgramOperation = (place: OperationPlace) => readonly asm.AsmItem[];

const stackAt = (register: asm.Reg, offset: number): readonly asm.AsmItem[] => [
  asm.mov64(register, R10),
  asm.alu64Imm("add", register, offset),
];

const sumUp: asm.AsmItem = asm.alu64("add", R9, R0);

/** What r0 points to is added to the sum, unless it is NULL. */
const sumUpValue = (size: number): readonly asm.AsmItem[] => [
  asm.jmpImm("jeq", R0, 0, 2),
  asm.ldx(size === 4 ? "u32" : "u64", R1, R0, 0),
  asm.alu64("add", R9, R1),
];

/** Words of a value of `bytes`, from `at` on. */
const storeWords = (base: asm.Reg, at: number, bytes: number): readonly asm.AsmItem[] =>
  Array.from({ length: bytes / 8 }, (_, i) => asm.stx("u64", base, R7, at + 8 * i));

export const noOp: ProgramOperation = ({ key }) => [asm.ldx("u32", R0, R10, key), sumUp];

export const lookupOp: ProgramOperation = ({ fd, key, valueSize }) => [
  stackAt(R2, key),
  asm.ldMapFd(R1, fd),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  sumUpValue(valueSize),
];

export const updateOp: ProgramOperation = ({ fd, key, value }) => [
  asm.stx("u64", R10, R7, value),
  stackAt(R2, key),
  stackAt(R3, value),
  asm.ldMapFd(R1, fd),
  asm.mov64Imm(R4, u.BPF_ANY),
  asm.call(u.BPF_FUNC_map_update_elem),
  sumUp,
];

/** The element goes, and comes again. */
export const deleteAndInsertOp: ProgramOperation = (place) => [
  stackAt(R2, place.key),
  asm.ldMapFd(R1, place.fd),
  asm.call(u.BPF_FUNC_map_delete_elem),
  sumUp,
  updateOp(place),
];

export const pushPopOp: ProgramOperation = ({ fd, value }) => [
  asm.stx("u64", R10, R7, value),
  stackAt(R2, value),
  asm.ldMapFd(R1, fd),
  asm.mov64Imm(R3, u.BPF_ANY),
  asm.call(u.BPF_FUNC_map_push_elem),
  sumUp,
  stackAt(R2, value),
  asm.ldMapFd(R1, fd),
  asm.call(u.BPF_FUNC_map_pop_elem),
  asm.jmpImm("jne", R0, 0, 2),
  asm.ldx("u64", R1, R10, value),
  asm.alu64("add", R9, R1),
];

/** Of a bloom filter: the key is the value that is asked for, or put in. */
export const peekOp: ProgramOperation = ({ fd, key }) => [
  stackAt(R2, key),
  asm.ldMapFd(R1, fd),
  asm.call(u.BPF_FUNC_map_peek_elem),
  sumUp,
];

export const pushOp: ProgramOperation = ({ fd, key }) => [
  stackAt(R2, key),
  asm.ldMapFd(R1, fd),
  asm.mov64Imm(R3, u.BPF_ANY),
  asm.call(u.BPF_FUNC_map_push_elem),
  sumUp,
];

/** Nobody is woken: there is nobody who waits. */
export const outputOp =
  (bytes: number): ProgramOperation =>
  ({ fd, value }) => [
    storeWords(R10, value, bytes),
    stackAt(R2, value),
    asm.ldMapFd(R1, fd),
    asm.mov64Imm(R3, bytes),
    asm.mov64Imm(R4, u.BPF_RB_NO_WAKEUP),
    asm.call(u.BPF_FUNC_ringbuf_output),
    sumUp,
  ];

export const reserveAndSubmitOp =
  (bytes: number): ProgramOperation =>
  ({ fd }) => {
    const filled = [
      storeWords(R0, 0, bytes),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, u.BPF_RB_NO_WAKEUP),
      asm.call(u.BPF_FUNC_ringbuf_submit),
    ].flat();
    return [
      asm.ldMapFd(R1, fd),
      asm.mov64Imm(R2, bytes),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_ringbuf_reserve),
      asm.jmpImm("jeq", R0, 0, filled.length),
      filled,
    ];
  };

/** As many keys as the next power of two, from the front again: so the verifier sees bounds without a branch. */
function repeated({ words, stride, count }: KeySet): KeySet {
  const more = 2 ** Math.ceil(Math.log2(count));
  const all = new Uint32Array(more * stride);
  all.set(words);
  all.set(words.subarray(0, (more - count) * stride), words.length);
  return { words: all, stride, count: more };
}

/** From where r2 points to the stack, eight bytes at a time where they are aligned. */
function copyKey(words: number, to: number): asm.AsmItem[] {
  const step = words % 2 === 0 ? 8 : 4;
  const size = step === 8 ? "u64" : "u32";
  return Array.from({ length: (words * 4) / step }, (_, i) => [
    asm.ldx(size, R1, R2, i * step),
    asm.stx(size, R10, R1, to + i * step),
  ]).flat();
}

function programOf(
  keysFd: number,
  stateFd: number,
  keys: KeySet,
  operation: ProgramOperation,
  map: { readonly fd: number; readonly valueSize: number },
): asm.Insn[] {
  const key = -8 * Math.ceil(keys.stride / 2);
  return asm.assemble([
    asm.mov64Imm(R6, OPS),
    asm.ldMapValue(R8, keysFd, 0),
    asm.ldMapValue(R1, stateFd, 0),
    asm.ldx("u32", R7, R1, 0),
    asm.mov64Imm(R9, 0),
    asm.label("next"),
    asm.alu64Imm("and", R7, keys.count - 1),
    asm.mov64(R2, R7),
    asm.alu64Imm("mul", R2, keys.stride * 4),
    asm.alu64("add", R2, R8),
    copyKey(keys.stride, key),
    operation({ ...map, key, value: key - 64 }),
    asm.alu64Imm("add", R7, 1),
    asm.alu64Imm("sub", R6, 1),
    asm.jmpImm("jne", R6, 0, "next"),
    asm.ldMapValue(R1, stateFd, 0),
    asm.stx("u32", R1, R7, 0),
    asm.ldx("u64", R2, R1, STATE_SUM),
    asm.alu64("add", R2, R9),
    asm.stx("u64", R1, R2, STATE_SUM),
    asm.mov64Imm(R0, u.XDP_PASS),
    asm.exit(),
  ]);
}

/** The map that a program works on. */
export interface ProgramMap {
  readonly fd: number;
  readonly valueSize: number;
  /** Makes room again after so many operations: of rings, which nobody reads while a program runs. */
  readonly emptying?: { readonly operations: number; empty(): void };
}

/** The program on one host. */
export class MapProgram implements Side {
  readonly name: string;
  readonly #host: BpfHost;
  readonly #keysFd: number;
  readonly #stateFd: number;
  readonly #program: Program;
  readonly #map: ProgramMap;
  readonly #packet = new Uint8Array(PACKET);

  constructor(on: ProgramHost, given: KeySet, operation: ProgramOperation, map: ProgramMap) {
    const { name, host } = on;
    const keys = repeated(given);
    this.name = name;
    this.#host = host;
    this.#map = map;
    const bytes = new Uint8Array(keys.words.buffer, keys.words.byteOffset, keys.words.byteLength);
    const array = { type: u.BPF_MAP_TYPE_ARRAY, maxEntries: 1, flags: 0 };
    this.#keysFd = createFd(name, host, { ...array, valueSize: bytes.length }, 4);
    this.#stateFd = createFd(name, host, { ...array, valueSize: STATE_SIZE }, 4);
    const stored = host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: this.#keysFd, key: new Uint8Array(4), value: bytes });
    if (stored !== 0) throw new Error(`${name}: storing the keys gave ${stored}`);
    const insns = programOf(this.#keysFd, this.#stateFd, keys, operation, map);
    this.#program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
    compiled(on, this.#program);
  }

  /** One run; what the results of all runs add up to. */
  sum(): bigint {
    this.#run(1);
    this.#map.emptying?.empty();
    const value = new Uint8Array(STATE_SIZE);
    const read = this.#host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: this.#stateFd, key: new Uint8Array(4), value });
    if (read !== 0) throw new Error(`${this.name}: reading the state gave ${read}`);
    return new DataView(value.buffer).getBigUint64(STATE_SUM, true);
  }

  time(count: number): number {
    const runs = Math.max(1, Math.round(count / OPS));
    const { operations, empty } = this.#map.emptying ?? {
      operations: Number.POSITIVE_INFINITY,
      empty: () => undefined,
    };
    const most = Math.floor(operations / OPS);
    let total = 0;
    for (let left = runs; left > 0; left -= most) {
      total += this.#run(Math.min(left, most));
      empty();
    }
    return total / runs / OPS;
  }

  /** Nanoseconds of so many runs: what the kernel counts itself, CPU time elsewhere. */
  #run(repeat: number): number {
    let mean = 0;
    const ns = cpuNs(() => {
      mean = this.#program.run({ data: this.#packet, repeat }).duration!;
    });
    return this.#host.kind === "kernel" ? mean * repeat : ns;
  }

  close(): void {
    this.#program.close();
    this.#host.close(this.#keysFd);
    this.#host.close(this.#stateFd);
  }
}

/** Runs each once and compares. What they did is the same, or their times say nothing. */
export function agree(what: string, sides: readonly MapProgram[]): void {
  const sums = sides.map((side) => side.sum());
  const other = sums.findIndex((sum) => sum !== sums[0]);
  if (other > 0) {
    throw new Error(`${what}: ${sides[other]!.name} adds up to ${sums[other]}, ${sides[0]!.name} to ${sums[0]}`);
  }
}
