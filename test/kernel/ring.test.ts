/**
 * RINGBUF beside the kernel: programs that reserve, submit, discard, output and query run there, the same calls are made
 * here, and results, positions, headers, data, readiness and wake-ups are compared. Consumers read, lag behind and
 * store nonsense between the programs.
 */

import { afterAll, expect, test } from "vitest";
import type { Host, UserBuffer } from "../../src/host/host.ts";
import { type Libc, openLibc } from "../../src/host/kernel_libc.ts";
import * as asm from "../../src/insn/asm.ts";
import { encodeInsns } from "../../src/insn/codec.ts";
import { createKernel } from "../../src/kern/create.ts";
import { allocMap, destroyMap } from "../../src/kern/map.ts";
import { ringbufMap } from "../../src/maps/ringbuf.ts";
import { alloc } from "../../src/mem/alloc.ts";
import { markOf, RING_WAKEUPS, ringCommit, ringOutput, ringQuery, ringReserve } from "../../src/struct/ring.ts";
import { RING_BASE, RING_DATA, RING_PROD_PAGE } from "../../src/struct/ring_map.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost } from "../kernel.ts";
import { PLAIN_MAP } from "../plain_map.ts";
import { randomOf } from "../random.ts";

type Op =
  | { readonly do: "output"; readonly size: number; readonly from: number; readonly flags: number }
  | { readonly do: "query"; readonly what: number }
  | { readonly do: "reserve"; readonly slot: number; readonly size: number; readonly mark: number }
  | { readonly do: "commit"; readonly slot: number; readonly flags: number; readonly discard: boolean };

const RESULTS_MAX = 64;
const DATA_SIZE = 8192;
const PAGE = 4096;

/** What both sides can be asked between the programs. */
abstract class Side {
  abstract readonly mapping: Uint8Array;
  abstract readonly ringSize: number;
  /** Results of the operations, as the program sees them. */
  abstract run(ops: readonly Op[]): bigint[];
  abstract ready(): boolean;
  /** Whether anybody was woken since the last call. */
  abstract woken(): boolean;
  abstract setConsumer(position: bigint): void;

  get #view(): DataView {
    return new DataView(this.mapping.buffer, this.mapping.byteOffset, this.mapping.length);
  }

  producer(): bigint {
    return this.#view.getBigUint64(RING_PROD_PAGE, true);
  }

  /** Header words and payload of the record at this position; `bytes`: where its header does not say how many. */
  record(position: bigint, bytes?: number): { length: number; page: number; payload: Buffer } {
    const at = RING_DATA + Number(position % BigInt(this.ringSize));
    const length = this.#view.getUint32(at, true);
    const size = bytes ?? length & 0x3fff_ffff;
    return {
      length,
      page: this.#view.getUint32(at + 4, true),
      payload: Buffer.from(this.mapping.subarray(at + 8, at + 8 + size)),
    };
  }
}

class KernelRing extends Side {
  readonly mapping: Uint8Array;
  readonly ringSize: number;
  readonly #host: Host;
  readonly #fd: number;
  readonly #results: number;
  readonly #data: number;
  readonly #consumer: Uint8Array;
  readonly #epoll: number;
  readonly #libc: Libc = openLibc();
  /** Room for a struct epoll_event. */
  readonly #event: UserBuffer;

  constructor(host: Host, ringSize: number, data: Uint8Array) {
    super();
    this.#host = host;
    this.ringSize = ringSize;
    this.#fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: ringSize });
    const one = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, max_entries: 1 };
    this.#results = host.bpf(u.BPF_MAP_CREATE, { ...one, value_size: RESULTS_MAX * 8 });
    this.#data = host.bpf(u.BPF_MAP_CREATE, { ...one, value_size: DATA_SIZE });
    const key = new Uint8Array(4);
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: this.#data, key, value: data });
    const map = (offset: number, length: number, prot: number): Uint8Array => {
      const view = host.mmap(this.#fd, { offset, length, prot });
      if (typeof view === "number") throw new Error(`mmap: ${view}`);
      return view;
    };
    this.mapping = map(0, RING_DATA + 2 * ringSize, 1);
    this.#consumer = map(0, PAGE, 3);
    // EPOLLIN | EPOLLET
    this.#epoll = this.#libc.epoll_create1(0);
    this.#event = host.user.alloc(16);
    const { bytes, address } = this.#event;
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, 0x8000_0001, true);
    const ret = this.#libc.epoll_ctl(this.#epoll, 1, this.#fd, Number(address));
    if (ret !== 0) throw new Error(`epoll_ctl: errno ${this.#libc.errno()}`);
  }

  #code(op: Op, i: number): asm.AsmItem {
    const { ldMapFd, mov64, mov64Imm, call, jmpImm, label, ja, R0, R1, R2, R3, R4, R6, R7, R10 } = asm;
    const slot = (n: number): number => -8 * (n + 1);
    const ring = ldMapFd(R1, this.#fd);
    const store = asm.stx("u64", R6, R0, i * 8);
    switch (op.do) {
      case "output":
        return [
          ring,
          mov64(R2, R7),
          asm.alu64Imm("add", R2, op.from),
          mov64Imm(R3, op.size),
          mov64Imm(R4, op.flags),
          call(u.BPF_FUNC_ringbuf_output),
          store,
        ];
      case "query":
        return [ring, mov64Imm(R2, op.what), call(u.BPF_FUNC_ringbuf_query), store];
      case "reserve":
        return [
          ring,
          mov64Imm(R2, op.size),
          mov64Imm(R3, 0),
          call(u.BPF_FUNC_ringbuf_reserve),
          asm.stx("u64", R10, R0, slot(op.slot)),
          jmpImm("jeq", R0, 0, `null${i}`),
          op.size >= 8 ? asm.st("u64", R0, 0, op.mark) : [],
          asm.st("u64", R6, i * 8, 1),
          ja(`end${i}`),
          label(`null${i}`),
          asm.st("u64", R6, i * 8, 0),
          label(`end${i}`),
        ];
      case "commit":
        return [
          asm.st("u64", R6, i * 8, 0),
          asm.ldx("u64", R1, R10, slot(op.slot)),
          jmpImm("jeq", R1, 0, `end${i}`),
          mov64Imm(R2, op.flags),
          call(op.discard ? u.BPF_FUNC_ringbuf_discard : u.BPF_FUNC_ringbuf_submit),
          label(`end${i}`),
        ];
    }
  }

  run(ops: readonly Op[]): bigint[] {
    const insns = encodeInsns(
      asm.assemble([
        asm.ldMapValue(asm.R6, this.#results, 0),
        asm.ldMapValue(asm.R7, this.#data, 0),
        ops.map((op, i) => this.#code(op, i)),
        asm.mov64Imm(asm.R0, 0),
        asm.exit(),
      ]),
    );
    const log = new Uint8Array(1 << 16);
    const prog_fd = this.#host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      insn_cnt: insns.length / 8,
      insns,
      license: "GPL",
      log_level: 1,
      log_size: log.length,
      log_buf: log,
    });
    if (prog_fd < 0) throw new Error(`PROG_LOAD: ${prog_fd}\n${Buffer.from(log).toString().slice(-2000)}`);
    const test = { prog_fd, data_size_in: 64, data_in: new Uint8Array(64), repeat: 1 };
    const ret = this.#host.bpf(u.BPF_PROG_TEST_RUN, test);
    if (ret !== 0) throw new Error(`PROG_TEST_RUN: ${ret}`);
    this.#host.close(prog_fd);
    const value = new BigUint64Array(RESULTS_MAX);
    this.#host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: this.#results, key: new Uint8Array(4), value });
    return [...value.subarray(0, ops.length)];
  }

  ready(): boolean {
    const ready = this.#host.poll([this.#fd], 0);
    return typeof ready !== "number" && ready.length > 0;
  }

  woken(): boolean {
    return this.#libc.epoll_wait(this.#epoll, Number(this.#event.address), 1, 0) > 0;
  }

  setConsumer(position: bigint): void {
    new DataView(this.#consumer.buffer, this.#consumer.byteOffset).setBigUint64(0, position, true);
  }

  close(): void {
    this.#libc.close(this.#epoll);
    this.#event.free();
    for (const view of [this.mapping, this.#consumer]) this.#host.munmap(view);
    for (const fd of [this.#fd, this.#results, this.#data]) this.#host.close(fd);
  }
}

class EmbeddedRing extends Side {
  readonly mapping: Uint8Array;
  readonly ringSize: number;
  readonly #kernel;
  readonly #map: number;
  readonly #data: number;
  readonly #high: number;
  #seen = 0;

  constructor(shared: boolean, ringSize: number, data: Uint8Array) {
    super();
    const k = createKernel({ memory: 4 << 20, cpus: 2, shared, seed: 1, virtualClock: true });
    this.#kernel = k;
    this.ringSize = ringSize;
    this.#map = allocMap(k, ringbufMap, {
      map_type: u.BPF_MAP_TYPE_RINGBUF,
      key_size: 0,
      value_size: 0,
      max_entries: ringSize,
      map_flags: 0,
      ...PLAIN_MAP,
    });
    this.#data = alloc(k.mem, DATA_SIZE);
    this.#high = alloc(k.mem, 8);
    k.mem.u8.set(data, this.#data);
    const base = k.mem.u32[(this.#map + RING_BASE) >>> 2]!;
    this.mapping = k.mem.u8.subarray(base, base + RING_DATA + 2 * ringSize);
  }

  run(ops: readonly Op[]): bigint[] {
    const samples: number[] = [];
    return ops.map((op) => this.#call(op, samples));
  }

  #call(op: Op, samples: number[]): bigint {
    const k = this.#kernel;
    const map = this.#map;
    switch (op.do) {
      case "output":
        return BigInt.asUintN(64, BigInt(ringOutput(k, map, this.#data + op.from, op.size, op.flags)));
      case "query": {
        const low = BigInt(ringQuery(k, map, op.what, this.#high) >>> 0);
        return (BigInt(k.mem.u32[this.#high >>> 2]!) << 32n) | low;
      }
      case "reserve": {
        const sample = ringReserve(k, map, op.size);
        samples[op.slot] = sample;
        if (sample !== 0 && op.size >= 8) k.mem.u64[sample >>> 3] = BigInt(op.mark);
        return sample === 0 ? 0n : 1n;
      }
      case "commit":
        if (samples[op.slot] !== 0) ringCommit(k, map, samples[op.slot]!, op.flags, op.discard);
        return 0n;
    }
  }

  ready(): boolean {
    return ringbufMap.ops.map_poll(this.#kernel, this.#map) !== 0;
  }

  woken(): boolean {
    const count = this.#kernel.mem.u32[(this.#map + RING_WAKEUPS) >>> 2]!;
    const woken = count !== this.#seen;
    this.#seen = count;
    return woken;
  }

  setConsumer(position: bigint): void {
    new DataView(this.mapping.buffer, this.mapping.byteOffset).setBigUint64(0, position, true);
  }

  close(): void {
    destroyMap(this.#kernel, this.#map);
  }
}

/** A program's worth of calls: every record that it reserves is submitted or discarded, in any order. */
function randomOps(random: (n: number) => number, ringSize: number): Op[] {
  const size = (): number => {
    const kind = random(5);
    if (kind < 2) return random(50);
    if (kind < 4) return random(ringSize >> 2);
    return [ringSize - 16, ringSize - 15, ringSize - 8, ringSize >> 1][random(4)]!;
  };
  const flags = (): number => [0, 0, 0, 1, 2, 3][random(6)]!;
  const ops: Op[] = [];
  const open: number[] = [];
  let slots = 0;
  const commit = (): void => {
    const [slot] = open.splice(random(open.length), 1);
    ops.push({
      do: "commit",
      slot: slot!,
      flags: random(9) === 0 ? 0x70 | flags() : flags(),
      discard: random(3) === 0,
    });
  };
  for (let n = 4 + random(10); n > 0; n--) {
    const kind = random(10);
    if (kind < 5) {
      const length = size();
      ops.push({ do: "output", size: length, from: random(DATA_SIZE - length), flags: random(12) === 0 ? 4 : flags() });
    } else if (kind < 7 && slots < 4) {
      ops.push({ do: "reserve", slot: slots, size: size(), mark: random(2 ** 31) });
      open.push(slots++);
    } else if (kind < 9 && open.length > 0) {
      commit();
    } else {
      ops.push({ do: "query", what: random(6) });
    }
  }
  while (open.length > 0) commit();
  return ops;
}

function isRecord(op: Op): op is Extract<Op, { readonly size: number }> {
  return op.do === "output" || op.do === "reserve";
}

function recordSize(op: Op): bigint {
  return isRecord(op) ? BigInt((op.size + 15) & ~7) : 0n;
}

const host = kernelHost();
afterAll(() => {
  host?.dispose();
});

for (const shared of [false, true]) {
  test.each([4096, 8192])(`ring of %i bytes, embedded host ${shared ? "shared" : "exclusive"}`, (ringSize) => {
    const random = randomOf(ringSize + (shared ? 1 : 0));
    const data = Uint8Array.from({ length: DATA_SIZE }, () => random(256));
    // Without a kernel the exclusive form of the embedded host stands for it.
    const real = host === undefined ? new EmbeddedRing(false, ringSize, data) : new KernelRing(host, ringSize, data);
    const ours = new EmbeddedRing(shared, ringSize, data);
    let consumer = 0n;
    let records = 0;
    let refused = 0;
    let marked = 0;
    real.woken();
    for (let round = 0; round < 500; round++) {
      const ops = randomOps(random, ringSize);
      const where = `round ${round}, consumer at ${consumer}, ${JSON.stringify(ops)}`;
      const results = real.run(ops);
      expect(ours.run(ops), where).toEqual(results);
      expect(ours.woken(), `woken, ${where}`).toBe(real.woken());
      expect(ours.ready(), `ready, ${where}`).toBe(real.ready());
      const end = real.producer();
      expect(ours.producer(), where).toBe(end);
      refused += results.filter((r, i) => ops[i]!.do === "output" && r !== 0n).length;

      // A consumer that claims to be further lets one program write round the ring: what is left of it is compared.
      const filled = ops.filter((op, i) => isRecord(op) && results[i] === (op.do === "output" ? 0n : 1n));
      const start = filled.reduce((at, op) => at - recordSize(op), end);
      let at = start;
      for (const op of filled) {
        if (at >= end - BigInt(ringSize)) {
          const b = real.record(at);
          const a = ours.record(at, b.length & 0x3fff_ffff);
          // Where the next record begins, and nothing else, a shared host has its mark: that consumer has given the place free.
          const isMarked = shared && at === end - BigInt(ringSize);
          expect([a.length, a.page], where).toEqual([isMarked ? markOf(Number(end)) : b.length, b.page]);
          if (isMarked) marked++;
          // Only outputs fill all of a record; of a reservation the first word is known.
          const known = op.do === "output" ? b.payload.length : b.payload.length >= 8 ? 8 : 0;
          expect(a.payload.subarray(0, known).equals(b.payload.subarray(0, known)), where).toBe(true);
          records++;
        }
        at += recordSize(op);
      }

      // The consumer: has read all, or up to where this program began, or stays, or stores nonsense.
      consumer = [end, end, start, consumer, end + 8n, end + BigInt(random(ringSize)), 0n, (1n << 64n) - 8n, end - 8n][
        random(9)
      ]!;
      consumer = BigInt.asUintN(64, consumer);
      for (const side of [real, ours]) side.setConsumer(consumer);
      expect(ours.ready(), `ready after ${where}`).toBe(real.ready());
      real.woken();
    }
    expect(records).toBeGreaterThan(1000);
    expect(refused).toBeGreaterThan(100);
    // The larger ring does not come to it.
    expect(marked > 0).toBe(shared && ringSize === 4096);
    real.close();
    ours.close();
  });
}
