/** One host with the maps of random programs: loads, runs, and tells what is in the maps. */
import type { AttrObject, Host } from "../../../src/host/host.ts";
import * as asm from "../../../src/insn/index.ts";
import type { RanBy } from "../../../src/kern/compiled.ts";
import * as u from "../../../src/uapi/index.ts";
import { closeRing, openRing, type Ring } from "../random/ring.ts";
import { FUNC_INFO_SIZE, funcInfo, functionTypes } from "./btf.ts";
import { insnsOf, type RandomProgram } from "./generate.ts";
import { INNER, INNER_MAPS, type MapName, type MapPlan, mapNames, maps, TARGETS } from "./maps.ts";
import type { Kind } from "./writer.ts";

const PAGE = 4096;
const OUT = 4096;
const LOG = 1 << 16;
const progTypes: Readonly<Record<Kind, number>> = {
  xdp: u.BPF_PROG_TYPE_XDP,
  sched_cls: u.BPF_PROG_TYPE_SCHED_CLS,
};
/** Keys that programs make: see `key` in map_pieces.ts. Others than those up to 7 are of the trie. */
const KEYS = 8;

export interface Run {
  /** 0 or a negative errno. */
  readonly ret: number;
  readonly retval: number;
  /** The packet afterwards, and behind it the context, where the kernel gives it back. */
  readonly data: Uint8Array;
  /** Undefined on the kernel. */
  readonly ranBy: RanBy | undefined;
}

export class World {
  readonly name: string;
  readonly host: Host;
  readonly kind: Kind;
  readonly #fds: Record<MapName, number>;
  readonly #inner: readonly number[];
  readonly #ring: Ring;
  readonly #types = functionTypes();
  readonly #btf: number;
  /** Programs that tail calls go to. */
  readonly #targets: readonly number[];
  readonly #out: Uint8Array = new Uint8Array(OUT);
  readonly #key: Uint8Array = new Uint8Array(8);
  readonly #contents: Uint8Array = new Uint8Array(1 << 16);
  #end = 0;

  constructor(name: string, host: Host, kind: Kind) {
    this.name = name;
    this.host = host;
    this.kind = kind;
    this.#inner = Array.from({ length: INNER_MAPS }, () => this.#create("inner", INNER));
    const fds = mapNames.map((each): [MapName, number] => [each, this.#create(each, maps[each])]);
    this.#fds = Object.fromEntries(fds) as Record<MapName, number>;
    const ring = openRing(host, this.#fds.ring, maps.ring.maxEntries);
    if (ring === undefined) throw new Error(`${name}: the ring cannot be mapped`);
    this.#ring = ring;
    const { btf } = this.#types;
    this.#btf = this.#done("BTF_LOAD", host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length }));
    this.#targets = Array.from({ length: TARGETS }, (_, i) => this.#done("PROG_LOAD", this.#loadTarget(i)));
    for (const [i, fd] of this.#inner.entries()) this.#put(this.#fds.outer, i, Uint32Array.of(fd));
    for (const [i, fd] of this.#targets.entries()) this.#put(this.#fds.programs, i, Uint32Array.of(fd));
  }

  dispose(): void {
    closeRing(this.host, this.#ring);
    for (const fd of [...Object.values(this.#fds), ...this.#inner, ...this.#targets, this.#btf]) this.host.close(fd);
  }

  #done(what: string, ret: number): number {
    if (ret < 0) throw new Error(`${this.name}: ${what}: ${ret}`);
    return ret;
  }

  #create(name: string, plan: MapPlan): number {
    const attr = {
      map_type: plan.type,
      key_size: plan.keySize,
      value_size: plan.valueSize,
      max_entries: plan.maxEntries,
      map_flags: plan.flags ?? 0,
      map_name: name,
      ...(plan.type === u.BPF_MAP_TYPE_ARRAY_OF_MAPS ? { inner_map_fd: this.#inner[0]! } : {}),
    };
    return this.#done(`MAP_CREATE ${name}`, this.host.bpf(u.BPF_MAP_CREATE, attr));
  }

  /** The first one says who it is, the others change something before. */
  #loadTarget(index: number): number {
    const { host } = this;
    const insns = asm.encodeInsns(
      asm.assemble([
        asm.ldMapValue(1, this.#fds.globals, index * 8),
        asm.ldx("u32", 0, 1, 0),
        asm.alu64Imm("add", 0, 77),
        index === 0 ? [] : asm.stx("u32", 1, 0, 0),
        asm.exit(),
      ]),
    );
    const attr = { prog_type: progTypes[this.kind], insn_cnt: insns.length / asm.INSN_SIZE, insns, license: "GPL" };
    return host.bpf(u.BPF_PROG_LOAD, attr);
  }

  #put(map_fd: number, index: number, value: Uint8Array | Uint32Array, flags = 0): void {
    this.#key.fill(0);
    this.#key[0] = index;
    this.#done("MAP_UPDATE_ELEM", this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: this.#key, value, flags }));
  }

  /** An fd, or a negative errno. A signal makes the kernel's verifier give up: -EAGAIN. */
  load(program: RandomProgram): number {
    const attr = this.#attrOf(program);
    let fd: number;
    do fd = this.host.bpf(u.BPF_PROG_LOAD, attr);
    while (fd === -u.EAGAIN);
    return fd;
  }

  /** Why it was refused. */
  log(program: RandomProgram): string {
    const log = new Uint8Array(LOG);
    this.host.bpf(u.BPF_PROG_LOAD, { ...this.#attrOf(program), log_level: 1, log_size: LOG, log_buf: log });
    return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  }

  #attrOf(program: RandomProgram): AttrObject {
    const insns = asm.encodeInsns(insnsOf(program));
    const view = new DataView(insns.buffer);
    for (let at = 0; at < insns.length; at += asm.INSN_SIZE) {
      const source = insns[at + 1]! >>> 4;
      if (insns[at] !== asm.LD_IMM64_OPCODE) continue;
      if (source === u.BPF_PSEUDO_MAP_FD || source === u.BPF_PSEUDO_MAP_VALUE)
        view.setInt32(at + 4, this.#fds[mapNames[view.getInt32(at + 4, true)]!], true);
      at += asm.INSN_SIZE;
    }
    const attr = {
      prog_type: progTypes[this.kind],
      insn_cnt: insns.length / asm.INSN_SIZE,
      insns,
      license: "GPL",
      prog_name: "random",
    };
    if (program.callees.length === 0) return attr;
    const func_info = funcInfo(program, this.#types.ids);
    const func_info_cnt = func_info.length / FUNC_INFO_SIZE;
    return { ...attr, prog_btf_fd: this.#btf, func_info, func_info_cnt, func_info_rec_size: FUNC_INFO_SIZE };
  }

  run(fd: number, packet: Uint8Array): Run {
    const attr = {
      prog_fd: fd,
      data_in: packet,
      data_size_in: packet.length,
      data_out: this.#out,
      data_size_out: OUT,
      repeat: 1,
      retval: 0,
    };
    const ctx = this.kind === "sched_cls" ? new Uint8Array(u.__sk_buff.size) : new Uint8Array(0);
    const withContext = { ...attr, ctx_in: ctx, ctx_size_in: ctx.length, ctx_out: ctx, ctx_size_out: ctx.length };
    const call = ctx.length === 0 ? attr : withContext;
    const ret = this.host.bpf(u.BPF_PROG_TEST_RUN, call);
    const ranBy = this.host.ranBy?.();
    if (ret < 0) return { ret, retval: call.retval, data: new Uint8Array(0), ranBy };
    const data = new Uint8Array(call.data_size_out + ctx.length);
    data.set(this.#out.subarray(0, call.data_size_out));
    data.set(ctx, call.data_size_out);
    return { ret, retval: call.retval, data, ranBy };
  }

  close(fd: number): void {
    this.host.close(fd);
  }

  /** Puts every map that the program uses into the state that goes with this sequence of numbers. */
  reset(used: ReadonlySet<MapName>, rnd: (n: number) => number): void {
    const bytes = (size: number): Uint8Array => randomBytes(rnd, size);
    for (const name of mapNames) {
      if (!used.has(name) && name !== "globals") continue;
      const fd = this.#fds[name];
      const { keySize, valueSize, maxEntries } = maps[name];
      switch (name) {
        case "globals":
        case "results":
        case "array":
          for (let i = 0; i < maxEntries; i++) this.#put(fd, i, bytes(valueSize));
          break;
        case "percpu_array":
          for (let i = 0; i < maxEntries; i++) this.#put(fd, i, this.#perCpu(bytes(valueSize)));
          break;
        case "hash":
        case "percpu_hash":
        case "lpm":
          this.#empty(fd, keySize);
          for (let i = rnd(3); i > 0; i--) {
            const value = bytes(valueSize);
            this.#put(fd, rnd(KEYS), name === "percpu_hash" ? this.#perCpu(value) : value);
          }
          break;
        case "queue":
        case "stack": {
          const value = new Uint8Array(valueSize);
          while (this.host.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd: fd, value }) === 0);
          for (let i = rnd(3); i > 0; i--) this.#push(fd, bytes(valueSize));
          break;
        }
        case "bloom":
          this.#renewBloom();
          break;
        case "ring":
          this.#ring.consumer.set(this.#ring.all.subarray(PAGE, PAGE + 8));
          break;
        case "outer":
          for (const inner of this.#inner) {
            for (let i = 0; i < INNER.maxEntries; i++) this.#put(inner, i, bytes(INNER.valueSize));
          }
          break;
        case "programs":
          break;
        default:
          name satisfies never;
      }
    }
  }

  #perCpu(value: Uint8Array): Uint8Array {
    const all = new Uint8Array(value.length * this.host.possibleCpus);
    // Each CPU's own: a program that sees another one's shows.
    for (let cpu = 0; cpu < this.host.possibleCpus; cpu++)
      all.set(
        value.map((byte) => byte ^ cpu),
        cpu * value.length,
      );
    return all;
  }

  #push(map_fd: number, value: Uint8Array): void {
    this.#done("push", this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: null, value, flags: 0 }));
  }

  #empty(map_fd: number, keySize: number): void {
    const key = this.#key.subarray(0, keySize);
    while (this.host.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd, key: null, next_key: key }) === 0) {
      this.#done("MAP_DELETE_ELEM", this.host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd, key }));
    }
  }

  /** Nothing is ever taken out of a bloom filter. */
  #renewBloom(): void {
    this.host.close(this.#fds.bloom);
    this.#fds.bloom = this.#create("bloom", maps.bloom);
  }

  /** What is in these maps, all of it in one piece of memory that the next call overwrites. Queues and the ring are emptied. */
  contents(used: ReadonlySet<MapName>): Uint8Array {
    this.#end = 0;
    for (const name of mapNames) {
      if (!used.has(name) && name !== "globals") continue;
      const fd = this.#fds[name];
      const plan: MapPlan = maps[name];
      switch (name) {
        case "globals":
        case "results":
        case "array":
        case "percpu_array":
          this.#array(fd, plan);
          break;
        case "hash":
        case "percpu_hash":
        case "lpm":
          this.#keyed(fd, plan);
          break;
        case "queue":
        case "stack": {
          const attr = { map_fd: fd, value: this.#room(plan.valueSize) };
          while (this.host.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, attr) === 0) attr.value = this.#room(plan.valueSize);
          break;
        }
        case "bloom":
          this.#members(fd);
          break;
        case "ring":
          this.#records();
          break;
        case "outer":
          for (const inner of this.#inner) this.#array(inner, INNER);
          break;
        case "programs":
          break;
        default:
          name satisfies never;
      }
    }
    return this.#contents.subarray(0, this.#end);
  }

  #room(size: number): Uint8Array {
    const room = this.#contents.subarray(this.#end, this.#end + size).fill(0);
    this.#end += size;
    return room;
  }

  #value(map_fd: number, key: Uint8Array, plan: MapPlan): void {
    const value = this.#room(u.abiValueSize(plan.type, plan.valueSize, this.host.possibleCpus));
    this.#done("MAP_LOOKUP_ELEM", this.host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key, value, flags: 0 }));
  }

  #array(map_fd: number, plan: MapPlan): void {
    this.#key.fill(0);
    for (let i = 0; i < plan.maxEntries; i++) {
      this.#key[0] = i;
      this.#value(map_fd, this.#key, plan);
    }
  }

  /** In the order in which the map gives them, which is the same on all hosts. */
  #keyed(map_fd: number, plan: MapPlan): void {
    let key: Uint8Array | null = null;
    for (;;) {
      const next_key = this.#room(plan.keySize);
      if (this.host.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd, key, next_key }) !== 0) return;
      this.#value(map_fd, next_key, plan);
      key = next_key;
    }
  }

  /** Which of the numbers 0 to 31 the filter may hold. */
  #members(map_fd: number): void {
    const value = new Uint8Array(maps.bloom.valueSize);
    for (let i = 0; i < 32; i++) {
      value[0] = i;
      this.#room(1)[0] = this.host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key: null, value, flags: 0 }) === 0 ? 1 : 0;
    }
  }

  #records(): void {
    const { all, consumer, mask } = this.#ring;
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    const position = new DataView(consumer.buffer, consumer.byteOffset, 8);
    let at = position.getBigUint64(0, true);
    for (const end = view.getBigUint64(PAGE, true); at < end; ) {
      const header = 2 * PAGE + (Number(at & 0xffff_ffffn) & mask);
      const word = view.getUint32(header, true);
      const length = word & (u.BPF_RINGBUF_DISCARD_BIT - 1);
      // The header's second word is the page that the record begins on.
      const record = this.#room(4 + length);
      record.set(all.subarray(header, header + 4));
      if ((word & u.BPF_RINGBUF_DISCARD_BIT) === 0) record.set(all.subarray(header + 8, header + 8 + length), 4);
      at += BigInt((length + u.BPF_RINGBUF_HDR_SZ + 7) & ~7);
    }
    position.setBigUint64(0, at, true);
  }
}

/** Words that are edges, or anything. */
function randomBytes(rnd: (n: number) => number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < size; at += 8) {
    const word = rnd(6) === 0 ? 0 : randomWord(rnd);
    view.setUint32(at, word, true);
    view.setUint32(at + 4, word === 0 || rnd(3) === 0 ? randomWord(rnd) : rnd(2) === 0 ? 0 : word >> 31, true);
  }
  return bytes;
}

const WORDS: readonly number[] = [
  0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, -1, -2,
];

function randomWord(rnd: (n: number) => number): number {
  return rnd(2) === 0 ? WORDS[rnd(WORDS.length)]! : (rnd(0x1_0000) * 0x1_0000 + rnd(0x1_0000)) | 0;
}

/** A packet that is worth looking at: of any size that a test run takes, now and then with an IPv4 header. */
export function randomPacket(rnd: (n: number) => number): Uint8Array {
  const size = rnd(4) === 0 ? 14 + rnd(30) : 64 + rnd(140);
  const packet = randomBytes(rnd, Math.ceil(size / 8) * 8).slice(0, size);
  if (size >= 34 && rnd(3) === 0) packet.set([0x08, 0x00, 0x45], 12);
  return packet;
}
