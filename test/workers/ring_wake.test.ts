/** Wake-ups of a ring's consumer by programs of another thread: none is lost. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { SB_WAKES } from "../../src/mem/layout.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram } from "../conformance/programs.ts";
import { newProgramRing } from "./ring_programs.ts";
import { startThread, times } from "./worker.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10 } = asm;
const RECORD = 16;
const TURNS = 10_000;

const send: Readonly<Record<string, (ring: number) => readonly asm.AsmItem[]>> = {
  output: (ring) => [
    asm.ldMapFd(R1, ring),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -8),
    asm.mov64Imm(R3, RECORD - 8),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_ringbuf_output),
  ],
  submit: (ring) => [
    asm.ldMapFd(R1, ring),
    asm.mov64Imm(R2, RECORD - 8),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_ringbuf_reserve),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R1, R0),
    asm.mov64Imm(R2, 0),
    asm.call(u.BPF_FUNC_ringbuf_submit),
  ],
};

/** Where all was read, a record and, as much later as the consumer takes or not, another; counted when they are sent. */
const producer = (ring: number, state: number, way: (ring: number) => readonly asm.AsmItem[]): asm.AsmItem[] => {
  const sendOne = [way(ring), asm.alu64Imm("add", R6, 1), asm.stx("u64", R9, R6, 0)];
  return [
    asm.ldMapValue(R9, state, 0),
    asm.ldx("u64", R6, R9, 0),
    asm.st("u64", R10, -8, 0),
    asm.mov64Imm(R8, TURNS),
    asm.label("next"),
    asm.ldMapFd(R1, ring),
    asm.mov64Imm(R2, u.BPF_RB_AVAIL_DATA),
    asm.call(u.BPF_FUNC_ringbuf_query),
    asm.jmpImm("jne", R0, 0, "read later"),
    sendOne,
    asm.mov64(R7, R6),
    asm.alu64Imm("mul", R7, 7),
    asm.alu64Imm("and", R7, 0xff),
    asm.label("delay"),
    asm.alu64Imm("sub", R7, 1),
    asm.jmpImm("jsgt", R7, 0, "delay"),
    sendOne,
    asm.label("read later"),
    asm.alu64Imm("sub", R8, 1),
    asm.jmpImm("jne", R8, 0, "next"),
    asm.label("end"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ];
};

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

/**
 * Reads all, then goes to sleep as often as `most` says: how often it did, and how often the next record was sent and
 * it was not woken. Positions stay below 2^31 here: their low halves are enough.
 */
function consume(words: Int32Array, consumer: number, produced: number, sent: number, most: number): number[] {
  const end = performance.now() + 60_000;
  let [sleeps, lost] = [0, 0];
  while (sleeps < most) {
    const seen = Atomics.load(words, SB_WAKES >> 2);
    const at = Atomics.load(words, produced);
    Atomics.store(words, consumer, at);
    if (Atomics.load(words, produced) !== at) continue;
    sleeps++;
    const isAsleep = (): boolean => Atomics.load(words, SB_WAKES >> 2) === seen;
    while (isAsleep()) {
      if (performance.now() > end) throw new Error(`nothing was sent after ${at} bytes`);
      // Who sent it has looked for sleepers before it said so.
      if (Atomics.load(words, sent) * RECORD <= at || !isAsleep()) continue;
      lost++;
      break;
    }
  }
  return [sleeps, lost];
}

test.each(Object.keys(send))("who goes to sleep when all is read is woken by the next record: %s", async (way) => {
  const { host, fd, stop } = newProgramRing(4096);
  const one = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1 };
  const state = host.bpf(u.BPF_MAP_CREATE, { ...one, map_flags: u.BPF_F_MMAPABLE });
  const { fd: prog, log } = loadProgram(host, producer(fd, state, send[way]!));
  expect(prog, log).toBeGreaterThan(0);
  const map = (of: number, offset: number, prot: number): Uint8Array =>
    host.mmap(of, { offset, length: 4096, prot }) as Uint8Array;
  const pages = [map(fd, 0, 3), map(fd, 4096, 1), map(state, 0, 1)] as const;
  const [consumer, produced, sent] = pages.map((page) => page.byteOffset >> 2) as [number, number, number];
  const ticket = host.share();
  const thread = startThread(produce, { ticket, prog, stop }, () => host.reap(ticket));
  const rounds = times(3_000);
  const result = consume(new Int32Array(pages[0].buffer), consumer, produced, sent, rounds);
  Atomics.store(new Int32Array(stop), 0, 1);
  expect(result).toEqual([rounds, 0]);
  await thread.done;
});
