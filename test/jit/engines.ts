/** One program on the interpreter and as compiled code, from the same memory: everything that is left must be the same. */
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { disassembleAll, encodeInsns, raw } from "../../src/insn/index.ts";
import { acquireRun, releaseRun } from "../../src/kern/cpus.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { RUN_SIZE } from "../../src/kern/run_record.ts";
import { AREA_KIND, AREA_RUN, areaOf } from "../../src/mem/alloc.ts";
import { GRANULE } from "../../src/mem/layout.ts";
import * as u from "../../src/uapi/index.ts";
import { mayFallBack } from "../compiled.ts";
import { randomOf } from "../random.ts";
import { ARRAY_VALUE, type Fds, ODD_VALUE, type Unverified, unverified } from "./unverified.ts";

const BUDGET = 2000;
const MEMORY = 2 << 20;
const OUT = 1024;
const PACKET = 64;
const TARGETS = 4;
const LEVELS = 4;

export interface EngineTally {
  count: number;
  /** Refused by the loader, run by the interpreter after all. */
  refused: number;
  interpreted: number;
  exited: number;
  faulted: number;
  spent: number;
}

/** What a run leaves beside memory. */
interface Left {
  readonly ret: number;
  readonly retval: number;
  readonly data: string;
  readonly ctx: string;
  readonly stderr: string;
}

class Side {
  readonly kernel: Kernel;
  readonly host: EmbeddedHost;
  readonly fds: Fds;
  /** Where the records of runs lie: of runs inside runs too. */
  readonly records: readonly [number, number];
  /** Memory before each program. */
  readonly #start: Uint8Array;
  readonly #out = new Uint8Array(OUT);

  constructor(engine: "jit" | "interp", shared: boolean) {
    this.kernel = createKernel({ memory: MEMORY, cpus: 2, shared, seed: 1, virtualClock: true, runBudget: BUDGET });
    this.kernel.engine = engine;
    this.host = new EmbeddedHost(this.kernel);
    const map = (map_type: number, value_size: number, max_entries: number, key_size = 4): number =>
      this.#done(this.host.bpf(u.BPF_MAP_CREATE, { map_type, key_size, value_size, max_entries }));
    this.fds = {
      array: map(u.BPF_MAP_TYPE_ARRAY, ARRAY_VALUE, 1),
      odd: map(u.BPF_MAP_TYPE_ARRAY, ODD_VALUE, 1),
      hash: map(u.BPF_MAP_TYPE_HASH, ARRAY_VALUE, 3),
      lru: map(u.BPF_MAP_TYPE_LRU_HASH, 8, 3),
      percpu: map(u.BPF_MAP_TYPE_PERCPU_ARRAY, 8, 2),
      queue: map(u.BPF_MAP_TYPE_QUEUE, 8, 2, 0),
      ring: map(u.BPF_MAP_TYPE_RINGBUF, 0, 4096, 0),
      programs: map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, TARGETS),
    };
    for (let key = 0; key < 2; key++) {
      const value = Uint8Array.from({ length: ARRAY_VALUE }, (_, i) => i * 17 + key);
      const attr = { map_fd: this.fds.hash, key: Uint8Array.of(key, 0, 0, 0), value, flags: 0 };
      this.#done(this.host.bpf(u.BPF_MAP_UPDATE_ELEM, attr));
    }
    // Whatever is made at a first run is there now.
    const first = this.load({ skb: true, insns: [], bytes: encodeInsns([raw(0xb7), raw(0x95)]), starts: [0] });
    this.run(first, true, new Uint8Array(PACKET));
    this.host.close(first);
    // Loads of programs with maps take it: taken later on, `reset` would make the memory forget it.
    this.kernel.scratch(1);
    const record = acquireRun(this.kernel, 0);
    releaseRun(this.kernel, record);
    this.records = [record, record + LEVELS * RUN_SIZE];
    this.#start = this.kernel.mem.u8.slice();
  }

  #done(ret: number): number {
    if (ret < 0) throw new Error(`errno ${ret}`);
    return ret;
  }

  reset(): void {
    this.kernel.mem.u8.set(this.#start);
    this.kernel.compiled.clear();
    this.kernel.tailCalls = undefined;
    this.kernel.codeCache.clear();
  }

  load({ skb, bytes }: Unverified): number {
    return this.host.bpf(u.BPF_PROG_LOAD, {
      prog_type: skb ? u.BPF_PROG_TYPE_SCHED_CLS : u.BPF_PROG_TYPE_XDP,
      insn_cnt: bytes.length / 8,
      insns: bytes,
      license: "GPL",
    });
  }

  /** A program that tail calls may go to. */
  offer(index: number, fd: number): void {
    const key = Uint8Array.of(index, 0, 0, 0);
    this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: this.fds.programs, key, value: Uint32Array.of(fd), flags: 0 });
  }

  run(fd: number, skb: boolean, packet: Uint8Array): Left {
    const ctx = new Uint8Array(skb ? u.__sk_buff.size : 0);
    const attr = {
      prog_fd: fd,
      data_in: packet,
      data_size_in: packet.length,
      data_out: this.#out,
      data_size_out: OUT,
      retval: 0,
    };
    const call = skb ? { ...attr, ctx_in: ctx, ctx_size_in: ctx.length, ctx_out: ctx, ctx_size_out: ctx.length } : attr;
    const ret = this.host.bpf(u.BPF_PROG_TEST_RUN, call);
    const text = new Uint8Array(2000);
    const n = this.host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, {
      prog_fd: fd,
      stream_id: u.BPF_STDERR,
      stream_buf: text,
      stream_buf_len: text.length,
    });
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    return {
      ret,
      retval: call.retval,
      data: ret === 0 ? hex(this.#out.subarray(0, call.data_size_out)) : "",
      ctx: ret === 0 ? hex(ctx) : "",
      stderr: new TextDecoder().decode(text.subarray(0, Math.max(0, n))),
    };
  }
}

export function showTally({ count, refused, interpreted, exited, faulted, spent }: EngineTally): string {
  const ran = `${count - refused - interpreted} of ${count - refused} compiled`;
  return `${count} programs, ${refused} refused, ${ran}; ${exited} exited, ${faulted} faulted, ${spent} ran out of budget`;
}

export class Engines {
  readonly shared: boolean;
  readonly tally: EngineTally = { count: 0, refused: 0, interpreted: 0, exited: 0, faulted: 0, spent: 0 };
  readonly #sides: readonly [Side, Side];

  constructor(shared: boolean) {
    this.shared = shared;
    this.#sides = [new Side("interp", shared), new Side("jit", shared)];
  }

  /** Program `index` of the seed. Text when there is a difference. */
  compare(seed: number, index: number): string | undefined {
    const { tally } = this;
    tally.count++;
    const random = randomOf(Math.imul(seed, 0x9e37_79b1) ^ index);
    const skb = random(2) === 0;
    const all = Array.from({ length: 2 }, () => unverified(random, this.#sides[0].fds, skb));
    const packet = Uint8Array.from({ length: PACKET }, () => random(256));
    const runs = this.#sides.map((side) => {
      side.reset();
      const fds = all.map((each) => side.load(each));
      if (fds.some((fd) => fd < 0)) return undefined;
      // The first calls the others, and all of them what comes next: there is an end to it.
      for (let i = 0; i < TARGETS; i++) side.offer(i, fds[i % fds.length]!);
      return side.run(fds[0]!, skb, packet);
    });
    const [wanted, found] = runs;
    if (wanted === undefined || found === undefined) {
      if (wanted !== found) return this.#tell(seed, index, all, "loaded by one of them only");
      tally.refused++;
      return undefined;
    }
    if (this.#sides[1].host.ranBy().engine === "interp") {
      const { why } = this.#sides[1].host.ranBy();
      if (why === undefined || !mayFallBack(why)) return this.#tell(seed, index, all, `${why}`);
      tally.interpreted++;
    }
    if (wanted.ret === -u.ETIMEDOUT) tally.spent++;
    else if (wanted.ret === 0) tally.exited++;
    else tally.faulted++;
    if (JSON.stringify(wanted) !== JSON.stringify(found)) {
      const text = `${JSON.stringify(wanted, undefined, 1)}\ncompiled ${JSON.stringify(found, undefined, 1)}`;
      return this.#tell(seed, index, all, text);
    }
    const at = this.#firstByte();
    return at === undefined
      ? undefined
      : this.#tell(seed, index, all, `byte 0x${at.toString(16)} of the memory differs`);
  }

  /** The first byte of the memory that is not the same; runs may leave anything on their stacks and in their records. */
  #firstByte(): number | undefined {
    const [one, two] = this.#sides.map(({ kernel, records }) => {
      kernel.mem.u8.fill(0, ...records);
      return kernel.mem;
    });
    for (let at = 0; at < MEMORY; at += GRANULE) {
      const area = areaOf(one!, at);
      if (area !== 0 && one!.u32[(area + AREA_KIND) >>> 2] === AREA_RUN) continue;
      const [a, b] = [one!.u8.subarray(at, at + GRANULE), two!.u8.subarray(at, at + GRANULE)];
      if (Buffer.compare(a, b) === 0) continue;
      return at + a.findIndex((byte, i) => byte !== b[i]);
    }
    return undefined;
  }

  #tell(seed: number, index: number, all: readonly Unverified[], what: string): string {
    const shown = all.map(({ insns, starts }) => {
      const lines = disassembleAll(insns as never[]);
      return `functions at ${starts.join()}\n${lines.join("\n")}`;
    });
    const again = `again: npm run conformance -- --unverified --seed ${seed} --first ${index} --count 1`;
    return [`unverified program ${index} of seed ${seed}: ${what}`, ...shown, again].join("\n\n");
  }

  dispose(): void {
    for (const { host } of this.#sides) host.dispose();
  }
}
