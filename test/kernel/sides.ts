/**
 * Two machines under one set of calls: the embedded host and the running kernel. Both offer a block of user memory and
 * `bpf(cmd)` on the attr at its start, so a test writes its calls once and compares what comes back.
 */
import { createHash } from "node:crypto";
import { bpf } from "../../src/cmd/bpf.ts";
import type { Host } from "../../src/host/host.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { mapEntry } from "../../src/maps/registry.ts";
import { alloc, POOL_USER } from "../../src/mem/alloc.ts";
import { OBJ_MAP } from "../../src/mem/layout.ts";
import { MAP_TYPE } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost, notRun } from "../kernel.ts";

const KEY = 512;
const NEXT = 1024;
const VALUE = 2048;
const PACKET = 1536;
const BLOCK = 0x1_0000;

export interface MapShape {
  readonly type: number;
  readonly key: number;
  readonly value: number;
  readonly max: number;
  readonly flags: number;
  readonly numaNode?: number;
}

export abstract class Side {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: bigint;

  constructor(bytes: Uint8Array, base: bigint) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.base = base;
  }

  /** bpf(2) on the first `size` bytes of the block. */
  abstract bpf(cmd: number, size: number): number;
  abstract close(fd: number): number;
  /** bpf_map_lookup_elem() as a program calls it: 1 when the element is there. */
  abstract programLookup(fd: number, key: Uint8Array): number;

  createMap(shape: MapShape): number {
    this.bytes.fill(0, 0, 128);
    const words = [shape.type, shape.key, shape.value, shape.max, shape.flags, 0, shape.numaNode ?? 0];
    for (const [i, word] of words.entries()) this.view.setUint32(i * 4, word, true);
    return this.bpf(u.BPF_MAP_CREATE, 72);
  }

  /** 0, or why such a map cannot be created. */
  canCreate(shape: MapShape): number {
    const fd = this.createMap(shape);
    return fd < 0 ? fd : this.close(fd);
  }

  update(fd: number, key: Uint8Array, value: Uint8Array, flags: number): number {
    this.bytes.set(value, VALUE);
    return this.elem(u.BPF_MAP_UPDATE_ELEM, fd, key, flags);
  }

  delete(fd: number, key: Uint8Array): number {
    return this.elem(u.BPF_MAP_DELETE_ELEM, fd, key, 0, 0);
  }

  /** The value, as hex, or the errno. */
  lookup(fd: number, key: Uint8Array, valueSize: number, cmd: number = u.BPF_MAP_LOOKUP_ELEM): number | string {
    this.bytes.fill(0xee, VALUE, VALUE + valueSize);
    const ret = this.elem(cmd, fd, key, 0);
    return ret === 0 ? Buffer.from(this.bytes.subarray(VALUE, VALUE + valueSize)).toString("hex") : ret;
  }

  take(fd: number, key: Uint8Array, valueSize: number): number | string {
    return this.lookup(fd, key, valueSize, u.BPF_MAP_LOOKUP_AND_DELETE_ELEM);
  }

  /** The key after this one (null: the first), as bytes, or the errno. */
  nextKey(fd: number, key: Uint8Array | null, keySize: number): number | Uint8Array {
    const ret = this.elem(u.BPF_MAP_GET_NEXT_KEY, fd, key, 0, NEXT);
    return ret === 0 ? this.bytes.slice(NEXT, NEXT + keySize) : ret;
  }

  /** All keys in the order of iteration, as hex. */
  keys(fd: number, keySize: number): string[] {
    const found: string[] = [];
    let key = this.nextKey(fd, null, keySize);
    while (typeof key !== "number" && found.length < 1_000_000) {
      found.push(Buffer.from(key).toString("hex"));
      key = this.nextKey(fd, key, keySize);
    }
    return found;
  }

  private elem(cmd: number, fd: number, key: Uint8Array | null, flags: number, second: number = VALUE): number {
    const { view } = this;
    if (key !== null) this.bytes.set(key, KEY);
    view.setUint32(0, fd, true);
    view.setUint32(4, 0, true);
    view.setBigUint64(8, key === null ? 0n : this.base + BigInt(KEY), true);
    view.setBigUint64(16, second === 0 ? 0n : this.base + BigInt(second), true);
    view.setBigUint64(24, BigInt(flags), true);
    return this.bpf(cmd, cmd === u.BPF_MAP_DELETE_ELEM ? 16 : cmd === u.BPF_MAP_GET_NEXT_KEY ? 24 : 32);
  }
}

export class EmbeddedSide extends Side {
  readonly kernel: Kernel;
  readonly #block: number;

  constructor(cpus: number, shared = false) {
    const kernel = createKernel({ memory: 512 << 20, cpus, shared, seed: 1, virtualClock: true });
    const block = alloc(kernel.mem, BLOCK, POOL_USER);
    super(kernel.mem.u8.subarray(block, block + BLOCK), BigInt(block));
    this.kernel = kernel;
    this.#block = block;
  }

  bpf(cmd: number, size: number): number {
    return bpf(this.kernel, cmd, this.#block, size);
  }

  close(fd: number): number {
    return this.kernel.close(fd);
  }

  programLookup(fd: number, key: Uint8Array): number {
    this.bytes.set(key, KEY);
    const map = this.kernel.get(fd, OBJ_MAP);
    const entry = mapEntry(this.kernel.mem.u32[(map + MAP_TYPE) >>> 2]!)!;
    const value = entry.ops.map_lookup_elem(this.kernel, map, this.#block + KEY);
    this.kernel.done(map);
    return value === 0 ? 0 : 1;
  }
}

class KernelSide extends Side {
  readonly #host: Host;
  readonly #programs: Map<number, number> = new Map();

  constructor(host: Host) {
    const block = host.user.alloc(BLOCK);
    super(block.bytes, block.address);
    this.#host = host;
  }

  bpf(cmd: number, size: number): number {
    return this.#host.bpf(cmd, this.base, size);
  }

  close(fd: number): number {
    const program = this.#programs.get(fd);
    if (program !== undefined) this.#host.close(program);
    this.#programs.delete(fd);
    return this.#host.close(fd);
  }

  programLookup(fd: number, key: Uint8Array): number {
    let program = this.#programs.get(fd);
    if (program === undefined) {
      program = this.#loadLookup(fd, key.length);
      this.#programs.set(fd, program);
    }
    const { view, bytes } = this;
    bytes.fill(0, PACKET, PACKET + 64);
    bytes.set(key, PACKET);
    bytes.fill(0, 0, 80);
    view.setUint32(0, program, true);
    view.setUint32(8, 64, true);
    view.setBigUint64(16, this.base + BigInt(PACKET), true);
    view.setUint32(32, 1, true);
    const ret = this.bpf(u.BPF_PROG_TEST_RUN, 80);
    if (ret < 0) throw new Error(`PROG_TEST_RUN: ${ret}`);
    return view.getUint32(4, true);
  }

  /** An XDP program that looks the first bytes of the packet up. */
  #loadLookup(fd: number, keySize: number): number {
    const { view } = this;
    const code: number[] = [];
    const insn = (op: number, dst: number, src: number, off: number, imm: number): void => {
      code.push(op, (src << 4) | dst, off & 0xff, (off >> 8) & 0xff);
      code.push(imm & 0xff, (imm >> 8) & 0xff, (imm >> 16) & 0xff, (imm >>> 24) & 0xff);
    };
    insn(0xb7, 0, 0, 0, 2); // r0 = 2
    insn(0x61, 2, 1, 0, 0); // r2 = ctx->data
    insn(0x61, 3, 1, 4, 0); // r3 = ctx->data_end
    insn(0xbf, 4, 2, 0, 0);
    insn(0x07, 4, 0, 0, 64);
    insn(0x2d, 4, 3, 5, 0); // if data + 64 > data_end: exit
    insn(0x18, 1, 1, 0, fd); // r1 = map
    insn(0, 0, 0, 0, 0);
    insn(0x85, 0, 0, 0, u.BPF_FUNC_map_lookup_elem);
    insn(0x15, 0, 0, 1, 0);
    insn(0xb7, 0, 0, 0, 1);
    insn(0x95, 0, 0, 0, 0);
    if (keySize > 64) throw new Error("key too long for the packet");
    this.bytes.set(code, 4096);
    this.bytes.set(Buffer.from("GPL\0"), 8192);
    this.bytes.fill(0, 0, 128);
    view.setUint32(0, u.BPF_PROG_TYPE_XDP, true);
    view.setUint32(4, code.length / 8, true);
    view.setBigUint64(8, this.base + 4096n, true);
    view.setBigUint64(16, this.base + 8192n, true);
    const program = this.bpf(u.BPF_PROG_LOAD, 72);
    if (program < 0) throw new Error(`PROG_LOAD: ${program}`);
    return program;
  }
}

/** The running kernel, where bpf(2) can be called and, if it matters, it has this many possible CPUs. */
export function openKernelSide(cpus?: number): Side | undefined {
  const host = kernelHost();
  if (host === undefined) return undefined;
  if (cpus === undefined || host.possibleCpus === cpus) return new KernelSide(host);
  notRun("on the kernel (CPUs)", `it has ${host.possibleCpus} possible CPUs, these tests are of ${cpus}`);
  host.dispose();
  return undefined;
}

/**
 * Compares what the same calls gave on both sides, and what the embedded side gave with the digest that stands for the
 * answers of Linux 6.18 where there is no such kernel at hand. Returns what is wrong, or undefined.
 */
export function judge(
  embedded: readonly string[],
  real: readonly string[] | undefined,
  digest: string,
): string | undefined {
  const at = real === undefined ? -1 : embedded.findIndex((answer, i) => answer !== real[i]);
  if (at >= 0) return `call ${at}: embedded ${embedded[at]}, kernel ${real![at]}`;
  const hash = createHash("sha256").update(embedded.join("\n")).digest("hex").slice(0, 16);
  return hash === digest ? undefined : `the answers' digest is ${hash}, recorded was ${digest}`;
}
