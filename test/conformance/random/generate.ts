/** Random sequences of calls for a map type: the same from the same seed, whatever the answers are. */
import * as u from "../../../src/uapi/index.ts";
import { randomOf } from "../../random.ts";
import { BTF_KINDS } from "./bytes.ts";
import { PLACES } from "./calls_object.ts";
import { mutated } from "./mutate.ts";
import { GOOD_OBJECTS, OBJECTS } from "./objects.ts";
import {
  BAD,
  BAD_HIGH,
  type BatchCommand,
  type ElementCommand,
  LAST,
  type MmapOp,
  NULL,
  PIN_NAMES,
  type ProgramCall,
  type RandomAttr,
  type RandomOp,
  type Twist,
} from "./op.ts";
import type { TypePlan, Weights } from "./plans.ts";

/** Maps of one type at the same time. */
export const SLOTS = 3;
const NOT_OPEN = 4000;
const PAGE = 4096;

/** How a map's flags restrict its first fd. Mostly not: what is refused at once is no test. */
const access = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, u.BPF_F_RDONLY, u.BPF_F_WRONLY];
/** The first names of `PIN_NAMES`. */
const GOOD_NAMES = 4;
const pinFlags = [0, 0, 0, 0, u.BPF_F_RDONLY, u.BPF_F_WRONLY, u.BPF_F_RDONLY | u.BPF_F_WRONLY, 1, 64];
const noTwist = {};
/** Where the fd of a command ends in its attributes. */
const FD_END_BATCH = u.bpf_attr.batch.map_fd.offset + 4;
const FD_END = 4;
/** Without where to begin the answer is the machine's first map. */
const START_ID_END = 4;
const FD_END_INNER = u.bpf_attr.map_create.inner_map_fd.offset + 4;
const FD_END_CREATE = u.bpf_attr.map_create.map_token_fd.offset + 4;
/** With these the last fds of MAP_CREATE count. */
const BPF_F_FDS = u.BPF_F_TOKEN_FD | u.BPF_F_VTYPE_BTF_OBJ_FD;

/** The calls of one chunk: a sequence with maps of its own. */
export function generate(plan: TypePlan, seed: number, chunk: number, count: number): RandomOp[] {
  const generator = new Generator(plan, randomOf((seed * 0x9e37_79b1 + chunk * 0x85eb_ca6b + plan.type * 31) >>> 0));
  return Array.from({ length: count }, () => generator.next());
}

/** An index by weight: cumulated sums once, then one random number each time. */
class Chooser<K extends string> {
  readonly #names: readonly K[];
  readonly #sums: readonly number[];
  readonly #total: number;

  constructor(weights: Weights<K>) {
    this.#names = Object.keys(weights) as K[];
    let sum = 0;
    this.#sums = this.#names.map((name) => (sum += weights[name] ?? 0));
    this.#total = sum;
  }

  next(random: (n: number) => number): K {
    const n = random(this.#total);
    let i = 0;
    while (this.#sums[i]! <= n) i++;
    return this.#names[i]!;
  }
}

interface MapOf {
  readonly slot: number;
  readonly fd: number;
}

class Generator {
  readonly #plan: TypePlan;
  readonly #random: (n: number) => number;
  readonly #attrs: (RandomAttr | undefined)[] = [];
  /** What was mapped by slots and places, if that went well. */
  readonly #mappings: (MmapOp | undefined)[] = [];
  readonly #ops: Chooser<RandomOp["op"]>;
  readonly #elements: Chooser<ElementCommand>;
  readonly #runs: Chooser<ProgramCall>;

  constructor(plan: TypePlan, random: (n: number) => number) {
    this.#plan = plan;
    this.#random = random;
    this.#ops = new Chooser(plan.ops);
    this.#elements = new Chooser(plan.elements);
    this.#runs = new Chooser(plan.runs);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random(from.length)]!;
  }

  #chance(perMille: number): boolean {
    return this.#random(1000) < perMille;
  }

  next(): RandomOp {
    const slot = this.#random(SLOTS);
    const attr = this.#attrs[slot];
    if (attr === undefined || this.#chance(3)) return this.#create(slot);
    const op = this.#ops.next(this.#random);
    const fd = this.#chance(850) ? 0 : this.#chance(950) ? this.#random(4) : NOT_OPEN;
    const of = { slot, fd, ...this.#twist(op === "batch" ? FD_END_BATCH : FD_END) };
    switch (op) {
      case "element":
        return this.#element(attr, of);
      case "batch":
        return this.#batch(attr, of);
      case "try":
        return this.#try();
      case "open": {
        const flags = this.#chance(200) ? this.#random(64) : this.#pick([0, 0, u.BPF_F_RDONLY, u.BPF_F_WRONLY]);
        return {
          op,
          slot,
          flags,
          add: this.#chance(100) ? this.#pick([0x8000_0000, 0xffff_ffff]) : 0,
          ...this.#twist(0),
        };
      }
      case "next_id":
        return { op, slot, add: this.#chance(100) ? 0x7fff_ffff : -this.#random(2), ...this.#twist(START_ID_END) };
      case "info": {
        const length = this.#pick([104, 104, 104, 88, 80, 96, 112, 4096, 8, 1, 0, 4097]);
        const asked = { op, ...of, length, dirty: this.#chance(150) ? this.#dirty(length) : -1 };
        return this.#chance(200) ? { ...asked, hash: true } : asked;
      }
      case "freeze":
      case "poll":
        return { op, ...of };
      case "close":
        // The first fd stays longest: without it nobody could use the map.
        return { op, slot, fd: fd === 0 ? 1 + this.#random(2) : fd };
      case "drop":
        return { op, slot };
      case "mmap":
        return this.#mmap(attr, of, this.#random(PLACES));
      case "munmap":
        return this.#munmap(slot, this.#random(PLACES));
      case "read":
      case "store":
        return this.#mappedBytes(attr, of, op);
      case "pin":
        return { op, ...of, name: this.#name(), flags: this.#chance(50) ? this.#pick(pinFlags) : 0 };
      case "get":
        return { op, slot, name: this.#name(), flags: this.#pick(pinFlags), ...this.#twist(0) };
      case "unlink":
        return { op, name: this.#name() };
      case "rename":
        return { op, name: this.#name(), to: this.#name() };
      case "consume":
        return { op, slot, most: 1 + this.#random(20) };
      case "run":
        return this.#run(attr, of);
      case "create":
        return this.#create(slot);
      default: {
        const unknown: never = op;
        throw new Error(`no such call: ${unknown}`);
      }
    }
  }

  /**
   * Attributes are mostly as they should be. `least`: where the command's last fd ends; what is cut off would be fd 0, of
   * which each process has its own.
   */
  #twist(least: number): Twist {
    if (this.#chance(970)) return noTwist;
    switch (this.#random(4)) {
      case 0:
        return { size: least + this.#random(60) };
      case 1:
        return { size: this.#pick([80, 96, 128, 160, 168, 169, 176, 200, 256]) };
      case 2:
        // Behind what any command has: beyond union bpf_attr, and in it.
        return { size: 192, at: this.#pick([100, 150, 167, 168, 175, 191]), byte: 1 + this.#random(255) };
      default:
        return { skew: true };
    }
  }

  #name(): number {
    return this.#random(this.#chance(900) ? GOOD_NAMES : PIN_NAMES.length);
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
    if (plan.holds === "maps") attr.inner_map = this.#chance(900) ? 0 : this.#random(OBJECTS.maps);
    if (this.#chance(300)) attr.map_name = `map_${this.#random(1000)}`;
    return attr;
  }

  #create(slot: number): RandomOp {
    const attr = this.#attr();
    const btf = this.#chance(100) ? this.#pick(this.#plan.btf ?? [undefined]) : undefined;
    if (btf !== undefined) {
      attr.key_size = btf.keySize;
      attr.value_size = btf.valueSize;
    }
    if (this.#plan.type !== u.BPF_MAP_TYPE_RINGBUF) attr.map_flags = Number(attr.map_flags) | this.#pick(access);
    const whole = btf !== undefined ? { ...attr, btf: btf.use } : attr;
    this.#attrs[slot] = whole;
    this.#mappings.fill(undefined, slot * PLACES, (slot + 1) * PLACES);
    return { op: "create", slot, attr: whole };
  }

  #try(): RandomOp {
    const attr = this.#chance(800) ? mutated(this.#attr(), this.#random) : this.#attr();
    const inner = this.#plan.holds === "maps" ? FD_END_INNER : 0;
    const twist = this.#twist(Number(attr.map_flags) & BPF_F_FDS ? FD_END_CREATE : inner);
    if (this.#chance(900) || attr.btf_fd !== undefined) return { op: "try", attr, ...twist };
    const btf = { key: this.#pick(BTF_KINDS), value: this.#pick(BTF_KINDS) };
    return { op: "try", attr: { ...attr, btf }, ...twist };
  }

  #element(attr: RandomAttr, of: MapOf): RandomOp {
    const command = this.#elements.next(this.#random);
    const key = this.#chance(8) ? this.#pick([NULL, BAD, BAD_HIGH]) : this.#key(attr, command);
    const value = this.#chance(8) ? this.#pick([NULL, BAD, BAD_HIGH]) : this.#value(attr);
    // The four bytes between fd and key are nobody's, and nobody looks at them.
    if (this.#chance(3))
      return { op: "element", command, ...of, key, value, flags: 0, at: 4, byte: 1 + this.#random(255) };
    return { op: "element", command, ...of, key, value, flags: this.#flags(attr, command) };
  }

  #key(attr: RandomAttr, command: string): number {
    if (this.#plan.keys === "none") return this.#chance(10) ? this.#random(100) : NULL;
    if (command === "next" && this.#chance(200)) return NULL;
    if (this.#chance(command === "next" ? 600 : 100)) return LAST;
    return this.#keyNumber(attr);
  }

  #keyNumber(attr: RandomAttr): number {
    const max = Number(attr.max_entries);
    if (this.#plan.keys === "index")
      return this.#chance(10) ? 0xffff_ffff : this.#random(max + (this.#chance(50) ? 2 : 0));
    // Somewhat more keys than the map has room for: it is full at times, and what is asked for is mostly there.
    return this.#random(Math.ceil(max * 1.3));
  }

  /** Few different ones, so that bloom filters are asked about what they were given. */
  #value(attr: RandomAttr): number {
    const { holds, values } = this.#plan;
    if (holds !== undefined) return this.#random(this.#chance(900) ? GOOD_OBJECTS : OBJECTS[holds]);
    if (values !== undefined) return this.#pick(values);
    return this.#random(Number(attr.max_entries) * 3);
  }

  #flags(attr: RandomAttr, command: ElementCommand): number {
    if (this.#chance(20)) return this.#pick([3, 4, 5, 6, 7, 8, 16, 64, 0x1_0000_0000, 0x1_0000_0001]);
    const lock = attr.btf?.value === "locked" && this.#chance(400) ? u.BPF_F_LOCK : 0;
    if (command !== "update") return lock | (this.#chance(10) ? this.#random(8) : 0);
    return lock | this.#pick([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, u.BPF_NOEXIST, u.BPF_EXIST]);
  }

  #batch(attr: RandomAttr, of: MapOf): RandomOp {
    const max = Number(attr.max_entries);
    const command: BatchCommand = this.#pick(["lookup", "lookup", "lookup", "take", "update", "update", "delete"]);
    const count = this.#chance(30) ? 0 : this.#chance(500) ? this.#random(8) : this.#random(Math.min(max, 60) * 2 + 1);
    const given = command === "update" || command === "delete";
    const keys = given ? Array.from({ length: count }, () => this.#keyNumber(attr)) : [];
    const from = this.#chance(300) ? "start" : this.#chance(950) ? "last" : this.#keyNumber(attr);
    const locked = attr.btf?.value === "locked" && this.#chance(400);
    const elemFlags = locked ? u.BPF_F_LOCK : this.#chance(30) ? this.#pick([1, 2, 3, 4, 5, 8, 0x1_0000_0000]) : 0;
    const flags = this.#chance(20) ? this.#pick([1, 4, 0x1_0000_0000]) : 0;
    const op = { op: "batch", command, ...of, from, count, keys, elemFlags, flags } as const;
    const bad = this.#chance(30) ? this.#pick(["in_batch", "out_batch", "keys", "values"] as const) : undefined;
    return bad === undefined ? op : { ...op, bad };
  }

  #munmap(slot: number, place: number): RandomOp {
    this.#mappings[slot * PLACES + place] = undefined;
    return { op: "munmap", slot, place };
  }

  /** What cannot be mapped is mostly left alone. */
  #mmap(attr: RandomAttr, of: MapOf, place: number): RandomOp {
    const mappable = this.#plan.mmap?.(attr);
    if (mappable === undefined && this.#chance(900)) return this.#element(attr, of);
    const { size, writable } = mappable ?? { size: PAGE, writable: [0, PAGE] as const };
    const pages = Math.ceil(size / PAGE);
    const again = this.#plan.oneMapping === true && this.#chance(850) ? ({ again: true } as const) : {};
    const op = { op: "mmap", ...of, place, ...again } as const;
    if (this.#chance(200)) {
      this.#mappings[of.slot * PLACES + place] = undefined;
      const offset = this.#chance(100) ? this.#random(10_000) : PAGE * this.#random(pages + 2);
      const length = this.#random(PAGE * (pages + 2));
      return { ...op, offset, length, prot: this.#pick([1, 1, 1, 3, 3, 3, 3, 2, 0, 7, 5]) };
    }
    const prot = this.#pick([1, 3, 3]);
    const [from, to] = prot === 3 ? writable : [0, pages * PAGE];
    const whole = { ...op, offset: from, length: to - from, prot };
    this.#mappings[of.slot * PLACES + place] = whole;
    return whole;
  }

  #mappedBytes(attr: RandomAttr, of: MapOf, kind: "read" | "store"): RandomOp {
    const { slot } = of;
    const place = this.#random(PLACES);
    const mapping = this.#mappings[slot * PLACES + place];
    if (mapping === undefined) return this.#mmap(attr, of, place);
    const op = kind === "store" && mapping.prot === 3 ? "store" : "read";
    const end = Math.min(mapping.length, (this.#plan.mmap?.(attr)?.comparable ?? 0) - mapping.offset);
    const offset = this.#chance(500) ? this.#random(24) : this.#random(end);
    if (op === "store") {
      return { op, slot, place, offset: Math.min(offset, end - 8), value: this.#random(0x1_0000) };
    }
    return { op, slot, place, offset, value: Math.min(1 + this.#random(512), end - offset) };
  }

  /** Programs that the verifier would refuse are no test of maps: it wants the map's rights. */
  #run(attr: RandomAttr, of: MapOf): RandomOp {
    const rights = Number(attr.map_flags) & (u.BPF_F_RDONLY_PROG | u.BPF_F_WRONLY_PROG);
    if (rights !== 0 || attr.btf?.value === "locked") return this.#element(attr, of);
    const call = this.#runs.next(this.#random);
    if (call !== "lookup" && this.#leftovers(attr)) return this.#element(attr, of);
    const flags = this.#chance(50) ? this.#random(16) : this.#pick([0, 0, 0, u.BPF_NOEXIST, u.BPF_EXIST]);
    return { op: "run", call, slot: of.slot, fd: of.fd, key: this.#keyNumber(attr), value: this.#value(attr), flags };
  }

  /**
   * A program's update of a per-CPU hash leaves the padding of a new element's values as it was in what had the memory
   * before. Which that is is not the same here (known gap): nothing to compare.
   */
  #leftovers(attr: RandomAttr): boolean {
    return this.#plan.percpu === true && this.#plan.keys === "bytes" && Number(attr.value_size) % 8 !== 0;
  }

  /** A byte of bpf_map_info to set: not one of the pointer in it. */
  #dirty(length: number): number {
    const { offset, size } = u.bpf_map_info.fields.hash;
    const at = this.#random(Math.max(1, length));
    return at >= offset && at < offset + size ? u.bpf_map_info.size : at;
  }
}
