/** Random sequences of calls for a map type: the same from the same seed and number of CPUs, whatever the answers are. */
import * as u from "../../../src/uapi/index.ts";
import { randomOf } from "../../kernel/sides.ts";
import { toHex } from "../encode.ts";
import type { RandomAttr, RandomOp } from "./ops.ts";

/** What is special about a type. */
export interface TypePlan {
  readonly name: string;
  readonly type: number;
  readonly keySizes: readonly number[];
  readonly valueSizes: readonly number[];
  readonly maxEntries: readonly number[];
  /** One of these sets of flags. Order and bloom bits must not depend on a seed. */
  readonly flags: readonly number[];
  readonly mapExtra?: readonly number[];
  readonly keys: "bytes" | "index" | "prefix" | "none";
  readonly percpu?: true;
  /** Has something to map. */
  readonly mmap?: true;
}

const Z = u.BPF_F_ZERO_SEED;
const hashSizes = { keySizes: [1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 24, 33], valueSizes: [1, 4, 5, 8, 8, 12, 16, 64, 100] };
const sizes = [1, 2, 3, 4, 5, 8, 13, 32, 100];

export const plans: readonly TypePlan[] = [
  {
    name: "HASH",
    type: u.BPF_MAP_TYPE_HASH,
    ...hashSizes,
    maxEntries: sizes,
    flags: [Z, Z, Z | u.BPF_F_NO_PREALLOC],
    keys: "bytes",
  },
  {
    name: "ARRAY",
    type: u.BPF_MAP_TYPE_ARRAY,
    keySizes: [4],
    valueSizes: [1, 4, 5, 8, 12, 100],
    maxEntries: sizes,
    flags: [0, u.BPF_F_MMAPABLE, u.BPF_F_MMAPABLE | u.BPF_F_RDONLY_PROG, u.BPF_F_INNER_MAP, u.BPF_F_RDONLY_PROG],
    keys: "index",
    mmap: true,
  },
  {
    name: "PERCPU_HASH",
    type: u.BPF_MAP_TYPE_PERCPU_HASH,
    ...hashSizes,
    maxEntries: sizes,
    flags: [Z, Z | u.BPF_F_NO_PREALLOC],
    keys: "bytes",
    percpu: true,
  },
  {
    name: "PERCPU_ARRAY",
    type: u.BPF_MAP_TYPE_PERCPU_ARRAY,
    keySizes: [4],
    valueSizes: [1, 4, 5, 8, 12, 100],
    maxEntries: sizes,
    flags: [0, u.BPF_F_WRONLY_PROG],
    keys: "index",
    percpu: true,
  },
  {
    name: "LRU_HASH",
    type: u.BPF_MAP_TYPE_LRU_HASH,
    ...hashSizes,
    maxEntries: [1, 2, 3, 5, 8, 20, 100, 300],
    flags: [Z, Z, Z | u.BPF_F_NO_COMMON_LRU],
    keys: "bytes",
  },
  {
    name: "LRU_PERCPU_HASH",
    type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH,
    ...hashSizes,
    maxEntries: [1, 2, 3, 5, 8, 20, 100, 300],
    flags: [Z, Z, Z | u.BPF_F_NO_COMMON_LRU],
    keys: "bytes",
    percpu: true,
  },
  {
    name: "LPM_TRIE",
    type: u.BPF_MAP_TYPE_LPM_TRIE,
    keySizes: [5, 6, 7, 8, 8, 12, 20],
    valueSizes: [1, 4, 8, 12],
    maxEntries: [1, 2, 5, 16, 64],
    flags: [u.BPF_F_NO_PREALLOC],
    keys: "prefix",
  },
  {
    name: "QUEUE",
    type: u.BPF_MAP_TYPE_QUEUE,
    keySizes: [0],
    valueSizes: [1, 3, 4, 8, 17],
    maxEntries: sizes,
    flags: [0, u.BPF_F_RDONLY_PROG],
    keys: "none",
  },
  {
    name: "STACK",
    type: u.BPF_MAP_TYPE_STACK,
    keySizes: [0],
    valueSizes: [1, 3, 4, 8, 17],
    maxEntries: sizes,
    flags: [0, u.BPF_F_WRONLY_PROG],
    keys: "none",
  },
  {
    name: "RINGBUF",
    type: u.BPF_MAP_TYPE_RINGBUF,
    keySizes: [0],
    valueSizes: [0],
    maxEntries: [4096, 8192, 65536],
    flags: [0],
    keys: "none",
    mmap: true,
  },
  {
    name: "BLOOM_FILTER",
    type: u.BPF_MAP_TYPE_BLOOM_FILTER,
    keySizes: [0],
    valueSizes: [1, 2, 3, 4, 5, 8, 12, 13, 16],
    maxEntries: [1, 3, 10, 50, 200],
    flags: [Z],
    mapExtra: [0, 0, 1, 2, 3, 7, 15],
    keys: "none",
  },
];

const SLOTS = 3;
/** Sizes and numbers where something ends, but not the largest value of an array: there memory decides. */
const edges = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 255, 260, 261, 4095, 4096, 4097, 8192, 32768, 32769, 65536];
const hugeEdges = [0x8000_0000, 0x8000_0001, 0xffff_fff8, 0xffff_ffff];
const access = [0, 0, 0, 0, 0, 0, u.BPF_F_RDONLY, u.BPF_F_WRONLY];

export function generate(plan: TypePlan, seed: number, count: number, cpus: number): RandomOp[] {
  const generator = new Generator(plan, seed, cpus);
  return Array.from({ length: count }, () => generator.next());
}

class Generator {
  readonly #plan: TypePlan;
  readonly #cpus: number;
  readonly #random: (n: number) => number;
  readonly #attrs: (RandomAttr | undefined)[] = [];

  constructor(plan: TypePlan, seed: number, cpus: number) {
    this.#plan = plan;
    this.#random = randomOf(seed * 1000 + plan.type);
    this.#cpus = cpus;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random(from.length)]!;
  }

  #chance(percent: number): boolean {
    return this.#random(1000) < percent * 10;
  }

  next(): RandomOp {
    const slot = this.#random(SLOTS);
    if (this.#attrs[slot] === undefined || this.#chance(0.7)) return this.#create(slot);
    if (this.#chance(4)) return { op: "try", attr: this.#mutated() };
    const fd = this.#chance(85) ? 0 : this.#random(4);
    if (this.#chance(1))
      return { op: "open", slot, flags: this.#chance(20) ? this.#random(64) : this.#pick([0, 8, 16]) };
    if (this.#chance(1)) return { op: "info", slot, fd, length: this.#pick([104, 104, 80, 96, 112, 4096, 1, 0, 4097]) };
    if (this.#chance(0.1)) return { op: "freeze", slot, fd };
    // The first fd stays longer: without it nobody could use the map.
    if (this.#chance(0.5)) return { op: "close", slot, fd: 1 + this.#random(3) };
    if (this.#chance(4)) return this.#batch(slot, fd);
    if (this.#chance(0.5)) return { op: "poll", slot, fd };
    if (this.#chance(this.#plan.mmap === true ? 8 : 0.5)) return this.#mmap(slot, fd);
    return this.#element(slot, fd);
  }

  #attr(): Record<string, number | string> {
    const plan = this.#plan;
    const attr: Record<string, number | string> = {
      map_type: plan.type,
      key_size: this.#pick(plan.keySizes),
      value_size: this.#pick(plan.valueSizes),
      max_entries: this.#pick(plan.maxEntries),
      map_flags: this.#pick(plan.flags),
    };
    if (plan.mapExtra !== undefined) attr.map_extra = this.#pick(plan.mapExtra);
    if (this.#chance(30)) attr.map_name = `map_${this.#random(1000)}`;
    return attr;
  }

  #create(slot: number): RandomOp {
    const attr = this.#attr();
    if (this.#plan.type !== u.BPF_MAP_TYPE_RINGBUF) attr.map_flags = Number(attr.map_flags) | this.#pick(access);
    this.#attrs[slot] = attr;
    return { op: "create", slot, attr };
  }

  /** Good attributes with one to three changes. */
  #mutated(): RandomAttr {
    const attr = this.#attr();
    for (let n = 1 + this.#random(3); n > 0; n--) {
      switch (this.#random(9)) {
        case 0:
          attr.key_size = this.#edge();
          break;
        case 1:
          attr.value_size = this.#edge();
          break;
        case 2:
          // Nothing between what fits and what is refused at once: a machine's memory must not decide.
          attr.max_entries = this.#pick([0, 1, 3, 7, 4095, 4096, 4097]);
          break;
        case 3:
        case 4:
          attr.map_flags = (Number(attr.map_flags) ^ (1 << this.#random(32))) >>> 0;
          break;
        case 5:
          attr.map_extra = this.#pick([1, 15, 16, 4096]);
          break;
        case 6:
          attr.map_name = this.#pick(["a-b", "x".repeat(15), "x".repeat(16), "ok", "a b", "."]);
          break;
        case 7:
          attr.btf_key_type_id = this.#random(2);
          attr.btf_value_type_id = this.#random(2);
          attr.btf_fd = 4000;
          break;
        default:
          attr.map_token_fd = 4000;
          attr.numa_node = this.#pick([0, 5000, 0xffff_ffff]);
          break;
      }
    }
    // The values of 100 maps of 4 MiB are no test.
    if (Number(attr.value_size) > 4096 || Number(attr.key_size) > 4096)
      attr.max_entries = Math.min(Number(attr.max_entries), 3);
    if (attr.map_token_fd === undefined) attr.map_token_fd = 4000;
    return attr;
  }

  #edge(): number {
    return this.#chance(15) ? this.#pick(hugeEdges) : this.#pick(edges);
  }

  #element(slot: number, fd: number): RandomOp {
    const plan = this.#plan;
    const attr = this.#attrs[slot]!;
    const keySize = Number(attr.key_size);
    const valueBytes = this.#valueBytes(Number(attr.value_size));
    const op = this.#pick([
      "update",
      "update",
      "update",
      "update",
      "lookup",
      "lookup",
      "lookup",
      "delete",
      "take",
      "next",
    ] as const);
    const key = plan.keys === "none" ? (this.#chance(2) ? "00000000" : null) : this.#key(attr, op === "next");
    const given = op === "update" || (op === "lookup" && plan.type === u.BPF_MAP_TYPE_BLOOM_FILTER);
    const value = op === "next" ? keySize : given ? this.#bytes(valueBytes, Number(attr.max_entries)) : valueBytes;
    const flags = this.#flags(op === "update");
    const bad = this.#chance(1.5) ? this.#pick(["key", "value"] as const) : undefined;
    return bad === undefined ? { op, slot, fd, key, value, flags } : { op, slot, fd, key, value, flags, bad };
  }

  #batch(slot: number, fd: number): RandomOp {
    const attr = this.#attrs[slot]!;
    const max = Number(attr.max_entries);
    const keySize = Number(attr.key_size);
    const valueBytes = this.#valueBytes(Number(attr.value_size));
    const command = this.#pick(["lookup", "lookup", "take", "update", "delete"] as const);
    const count = this.#chance(5) ? 0 : this.#chance(50) ? this.#random(8) : this.#random(Math.min(max, 60) * 2 + 1);
    const given = command === "update" || command === "delete";
    const each = (of: () => string): string => Array.from({ length: count }, of).join("");
    const keys = given ? each(() => this.#key(attr, false) ?? "") : count * keySize;
    const values = command === "update" ? each(() => this.#bytes(valueBytes, max)) : count * valueBytes;
    const from = this.#chance(40) ? "start" : this.#chance(90) ? "last" : (this.#key(attr, false) ?? "start");
    const elemFlags = this.#chance(3) ? this.#pick([1, 2, 3, 4, 5, 8, 0x1_0000_0000]) : 0;
    const flags = this.#chance(3) ? this.#pick([1, 4, 0x1_0000_0000]) : 0;
    const bad = this.#chance(5) ? this.#pick(["in_batch", "out_batch", "keys", "values"] as const) : undefined;
    const op = { op: "batch", command, slot, fd, from, count, keys, values, elemFlags, flags } as const;
    return bad === undefined ? op : { ...op, bad };
  }

  #mmap(slot: number, fd: number): RandomOp {
    const offset = this.#chance(5) ? this.#random(10_000) : 4096 * this.#random(this.#chance(10) ? 40 : 4);
    const length = this.#chance(50) ? 4096 * this.#random(6) : this.#random(20_000);
    return { op: "mmap", slot, fd, offset, length, prot: this.#pick([1, 1, 3, 3, 3, 2, 0, 7, 5]) };
  }

  #flags(update: boolean): number {
    if (this.#chance(3)) return this.#pick([3, 4, 5, 6, 7, 8, 16, 64, 0x1_0000_0000, 0x1_0000_0001]);
    if (!update) return this.#chance(2) ? this.#random(8) : 0;
    return this.#pick([0, 0, 0, 0, u.BPF_NOEXIST, u.BPF_EXIST]);
  }

  #valueBytes(size: number): number {
    return this.#plan.percpu === true ? Math.ceil(size / 8) * 8 * this.#cpus : size;
  }

  /** Few different ones, so that bloom filters are asked about what they were given. */
  #bytes(length: number, variety: number): string {
    const bytes = new Uint8Array(length);
    const n = this.#random(variety * 3);
    for (let i = 0; i < length; i++) bytes[i] = (n >>> ((i & 3) * 8)) ^ (i >= 4 ? i * 7 : 0);
    return toHex(bytes);
  }

  #key(attr: RandomAttr, mayBeNull: boolean): string | null {
    if (mayBeNull && this.#chance(20)) return null;
    const size = Number(attr.key_size);
    const max = Number(attr.max_entries);
    const bytes = new Uint8Array(size);
    switch (this.#plan.keys) {
      case "index":
        new DataView(bytes.buffer).setUint32(0, this.#chance(2) ? 0xffff_ffff : this.#random(max + 2), true);
        break;
      case "prefix":
        this.#prefix(bytes);
        break;
      default: {
        const n = this.#random(Math.ceil(max * 1.5) + 1);
        for (let i = 0; i < size; i++) bytes[i] = i < 2 ? n >>> (i * 8) : (n * i) & 0xff;
      }
    }
    return toHex(bytes);
  }

  /** Prefixes that share beginnings. */
  #prefix(bytes: Uint8Array): void {
    const bits = (bytes.length - 4) * 8;
    const length = this.#chance(3)
      ? bits + 1 + this.#random(3)
      : this.#pick([0, 1, 7, 8, 8, 9, 12, 16, 16, 17, 20, 23, 24, 24, 28, 31, 32, bits, bits]);
    new DataView(bytes.buffer).setUint32(0, Math.min(length, bits + 3), true);
    for (let i = 4; i < bytes.length; i++) bytes[i] = this.#pick([0, 0, 1, 10, 10, 128, 192, 255]);
  }
}
