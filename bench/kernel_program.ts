/** The kernel's own programs: one that does OPS operations a run, run many times through PROG_TEST_RUN. */
import type { Host } from "../src/host/host.ts";
import * as asm from "../src/insn/index.ts";
import * as u from "../src/uapi/index.ts";
import type { KeySet } from "./keys.ts";
import type { Side } from "./measure.ts";
import { createFd } from "./raw_map.ts";

/** Operations of one run: so many that the cost of a run does not show. */
const OPS = 128;
const PACKET = 64;
/** In the state's value: where in the keys the next run goes on, and 64 bytes that operations use as a value. */
const STATE_VALUE = 8;
const STATE_SIZE = 72;
const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10 } = asm;
const KEY_SLOT = -8;

/** Instructions of one operation: r2 is the key's address, r9 + STATE_VALUE that of a value. r6 to r9 are kept. */
export type ProgramOperation = readonly asm.AsmItem[];

const valueIn = (register: asm.Reg): ProgramOperation => [
  asm.mov64(register, R9),
  asm.alu64Imm("add", register, STATE_VALUE),
];

/** The value's first word is read, as a program would. */
export const lookupOp = (fd: number): ProgramOperation => [
  asm.ldMapFd(R1, fd),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  asm.jmpImm("jeq", R0, 0, 1),
  asm.ldx("u32", R0, R0, 0),
];

export const updateOp = (fd: number): ProgramOperation => [
  asm.ldMapFd(R1, fd),
  valueIn(R3),
  asm.mov64Imm(R4, 0),
  asm.call(u.BPF_FUNC_map_update_elem),
];

/** The element goes, and comes again. */
export const deleteAndInsertOp = (fd: number): ProgramOperation => [
  asm.stx("u64", R10, R2, KEY_SLOT),
  asm.ldMapFd(R1, fd),
  asm.call(u.BPF_FUNC_map_delete_elem),
  asm.ldx("u64", R2, R10, KEY_SLOT),
  updateOp(fd),
];

export const pushPopOp = (fd: number): ProgramOperation => [
  asm.ldMapFd(R1, fd),
  valueIn(R2),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_map_push_elem),
  asm.ldMapFd(R1, fd),
  valueIn(R2),
  asm.call(u.BPF_FUNC_map_pop_elem),
];

/** Of a bloom filter: the key is the value that is asked for, or put in. */
export const peekOp = (fd: number): ProgramOperation => [asm.ldMapFd(R1, fd), asm.call(u.BPF_FUNC_map_peek_elem)];

export const pushOp = (fd: number): ProgramOperation => [
  asm.ldMapFd(R1, fd),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_map_push_elem),
];

export const outputOp =
  (bytes: number) =>
  (fd: number): ProgramOperation => [
    asm.ldMapFd(R1, fd),
    valueIn(R2),
    asm.mov64Imm(R3, bytes),
    asm.mov64Imm(R4, u.BPF_RB_NO_WAKEUP),
    asm.call(u.BPF_FUNC_ringbuf_output),
  ];

/** As many keys as the next power of two, from the front again: so the verifier sees bounds without a branch. */
function repeated({ words, stride, count }: KeySet): KeySet {
  const more = 2 ** Math.ceil(Math.log2(count));
  const all = new Uint32Array(more * stride);
  all.set(words);
  all.set(words.subarray(0, (more - count) * stride), words.length);
  return { words: all, stride, count: more };
}

function programOf(keysFd: number, stateFd: number, keys: KeySet, operation: ProgramOperation): asm.Insn[] {
  return asm.assemble([
    asm.mov64Imm(R6, OPS),
    asm.ldMapValue(R8, keysFd, 0),
    asm.ldMapValue(R9, stateFd, 0),
    asm.ldx("u32", R7, R9, 0),
    asm.label("next"),
    asm.alu64Imm("and", R7, keys.count - 1),
    asm.mov64(R2, R7),
    asm.alu64Imm("mul", R2, keys.stride * 4),
    asm.alu64("add", R2, R8),
    operation,
    asm.alu64Imm("add", R7, 1),
    asm.alu64Imm("sub", R6, 1),
    asm.jmpImm("jne", R6, 0, "next"),
    asm.stx("u32", R9, R7, 0),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
}

/** Makes room again after so many operations: of rings, which nobody reads while a program runs. */
export interface Emptying {
  readonly operations: number;
  empty(): void;
}

export class KernelProgram implements Side {
  readonly name: string;
  readonly #host: Host;
  readonly #fds: readonly number[];
  readonly #run: { readonly prog_fd: number; readonly data_in: Uint8Array };
  readonly #emptying: Emptying;

  constructor(
    name: string,
    host: Host,
    given: KeySet,
    operation: ProgramOperation,
    emptying: Emptying = { operations: Number.POSITIVE_INFINITY, empty: () => undefined },
  ) {
    const keys = repeated(given);
    this.name = name;
    this.#host = host;
    this.#emptying = emptying;
    const bytes = new Uint8Array(keys.words.buffer, keys.words.byteOffset, keys.words.byteLength);
    const array = { type: u.BPF_MAP_TYPE_ARRAY, maxEntries: 1, flags: 0 };
    const keysFd = createFd(name, host, { ...array, valueSize: bytes.length }, 4);
    const stateFd = createFd(name, host, { ...array, valueSize: STATE_SIZE }, 4);
    const stored = host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: keysFd, key: new Uint8Array(4), value: bytes });
    if (stored !== 0) throw new Error(`${name}: storing the keys gave ${stored}`);
    const code = asm.encodeInsns(programOf(keysFd, stateFd, keys, operation));
    const log = new Uint8Array(1 << 16);
    const prog = host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      insns: code,
      insn_cnt: code.length / asm.INSN_SIZE,
      license: "GPL",
      log_buf: log,
      log_size: log.length,
      log_level: 4,
    });
    if (prog < 0) {
      throw new Error(`${name}: PROG_LOAD gave ${prog}: ${new TextDecoder().decode(log).replace(/\0.*$/s, "")}`);
    }
    this.#fds = [prog, keysFd, stateFd];
    this.#run = { prog_fd: prog, data_in: new Uint8Array(PACKET) };
  }

  time(count: number): number {
    const { operations, empty } = this.#emptying;
    const runs = Math.max(1, Math.round(count / OPS));
    let total = 0;
    for (let left = runs; left > 0; ) {
      const some = Math.min(left, Math.floor(operations / OPS));
      total += this.#test(some) * some;
      left -= some;
      empty();
    }
    return total / runs / OPS;
  }

  /** Nanoseconds of one run, on average over so many. */
  #test(runs: number): number {
    const attr = { ...this.#run, data_size_in: PACKET, repeat: runs, duration: 0 };
    const ret = this.#host.bpf(u.BPF_PROG_TEST_RUN, attr);
    if (ret !== 0) throw new Error(`${this.name}: PROG_TEST_RUN gave ${ret}`);
    return attr.duration;
  }

  close(): void {
    for (const fd of this.#fds) this.#host.close(fd);
  }
}
