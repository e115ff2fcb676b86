/** Threads whose programs produce into one ring, compiled ones and interpreted ones. */
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, resultMap } from "../conformance/programs.ts";
import type { RingRecord } from "./ring_consumer.ts";
import { type Started, sharedHost, startThread } from "./worker.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9 } = asm;
const RUN = 1_000;
/** Words of a producer's record by the low bits of its number: even ones are output, odd ones reserved. */
export const WORDS: readonly number[] = [5, 3, 17, 15];
const DROPPED = 7;
/** A producer's state: the number of its next record, then a record to be output. */
export const STATE_SIZE = 256;
const DATA = 8;

/** Word i of record n is n << 32 | i << 16 | producer: r7 has word 0. */
const fill = (to: asm.Reg, at: number, words: number): asm.AsmItem[] => [
  asm.mov64(R1, R7),
  Array.from({ length: words }, (_, i) => [asm.stx("u64", to, R1, at + 8 * i), asm.alu64Imm("add", R1, 1 << 16)]),
];

const output = (ring: number, words: number): asm.AsmItem[] => [
  fill(R9, DATA, words),
  asm.ldMapFd(R1, ring),
  asm.mov64(R2, R9),
  asm.alu64Imm("add", R2, DATA),
  asm.mov64Imm(R3, 8 * words),
  asm.mov64Imm(R4, 0),
  asm.call(u.BPF_FUNC_ringbuf_output),
  asm.jmpImm("jne", R0, 0, "end"),
];

const reserve = (ring: number, words: number, helper: number): asm.AsmItem[] => [
  asm.ldMapFd(R1, ring),
  asm.mov64Imm(R2, 8 * words),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_ringbuf_reserve),
  asm.jmpImm("jeq", R0, 0, "end"),
  fill(R0, 0, words),
  asm.mov64(R1, R0),
  asm.mov64Imm(R2, 0),
  asm.call(helper),
];

/** Up to RUN records, until the ring is full: that one is the first of the next run. */
function producer(host: EmbeddedHost, ring: number, state: number, id: number): number {
  const isLast = (n: number): boolean => n === DROPPED;
  const kind = (n: number): asm.AsmItem[] => [
    asm.jmpImm("jne", R1, n, `not ${n}`),
    n % 2 === 0
      ? output(ring, WORDS[n % 4]!)
      : reserve(ring, WORDS[n % 4]!, isLast(n) ? u.BPF_FUNC_ringbuf_discard : u.BPF_FUNC_ringbuf_submit),
    asm.ja("done"),
    asm.label(`not ${n}`),
  ];
  const { fd, log } = loadProgram(host, [
    asm.ldMapValue(R9, state, 0),
    asm.mov64Imm(R8, RUN),
    asm.label("next"),
    asm.ldx("u64", R6, R9, 0),
    asm.mov64(R7, R6),
    asm.alu64Imm("lsh", R7, 32),
    asm.alu64Imm("or", R7, id),
    asm.mov64(R1, R6),
    asm.alu64Imm("and", R1, 7),
    Array.from({ length: 8 }, (_, n) => kind(n)),
    asm.label("done"),
    asm.alu64Imm("add", R6, 1),
    asm.stx("u64", R9, R6, 0),
    asm.alu64Imm("sub", R8, 1),
    asm.jmpImm("jne", R8, 0, "next"),
    asm.label("end"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ]);
  if (fd < 0) throw new Error(`producer ${id} does not load: ${fd} ${log}`);
  return fd;
}

const produce = `
  const { attachEmbeddedHost } = await load("host/embedded");
  const host = attachEmbeddedHost(data.ticket);
  const data_in = new Uint8Array(64);
  const stop = new Int32Array(data.stop);
  while (Atomics.load(stop, 0) === 0) {
    const ret = host.bpf(${u.BPF_PROG_TEST_RUN}, { prog_fd: data.prog, data_in, data_size_in: 64 });
    if (ret !== 0) throw new Error("test run: " + ret);
  }
  host.dispose();
`;

export interface ProgramRing {
  readonly host: EmbeddedHost;
  readonly fd: number;
  readonly size: number;
  readonly stop: SharedArrayBuffer;
}

/** A thread that runs the program of producer `id`, which keeps its state in this map, until it is stopped. */
export function startProgram(
  { host, fd, stop }: ProgramRing,
  id: number,
  state: number = resultMap(host, STATE_SIZE),
): Started<void> {
  const ticket = host.share();
  const prog = producer(host, fd, state, id);
  // One of four is interpreted.
  const engine = id % 4 === 3 ? "interp" : "jit";
  return startThread(produce, { ticket: { ...ticket, engine }, prog, stop }, () => host.reap(ticket));
}

/** What came of each producer. A record that is not whole, or not in its turn, is thrown. */
export class Ledger {
  readonly next: Map<number, number> = new Map();
  /** Producers that are no more. Of each, one record may have been given up by others. */
  dead = 0;
  #givenUp = 0;

  visit({ payload, dropped }: RingRecord): void {
    const id = payload.readUInt16LE(0);
    const n = payload.readUInt32LE(4);
    const expected = this.next.get(id) ?? 0;
    if (n === expected && dropped === (n % 8 === DROPPED) && isWhole(payload, id, n)) {
      this.next.set(id, n + 1);
    } else if (!dropped || ++this.#givenUp > this.dead) {
      throw new Error(`record ${n} of ${id}, ${payload.length} bytes, expected ${expected}, dropped: ${dropped}`);
    }
  }

  hasFrom(ids: readonly number[], records: number): boolean {
    return ids.every((id) => (this.next.get(id) ?? 0) >= records);
  }
}

function isWhole(payload: Buffer, id: number, n: number): boolean {
  const words = WORDS[n % 4]!;
  const word = (i: number): boolean =>
    payload.readUInt32LE(8 * i) === ((i << 16) | id) && payload.readUInt32LE(8 * i + 4) === n;
  return payload.length === 8 * words && Array.from({ length: words }, (_, i) => i).every(word);
}

export function newProgramRing(size: number): ProgramRing {
  const host = sharedHost({ cpus: 4 });
  const fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: size });
  return { host, fd, size, stop: new SharedArrayBuffer(4) };
}

export function stopPrograms({ stop }: ProgramRing): void {
  Atomics.store(new Int32Array(stop), 0, 1);
}
