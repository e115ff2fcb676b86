/** Ring buffers read from where programs write them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import {
  BPF_FUNC_ringbuf_discard,
  BPF_FUNC_ringbuf_output,
  BPF_FUNC_ringbuf_reserve,
  BPF_RB_NO_WAKEUP,
  BPF_RINGBUF_BUSY_BIT,
  type BpfHost,
  type Program,
  type RingBuf,
  struct,
  u32,
} from "../index.ts";
import * as asm from "../insn/index.ts";

const SIZE = 4096;
const Event = struct({ number: u32, twice: u32 });
const packet = new Uint8Array(64);

/**
 * XDP: for each run a record { n, 2n }, n being the first word of the packet; `spare` bytes more are part of it. With
 * `discard` a record of 8 bytes is reserved and discarded before that.
 */
function producer(host: BpfHost, ring: RingBuf<unknown>, flags: number, discard: boolean, spare: number = 0): Program {
  const dropped = [
    asm.ldMapFd(asm.R1, ring.fd),
    asm.mov64Imm(asm.R2, 8),
    asm.mov64Imm(asm.R3, 0),
    asm.call(BPF_FUNC_ringbuf_reserve),
    asm.jmpImm("jeq", asm.R0, 0, "go"),
    asm.mov64(asm.R1, asm.R0),
    asm.mov64Imm(asm.R2, 0),
    asm.call(BPF_FUNC_ringbuf_discard),
  ];
  const insns = asm.assemble([
    asm.ldx("u32", asm.R6, asm.R1, 0),
    asm.ldx("u32", asm.R7, asm.R1, 4),
    asm.mov64(asm.R2, asm.R6),
    asm.alu64Imm("add", asm.R2, 14),
    asm.mov64Imm(asm.R0, -1),
    asm.jmp("jgt", asm.R2, asm.R7, "out"),
    asm.ldx("u32", asm.R8, asm.R6, 0),
    discard ? dropped : [],
    asm.label("go"),
    Array.from({ length: 8 }, (_, i) => asm.st("u64", asm.R10, -64 + 8 * i, 0)),
    asm.stx("u32", asm.R10, asm.R8, -64),
    asm.alu64("add", asm.R8, asm.R8),
    asm.stx("u32", asm.R10, asm.R8, -60),
    asm.ldMapFd(asm.R1, ring.fd),
    asm.mov64(asm.R2, asm.R10),
    asm.alu64Imm("add", asm.R2, -64),
    asm.mov64Imm(asm.R3, 8 + spare),
    asm.mov64Imm(asm.R4, flags),
    asm.call(BPF_FUNC_ringbuf_output),
    asm.label("out"),
    asm.exit(),
  ]);
  return host.loadProgram({ type: "xdp", insns, license: "GPL" });
}

/** Runs the program for these numbers; returns how many records found room. */
function produce(program: Program, ...numbers: number[]): number {
  const view = new DataView(packet.buffer);
  return numbers.filter((n) => {
    view.setUint32(0, n, true);
    return program.run({ data: packet }).retval === 0;
  }).length;
}

const numbered = (n: number): { number: number; twice: number } => ({ number: n, twice: 2 * n });
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

onEachEngine((host) => {
  let ring: RingBuf<{ number: number; twice: number }>;
  let program: Program;
  beforeAll(() => {
    ring = host.createMap({ type: "ringbuf", name: "events", maxEntries: SIZE, record: Event });
    program = producer(host, ring, 0, false);
  });
  afterAll(() => {
    program.close();
    ring.close();
  });

  test("records come out decoded, in order, once", () => {
    expect([ring.pending(), ring.drain(() => expect.fail("there is none"))]).toEqual([0, 0]);
    produce(program, 1, 2, 3);
    expect(ring.pending()).toBe(48);
    const seen: unknown[] = [];
    expect(ring.drain((record) => void seen.push(record), { max: 2 })).toBe(2);
    expect(ring.pending()).toBe(16);
    expect(ring.drain((record) => void seen.push(record))).toBe(1);
    expect(seen).toEqual([1, 2, 3].map(numbered));
    expect(ring.drain(() => undefined)).toBe(0);
  });

  test("round and round, full to the last byte", () => {
    let next = 0;
    for (let round = 0; round < 20; round++) {
      const fits = produce(program, ...upTo(300).map((i) => next + i));
      // One 8-byte word less than the ring has stays free.
      expect(fits).toBe(SIZE / 16 - 1);
      const seen: number[] = [];
      expect(ring.drain((record) => void seen.push(record.number))).toBe(fits);
      expect(seen).toEqual(upTo(fits).map((i) => next + i));
      next += 1000;
    }
  });

  test("a callback that throws has had its record", () => {
    produce(program, 1, 2, 3);
    const fail = (): void => {
      throw new Error("no more");
    };
    expect(() => ring.drain(fail)).toThrow("no more");
    const seen: number[] = [];
    ring.drain((record) => {
      seen.push(record.number);
      expect(() => ring.drain(() => undefined)).toThrow(/cannot drain/);
    });
    expect(seen).toEqual([2, 3]);
  });

  test("discarded records are skipped, longer ones cut, shorter ones refused", () => {
    const discarding = producer(host, ring, 0, true, 16);
    produce(discarding, 5, 6);
    const seen: unknown[] = [];
    expect(ring.drain((record) => void seen.push(record))).toBe(2);
    expect(seen).toEqual([5, 6].map(numbered));
    expect(ring.pending()).toBe(0);
    discarding.close();
    const strict = host.openMap({ id: ring.id }, { type: "ringbuf", record: struct({ a: u32, b: u32, c: u32 }) });
    produce(program, 1);
    expect(() => strict.drain(() => undefined)).toThrow(/record: a record of 8 bytes; struct needs 12/);
    strict.close();
    expect(ring.pending()).toBe(0);
  });

  test("as bytes, and by a function", () => {
    const raw = host.openMap({ id: ring.id }, { type: "ringbuf" });
    const own = host.openMap({ id: ring.id }, { type: "ringbuf", record: (bytes) => `${bytes.length}:${bytes[0]}` });
    produce(program, 7, 8);
    const seen: unknown[] = [];
    raw.drain((bytes) => void seen.push(bytes), { max: 1 });
    own.drain((text) => void seen.push(text));
    expect(seen).toEqual([Uint8Array.of(7, 0, 0, 0, 14, 0, 0, 0), "8:8"]);
    raw.close();
    own.close();
  });

  test("batches: one promise for a wake-up", async () => {
    const stop = new AbortController();
    const sizes: number[] = [];
    const done = (async () => {
      for await (const batch of ring.batches({ signal: stop.signal, max: 40 })) {
        sizes.push(batch.length);
        if (batch.at(-1)!.number === 149) stop.abort(new Error("enough"));
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sizes).toEqual([]);
    produce(program, ...upTo(50));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sizes).toEqual([40, 10]);
    produce(program, ...upTo(50).map((i) => 100 + i));
    await expect(done).rejects.toThrow("enough");
    expect(sizes).toEqual([40, 10, 40, 10]);
  });

  test("batches end when the loop is left, and when the map is closed", async () => {
    produce(program, ...upTo(5));
    for await (const batch of ring.batches({ max: 2 })) {
      expect(batch.map((record) => record.number)).toEqual([0, 1]);
      break;
    }
    expect(ring.drain(() => undefined)).toBe(3);
    const other = host.openMap({ id: ring.id }, { type: "ringbuf", record: Event });
    const all: unknown[] = [];
    const done = (async () => {
      for await (const batch of other.batches()) all.push(...batch);
    })();
    await new Promise((resolve) => setTimeout(resolve, 10));
    other.close();
    await done;
    expect(all).toEqual([]);
    for await (const _ of other.batches()) expect.fail("it is closed");
  });

  test("batches look also when nobody wakes them", async () => {
    const silent = producer(host, ring, BPF_RB_NO_WAKEUP, false);
    const loop = ring.batches({ everyMs: 5 });
    const next = loop.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    produce(silent, 1);
    expect((await next).value).toEqual([numbered(1)]);
    await loop.return();
    silent.close();
  });

  test("batches that never end leave others their turn", async () => {
    produce(program, 1);
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(new Error("time")), 30);
    const started = performance.now();
    const read = async (): Promise<void> => {
      for await (const _ of ring.batches({ signal: stop.signal })) {
        if (performance.now() - started > 2000) return;
        produce(program, 1);
      }
    };
    await expect(read()).rejects.toThrow("time");
    clearTimeout(timer);
    ring.drain(() => undefined);
  });

  test("a record that is still being written stops the reader", async () => {
    // Only memory of the embedded host can be made to look so.
    if (host.kind === "kernel") return;
    const pages = host.mmap(ring.fd, { offset: 4096, length: 4096 + 2 * SIZE, prot: 1 }) as Uint8Array;
    const records = new DataView(pages.buffer, pages.byteOffset + 4096);
    const at = Number(new DataView(pages.buffer, pages.byteOffset).getBigUint64(0, true)) % SIZE;
    produce(program, 1, 2, 3);
    const header = (at + 16) % SIZE;
    records.setUint32(header, 8 + BPF_RINGBUF_BUSY_BIT, true);
    const seen: number[] = [];
    expect(ring.drain((record) => void seen.push(record.number))).toBe(1);
    expect(ring.pending()).toBe(32);
    const next = ring.batches().next();
    await new Promise((resolve) => setTimeout(resolve, 10));
    records.setUint32(header, 8, true);
    expect((await next).value).toEqual([numbered(2), numbered(3)]);
    // Lengths that lead nowhere end in an error, not in nonsense.
    produce(program, 4);
    records.setUint32((at + 48) % SIZE, 100_000, true);
    expect(() => ring.drain(() => undefined)).toThrow(expect.objectContaining({ code: "EBADMSG" }));
    records.setUint32((at + 48) % SIZE, 8, true);
    expect(ring.drain(() => undefined)).toBe(1);
    host.munmap(pages);
  });

  test("an aborted signal, and a wrong number", async () => {
    await expect(ring.batches({ signal: AbortSignal.abort("no") }).next()).rejects.toBe("no");
    await expect(ring.batches({ max: 0 }).next()).rejects.toThrow(/max is 0/);
    expect(() => ring.drain(() => undefined, { max: -1 })).toThrow(/max is -1/);
  });

  test("a ring closed by its own callback", () => {
    const other = host.openMap({ id: ring.id }, { type: "ringbuf", record: Event });
    produce(program, 1, 2);
    expect(other.drain(() => other.close())).toBe(1);
    expect(() => other.drain(() => undefined)).toThrow(/ringbuf map `events` is closed/);
    ring.drain(() => undefined);
  });
});
