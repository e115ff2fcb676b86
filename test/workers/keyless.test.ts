/** Rings, queues, stacks and bloom filters under several threads. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import { createKernel } from "../../src/kern/create.ts";
import { alloc } from "../../src/mem/alloc.ts";
import { jhash } from "../../src/struct/jhash.ts";
import * as u from "../../src/uapi/index.ts";
import { readResults, resultMap } from "../conformance/programs.ts";
import { consumeRing, type RingRecord } from "./ring_consumer.ts";
import {
  Ledger,
  newProgramRing,
  type ProgramRing,
  STATE_SIZE,
  startProgram,
  stopPrograms,
  WORDS,
} from "./ring_programs.ts";
import { type Started, sharedHost, startOn, startThread, times } from "./worker.ts";

/** Records of { u32 producer, u32 number, bytes that follow from both }; odd ones reserved and committed, some dropped. */
const produce = `
  const { attachKernel } = await load("kern/create");
  const { ringReserve, ringCommit, ringOutput } = await load("struct/ring");
  const { OBJ_MAP } = await load("mem/layout");
  const { alloc } = await load("mem/alloc");
  const k = attachKernel(data.ticket.memory, data.ticket.client);
  const map = k.get(data.fd, OBJ_MAP);
  const buffer = alloc(k.mem, 1024);
  const fill = (at, n, size) => {
    k.mem.view.setUint32(at, data.id, true);
    k.mem.view.setUint32(at + 4, n, true);
    for (let i = 8; i < size; i++) k.mem.u8[at + i] = n + i * data.id;
  };
  for (let n = 0; n < data.records; n++) {
    const size = 8 + ((n * 37) % 300);
    let sample = 0;
    if (n % 2 === 0 || data.outputOnly) {
      fill(buffer, n, size);
      while (ringOutput(k, map, buffer, size, 0) !== 0) k.mem.atomics.load32(0);
      continue;
    }
    while ((sample = ringReserve(k, map, size)) === 0) k.mem.atomics.load32(0);
    fill(sample, n, size);
    ringCommit(k, map, sample, 0, n % 7 === 0);
  }
`;

/** A producer calls the ring itself, as programs do: it attaches below the host. */
function startProducer(host: EmbeddedHost, data: object): Started<void> {
  const ticket = host.share();
  return startThread(produce, { ...data, ticket }, () => host.reap(ticket));
}

/** Reads until `enough`; every producer's records must come whole and in order. */
async function consume(
  host: EmbeddedHost,
  fd: number,
  size: number,
  enough: (next: number[]) => boolean,
): Promise<number[]> {
  const next: number[] = [];
  const visit = ({ payload, dropped }: RingRecord): void => {
    const { length } = payload;
    const id = payload.readUInt32LE(0);
    const n = payload.readUInt32LE(4);
    let sum = 0;
    for (let i = 8; i < length; i++) sum |= payload[i]! ^ ((n + i * id) & 255);
    if (n !== (next[id] ?? 0) || sum !== 0 || length !== 8 + ((n * 37) % 300) || (dropped && n % 7 !== 0)) {
      throw new Error(`producer ${id}: record ${n} of ${length} bytes after ${next[id]}, check ${sum}`);
    }
    next[id] = n + 1;
  };
  await consumeRing(host, fd, size, visit, () => enough(next));
  return next;
}

for (const size of [4096, 65536]) {
  test(`three producers, one ring of ${size} bytes: every record whole and in order`, async () => {
    const host = sharedHost();
    const fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: size });
    const records = times(3_000);
    const workers = [0, 1, 2].map((id) => startProducer(host, { fd, id, records }));
    const next = await consume(host, fd, size, (n) => [0, 1, 2].every((id) => n[id] === records));
    expect(next).toEqual([records, records, records]);
    await Promise.all(workers.map((w) => w.done));
  });
}

test("a producer that is terminated in bpf_ringbuf_output stops nobody", async () => {
  const host = sharedHost();
  const records = times(2_000);
  for (let round = 0; round < 5; round++) {
    const fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 65536 });
    const victim = startProducer(host, { fd, id: 0, records: 1e9, outputOnly: true });
    const other = startProducer(host, { fd, id: 1, records, outputOnly: true });
    let killed = false;
    await consume(host, fd, 65536, (next) => {
      if (!killed && (next[0] ?? 0) > 100 * (round + 1)) {
        killed = true;
        victim.worker.terminate();
      }
      return killed && next[1] === records;
    });
    await Promise.all([victim.gone, other.gone]);
    host.close(fd);
  }
});

const PRODUCERS = [0, 1, 2, 3];

const consumeRecords = ({ host, fd, size }: ProgramRing, ledger: Ledger, isEnough: () => boolean): Promise<void> =>
  consumeRing(host, fd, size, (record) => ledger.visit(record), isEnough);

test("programs of four threads and one ring: every record whole and in order", async () => {
  const ring = newProgramRing(16384);
  const ledger = new Ledger();
  const threads = PRODUCERS.map((id) => startProgram(ring, id));
  await consumeRecords(ring, ledger, () => ledger.hasFrom(PRODUCERS, times(1_000)));
  stopPrograms(ring);
  await Promise.all(threads.map(({ done, gone }) => done.then(() => gone)));
  expect(ledger.hasFrom(PRODUCERS, times(1_000))).toBe(true);
});

test("programs of four threads that nobody reads: what they produced is all that the position has moved", async () => {
  const ring = newProgramRing(1 << 20);
  const { host, fd } = ring;
  const states = PRODUCERS.map(() => resultMap(host, STATE_SIZE));
  const threads = PRODUCERS.map((id) => startProgram(ring, id, states[id]));
  const [consumer, producers] = [3, 1].map((prot, page) => {
    const { buffer, byteOffset } = host.mmap(fd, { offset: page * 4096, length: 4096, prot }) as Uint8Array;
    return new BigInt64Array(buffer, byteOffset, 1);
  }) as [BigInt64Array, BigInt64Array];
  const enough = BigInt(times(32 << 20));
  for (let at = 0n; at < enough; at = Atomics.load(producers, 0)) {
    Atomics.store(consumer, 0, at);
    await new Promise(setImmediate);
  }
  stopPrograms(ring);
  await Promise.all(threads.map(({ done, gone }) => done.then(() => gone)));
  let bytes = 0n;
  for (const state of states) {
    const count = readResults(host, state, STATE_SIZE)[0]!;
    expect(count).toBeGreaterThan(0n);
    for (let n = 0n; n < count; n++) bytes += BigInt(8 + 8 * WORDS[Number(n % 4n)]!);
  }
  expect(Atomics.load(producers, 0)).toBe(bytes);
});

test("threads that are terminated while their programs produce: no other loses anything, and the ring goes on", async () => {
  const ring = newProgramRing(65536);
  const ledger = new Ledger();
  const survivor = startProgram(ring, 0);
  for (let round = 0; round < times(4); round++) {
    const id = round + 1;
    const victim = startProgram(ring, id);
    const enough = 50 + 97 * round;
    await consumeRecords(ring, ledger, () => ledger.hasFrom([id], enough));
    ledger.dead++;
    void victim.worker.terminate();
    const before = ledger.next.get(0) ?? 0;
    await Promise.all([victim.gone, consumeRecords(ring, ledger, () => ledger.hasFrom([0], before + 200))]);
  }
  stopPrograms(ring);
  await survivor.done;
});

const pushAndPop = `
  const value = new Uint32Array(2);
  let sum = 0, odd = 0, got = 0;
  for (let n = 1; n <= data.rounds; n++) {
    value[0] = n;
    value[1] = ~n;
    if (host.bpf(2, { map_fd: data.fd, value, flags: 0 }) === 0) sum += n;
    if (n % 3 === 0) continue;
    if (host.bpf(21, { map_fd: data.fd, value }) !== 0) continue;
    if (value[0] !== (~value[1] >>> 0)) odd++;
    sum -= value[0];
    got++;
  }
  return { sum, odd, got };
`;

for (const map_type of [u.BPF_MAP_TYPE_QUEUE, u.BPF_MAP_TYPE_STACK]) {
  test(`three threads push to and pop from map type ${map_type}: nothing lost, nothing twice, nothing torn`, async () => {
    const host = sharedHost();
    const fd = host.bpf(u.BPF_MAP_CREATE, { map_type, value_size: 8, max_entries: 50 });
    const workers = [0, 1, 2].map(() =>
      startOn<{ sum: number; odd: number; got: number }>(host, pushAndPop, { fd, rounds: times(8_000) }),
    );
    const results = await Promise.all(workers.map((w) => w.done));
    let sum = results.reduce((all, r) => all + r.sum, 0);
    expect(results.map((r) => r.odd)).toEqual([0, 0, 0]);
    expect(Math.min(...results.map((r) => r.got))).toBeGreaterThan(100);
    const value = new Uint32Array(2);
    while (host.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd: fd, value }) === 0) sum -= value[0]!;
    expect(sum).toBe(0);
  });
}

/** Sets every second bit from `id` on, word after word, in step with the other thread, which sets the others. */
const addInStep = `
  const value = new Uint32Array(1);
  const gate = new Int32Array(data.gate);
  for (const [round, fd] of data.fds.entries()) {
    Atomics.add(gate, round, 1);
    while (Atomics.load(gate, round) < 2);
    for (let bit = data.id; bit < data.values.length; bit += 2) {
      value[0] = data.values[bit];
      host.bpf(2, { map_fd: fd, value, flags: 0 });
    }
  }
`;

test("two threads add to the same words of a bloom filter: no bit is lost", async () => {
  const host = sharedHost();
  // One hash function and 4096 bits.
  const shape = { map_type: u.BPF_MAP_TYPE_BLOOM_FILTER, value_size: 4, max_entries: 2900, map_extra: 1 };
  const attr = { ...shape, map_flags: u.BPF_F_ZERO_SEED };
  const values = valuesByBit(4096);
  const fds = Array.from({ length: times(16) }, () => host.bpf(u.BPF_MAP_CREATE, attr));
  const gate = new SharedArrayBuffer(4 * fds.length);
  const workers = [0, 1].map((id) => startOn<void>(host, addInStep, { fds, id, values, gate }));
  await Promise.all(workers.map((w) => w.done));
  const value = new Uint32Array(1);
  let lost = 0;
  for (const map_fd of fds) {
    for (const v of values) {
      value[0] = v;
      if (host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, value }) !== 0) lost++;
    }
  }
  expect(lost).toBe(0);
});

/** For each bit of a filter with one hash function and seed 0 a value that sets it. */
function valuesByBit(bits: number): Uint32Array {
  const { mem } = createKernel({ memory: 1 << 20, cpus: 1, shared: false, seed: 1, virtualClock: true });
  const at = alloc(mem, 8);
  const values = new Uint32Array(bits);
  const found = new Set<number>();
  for (let n = 0; found.size < bits; n++) {
    mem.u32[at >>> 2] = n;
    const bit = jhash(mem, at, 4, 0) & (bits - 1);
    found.add(bit);
    values[bit] = n;
  }
  return values;
}
