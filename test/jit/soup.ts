/**
 * Random programs that no verifier would let pass: pointers of all kinds and numbers at the limits of what is kept are
 * added, cut, compared, spilled in pieces, handed to functions and helpers, and stored through. What a register holds is
 * guessed from the instruction before, so that most accesses are right and some are not.
 */
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";

type Rnd = (n: number) => number;
type Kind = "num" | "stack" | "value" | "found" | "packet" | "end" | "ctx" | "record" | "any";

/** What programs refer to. */
export interface SoupMaps {
  readonly globals: number;
  readonly hash: number;
  readonly array: number;
  readonly ring: number;
}

export const VALUE_SIZE = 64;
/** Of the hash's and the array's values. */
export const SMALL_SIZE = 24;
/** Numbers that globals are filled with. */
export const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  16n,
  63n,
  64n,
  511n,
  0x7fffn,
  0x8000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x20_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  -1n,
  -8n,
  -512n,
  -0x8000_0000n,
  -0x1f_ffff_ffff_ffffn,
];
const IMMS = [
  0, 0, 1, 1, 2, 3, 4, 7, 8, 8, 15, 16, 24, 32, 40, 56, 63, 64, 255, 4096, 0x7fff_ffff, -1, -2, -4, -8, -16, -64,
];
const MASKS = [1, 3, 7, 8, 15, 24, 31, 48, 56, 63, 255, -8, -4, -16, 0x7fff_ffff];
const SIZES = ["u8", "u16", "u32", "u64", "u64", "u64"] as const;
const LOADS = ["u8", "u16", "u32", "u64", "u64", "u64", "s8", "s16", "s32"] as const;
const ALU = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "mod", "xor", "arsh"] as const;
const JUMPS = ["jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset"] as const;
const ATOMICS = ["add", "or", "and", "xor", "fetchAdd", "fetchOr", "fetchAnd", "fetchXor", "xchg", "cmpxchg"] as const;
const FUNCTIONS = 3;

type Items = asm.AsmItem[];

class Writer {
  readonly #rnd: Rnd;
  readonly #maps: SoupMaps;
  readonly #name: string;
  readonly #main: boolean;
  readonly #kinds: Kind[] = new Array<Kind>(11).fill("any");
  readonly #pieces: number;
  readonly #callees: readonly string[];
  #at = 0;

  constructor(rnd: Rnd, maps: SoupMaps, name: string, callees: readonly string[]) {
    this.#rnd = rnd;
    this.#maps = maps;
    this.#name = name;
    this.#main = name === "main";
    this.#callees = callees;
    this.#pieces = 6 + rnd(this.#main ? 40 : 14);
    this.#kinds[10] = "stack";
  }

  items(): Items {
    const items: Items = [asm.label(this.#name), this.#prologue()];
    for (; this.#at < this.#pieces; this.#at++) items.push(asm.label(`${this.#name}.${this.#at}`), this.#piece());
    items.push(asm.label(`${this.#name}.${this.#at}`));
    if (this.#main) {
      items.push(asm.ldMapValue(1, this.#maps.globals, 0));
      for (const [i, reg] of ([0, 6, 7, 8, 9] as const).entries()) items.push(asm.stx("u64", 1, reg, i * 8));
    }
    return [...items, asm.exit()];
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.#rnd(of.length)]!;
  }

  #any(): asm.Reg {
    return this.#rnd(10) as asm.Reg;
  }

  /** A register that holds such a thing, most of the time. */
  #with(...kinds: readonly Kind[]): asm.Reg {
    const found = this.#kinds.flatMap((kind, reg) => (kinds.includes(kind) && reg < 11 ? [reg as asm.Reg] : []));
    return found.length > 0 && this.#rnd(12) !== 0 ? this.#pick(found) : this.#any();
  }

  #set(reg: asm.Reg, kind: Kind): asm.Reg {
    if (reg < 10) this.#kinds[reg] = kind;
    return reg;
  }

  /** Any register to write. */
  #to(kind: Kind): asm.Reg {
    return this.#set(this.#any(), kind);
  }

  /** Mostly forward. */
  #label(): string {
    const back = this.#rnd(6) === 0;
    const to = back ? this.#rnd(this.#at + 1) : this.#at + 1 + this.#rnd(Math.min(8, this.#pieces - this.#at));
    return `${this.#name}.${to}`;
  }

  #prologue(): Items {
    if (!this.#main) {
      const items: Items = ([6, 7, 8, 9, 0] as const).map((to) => asm.mov64(to, (1 + this.#rnd(5)) as asm.Reg));
      return [...items, this.#number(this.#to("num"))];
    }
    this.#set(6, "ctx");
    this.#set(9, "value");
    this.#set(8, "stack");
    const items: Items = [asm.mov64(6, 1), asm.ldMapValue(9, this.#maps.globals, this.#rnd(8) * 8)];
    items.push(asm.mov64(8, 10), asm.alu64Imm("add", 8, -8 * (1 + this.#rnd(8))), this.#packet());
    for (const reg of [0, 4, 5, 7] as const) items.push(this.#number(reg));
    return items;
  }

  /** An unknown number, or a small one. */
  #number(reg: asm.Reg): Items {
    this.#set(reg, "num");
    if (this.#rnd(3) === 0) return [asm.mov64Imm(reg, this.#pick(IMMS))];
    const items = [asm.ldMapValue(reg, this.#maps.globals, 0), asm.ldx(this.#pick(LOADS), reg, reg, this.#rnd(8) * 8)];
    if (this.#rnd(2) === 0) items.push(asm.alu64Imm("and", reg, this.#pick(MASKS)));
    return items;
  }

  #packet(): Items {
    const ctx = this.#with("ctx");
    if (this.#kinds[ctx] !== "ctx" && this.#rnd(8) !== 0) return [];
    const [data, end] = [this.#pick([1, 2] as const), this.#pick([3, 4] as const)];
    if (data === ctx || end === ctx) return [];
    this.#set(data, "packet");
    this.#set(end, "end");
    return [asm.ldx("u32", data, ctx, this.#rnd(8) === 0 ? 8 : 0), asm.ldx("u32", end, ctx, 4)];
  }

  #piece(): asm.AsmItem {
    const kind = this.#rnd(100);
    if (kind < 10) return this.#move();
    if (kind < 17) return this.#step();
    if (kind < 27) return this.#arithmetic();
    if (kind < 31) return this.#number(this.#any());
    if (kind < 44) return this.#branch();
    if (kind < 56) return this.#access();
    if (kind < 68) return this.#slot();
    if (kind < 71) return this.#atomic();
    if (kind < 76) return this.#checked();
    if (kind < 79) return this.#packet();
    if (kind < 93) return this.#helper();
    return this.#function();
  }

  #move(): Items {
    const from = this.#rnd(11) as asm.Reg;
    const to = this.#any();
    const kind = this.#kinds[from]!;
    switch (this.#rnd(8)) {
      case 0:
        this.#set(to, "num");
        return [asm.mov32(to, from)];
      case 1:
        this.#set(to, "num");
        return [asm.movsx64(to, from, this.#pick([8, 16, 32] as const))];
      case 2:
        this.#set(to, "found");
        return [asm.mov64Imm(to, 0)];
      default:
        this.#set(to, kind);
        return [asm.mov64(to, from)];
    }
  }

  /** A pointer moves. */
  #step(): Items {
    const pointer = this.#with("stack", "value", "packet", "found", "record");
    if (pointer === 10) return [];
    if (this.#rnd(3) > 0) return [asm.alu64Imm(this.#pick(["add", "sub"] as const), pointer, this.#pick(IMMS))];
    const by = this.#with("num");
    return [
      asm.alu64Imm("and", by, this.#pick(MASKS)),
      asm.alu64(this.#pick(["add", "add", "sub"] as const), pointer, by),
    ];
  }

  #arithmetic(): Items {
    const to = this.#with("num");
    if (to === 10) return [];
    const op = this.#pick(ALU);
    this.#set(to, "num");
    const from = this.#rnd(4) === 0 ? this.#any() : this.#with("num");
    const shift = op === "lsh" || op === "rsh" || op === "arsh";
    const imm = shift
      ? this.#rnd(32)
      : op === "div" || op === "mod"
        ? this.#pick([1, 2, 3, 8, 64, -1])
        : this.#pick(IMMS);
    switch (this.#rnd(9)) {
      case 0:
        return [asm.neg64(to)];
      case 1:
        return [asm.neg32(to)];
      case 2:
        return [asm.byteOrder(this.#pick(["toLe", "toBe", "bswap"] as const), to, this.#pick([16, 32, 64] as const))];
      case 3:
        if (op === "div" || op === "mod")
          return [this.#rnd(2) === 0 ? asm.signed64(op, to, from) : asm.signed32(op, to, from)];
        return [asm.alu32(op, to, from)];
      case 4:
        return [asm.alu32Imm(op, to, imm)];
      case 5:
      case 6:
        return [asm.alu64(op, to, from)];
      default:
        return [asm.alu64Imm(op, to, shift ? this.#rnd(64) : imm)];
    }
  }

  #branch(): Items {
    const op = this.#pick(JUMPS);
    const to = this.#label();
    if (this.#rnd(4) === 0) {
      const pointer = this.#with("found");
      return [asm.jmpImm(this.#pick(["jeq", "jne"] as const), pointer, 0, to)];
    }
    const a = this.#rnd(3) === 0 ? this.#any() : this.#with("num");
    const same = this.#with(this.#kinds[a]!);
    switch (this.#rnd(4)) {
      case 0:
        return [asm.jmp32Imm(op, a, this.#pick(IMMS), to)];
      case 1:
        return [asm.jmp32(op, a, same, to)];
      case 2:
        return [asm.jmp(op, a, same, to)];
      default:
        return [asm.jmpImm(op, a, this.#pick(IMMS), to)];
    }
  }

  /** A packet pointer against its end, in all forms; then the bytes before are read. */
  #checked(): Items {
    const packet = this.#with("packet");
    const end = this.#with("end");
    const by = this.#pick([1, 2, 4, 8, 14, 20, 34]);
    const probe = this.#pick([0, 5, 7] as const);
    if (probe === packet || probe === end) return [];
    this.#set(probe, "packet");
    const op = this.#pick(["jgt", "jge", "jlt", "jle", "jeq", "jne"] as const);
    const to = this.#label();
    const [a, b] = this.#rnd(2) === 0 ? [probe, end] : [end, probe];
    const read = asm.ldx("u8", this.#pick([0, 5] as const), packet, this.#rnd(by + 1));
    const back = asm.ldx("u8", 0, probe, -1 - this.#rnd(by));
    return [
      asm.mov64(probe, packet),
      asm.alu64Imm("add", probe, by),
      asm.jmp(op, a, b, to),
      this.#rnd(2) === 0 ? read : back,
    ];
  }

  #offset(kind: Kind): number {
    if (kind === "stack") return -8 * this.#rnd(9) + this.#pick([0, 0, 0, 0, 4, 1]);
    if (this.#rnd(10) === 0) return this.#pick([-8, -1, 60, 57, 512]);
    return kind === "packet" ? this.#rnd(16) : 8 * this.#rnd(3) + this.#pick([0, 0, 0, 4, 1]);
  }

  #access(): Items {
    const pointer = this.#with("stack", "value", "found", "packet", "record");
    const off = this.#offset(this.#kinds[pointer]!);
    switch (this.#rnd(4)) {
      case 0:
        return [asm.st(this.#pick(SIZES), pointer, off, this.#pick(IMMS))];
      case 1:
        return [asm.stx(this.#pick(SIZES), pointer, this.#rnd(11) as asm.Reg, off)];
      default:
        return [asm.ldx(this.#pick(LOADS), this.#to("num"), pointer, off)];
    }
  }

  /** Spills and fills, whole and in pieces. */
  #slot(): Items {
    const at = -8 * (1 + this.#rnd(5));
    const reg = this.#rnd(11) as asm.Reg;
    switch (this.#rnd(8)) {
      case 0:
        return [asm.st(this.#pick(SIZES), 10, at, this.#pick(IMMS))];
      case 1:
        return [asm.stx(this.#pick(["u8", "u16", "u32"] as const), 10, reg, at + this.#pick([0, 4]))];
      case 2:
      case 3:
        return [asm.ldx(this.#pick(LOADS), this.#to("any"), 10, at)];
      case 4:
        return [asm.ldx("u32", this.#to("num"), 10, at + this.#pick([0, 4]))];
      case 5: {
        const to = this.#any();
        this.#set(to, this.#kinds[reg]!);
        return [asm.stx("u64", 10, reg, at), this.#move(), asm.ldx("u64", to, 10, at)];
      }
      default:
        return [asm.stx("u64", 10, reg, at)];
    }
  }

  #atomic(): Items {
    const pointer = this.#with("stack", "value", "found");
    const size = this.#pick(["u32", "u64"] as const);
    const off = this.#kinds[pointer] === "stack" ? -8 * (1 + this.#rnd(5)) : 8 * this.#rnd(3);
    const src = this.#any();
    const op = this.#pick(ATOMICS);
    this.#set(op === "cmpxchg" ? 0 : src, "num");
    return [asm.atomic(op, size, pointer, src, off)];
  }

  /** r1 .. r5 are nothing that anybody knows. */
  #lost(): Items {
    return ([1, 2, 3, 4, 5] as const).map((reg) => {
      const from = this.#pick([6, 7, 8, 9] as const);
      this.#set(reg, this.#kinds[from]!);
      return asm.mov64(reg, from);
    });
  }

  #called(result: Kind): void {
    for (const reg of [1, 2, 3, 4, 5] as const) this.#set(reg, "any");
    this.#set(0, result);
  }

  #memory(to: asm.Reg): Items {
    const from = this.#with("stack", "value", "found", "packet");
    if (this.#rnd(4) > 0 || from < 6) return [asm.mov64(to, 10), asm.alu64Imm("add", to, -8 * (1 + this.#rnd(8)))];
    return [asm.mov64(to, from)];
  }

  #helper(): Items {
    const { hash, array, ring, globals } = this.#maps;
    const key: Items = [asm.st("u32", 10, -8, this.#rnd(4)), asm.mov64(2, 10), asm.alu64Imm("add", 2, -8)];
    const map = this.#pick([hash, array, array, globals]);
    const ctx = this.#with("ctx");
    switch (this.#rnd(10)) {
      case 0:
      case 1:
      case 2: {
        this.#called("found");
        const test = this.#rnd(3) > 0 ? [asm.jmpImm("jeq", 0, 0, this.#label())] : [];
        return [key, asm.ldMapFd(1, map), asm.call(u.BPF_FUNC_map_lookup_elem), test];
      }
      case 3:
        this.#called("num");
        return [key, this.#memory(3), asm.ldMapFd(1, map), asm.mov64Imm(4, 0), asm.call(u.BPF_FUNC_map_update_elem)];
      case 4:
        this.#called("num");
        return [key, asm.ldMapFd(1, hash), asm.call(u.BPF_FUNC_map_delete_elem)];
      case 5: {
        this.#called("record");
        const size = this.#pick([8, 16, 24]);
        return [
          [asm.ldMapFd(1, ring), asm.mov64Imm(2, size), asm.mov64Imm(3, 0), asm.call(u.BPF_FUNC_ringbuf_reserve)],
          this.#rnd(4) > 0 ? [asm.jmpImm("jeq", 0, 0, this.#label())] : [],
        ];
      }
      case 6: {
        const record = this.#with("record");
        if (this.#kinds[record] !== "record") return [];
        const id = this.#pick([u.BPF_FUNC_ringbuf_submit, u.BPF_FUNC_ringbuf_discard]);
        this.#called("num");
        return [asm.mov64(1, record), asm.mov64Imm(2, 0), asm.call(id)];
      }
      case 7: {
        if (this.#kinds[ctx] !== "ctx") return [];
        const id = this.#pick([u.BPF_FUNC_xdp_adjust_head, u.BPF_FUNC_xdp_adjust_tail, u.BPF_FUNC_xdp_adjust_meta]);
        this.#called("num");
        return [asm.mov64(1, ctx), asm.mov64Imm(2, this.#pick([0, 4, -4, -8])), asm.call(id)];
      }
      case 8: {
        if (this.#kinds[ctx] !== "ctx" || ctx < 6) return [];
        const size = this.#with("num");
        const length: Items =
          this.#rnd(2) === 0 || size < 6
            ? [asm.mov64Imm(4, this.#pick([1, 4, 8, 16]))]
            : [asm.mov64(4, size), asm.alu64Imm("and", 4, this.#pick([7, 15])), asm.alu64Imm("add", 4, this.#rnd(2))];
        this.#called("num");
        return [asm.mov64(1, ctx), asm.mov64Imm(2, 0), this.#memory(3), length, asm.call(u.BPF_FUNC_xdp_load_bytes)];
      }
      default: {
        this.#called("num");
        const words: Items = [
          asm.mov64Imm(2, this.#pick([4, 8, 16])),
          asm.mov64Imm(3, 0),
          asm.mov64Imm(4, 0),
          asm.mov64Imm(5, 0),
        ];
        return [this.#memory(1), words, asm.call(u.BPF_FUNC_csum_diff)];
      }
    }
  }

  #function(): Items {
    if (this.#callees.length === 0) return [];
    const name = this.#pick(this.#callees);
    if (this.#rnd(3) > 0) {
      const items: Items = [];
      for (const reg of [1, 2, 3] as const)
        if (this.#rnd(2) === 0) items.push(asm.mov64(reg, this.#rnd(11) as asm.Reg));
      this.#called("any");
      return [...items, asm.callRel(name), this.#lost()];
    }
    const given = this.#rnd(11) as asm.Reg;
    const turns = this.#with("num");
    const each = this.#rnd(3) === 0;
    this.#called("num");
    return [
      asm.mov64(3, given),
      each ? [asm.ldMapFd(1, this.#maps.array)] : [asm.mov64(1, turns), asm.alu64Imm("and", 1, 3)],
      [asm.ldFunc(2, name), asm.mov64Imm(4, 0)],
      asm.call(each ? u.BPF_FUNC_for_each_map_elem : u.BPF_FUNC_loop),
      this.#lost(),
    ];
  }
}

/** Functions that these call, with those that they call. */
function calledBy(item: asm.AsmItem, functions: ReadonlyMap<string, Items>, found: Set<string>): void {
  if (Array.isArray(item)) {
    for (const each of item) calledBy(each, functions, found);
  } else if ("label" in item) {
    const callee = functions.get(item.label);
    if (callee === undefined || found.has(item.label)) return;
    found.add(item.label);
    calledBy(callee, functions, found);
  }
}

/** An XDP program. */
export function soup(rnd: Rnd, maps: SoupMaps): Items {
  const names = Array.from({ length: FUNCTIONS }, (_, i) => `f${i}`);
  const functions = new Map(
    names.map((name, i) => [name, new Writer(rnd, maps, name, names.slice(i + 1)).items()] as const),
  );
  const main = new Writer(rnd, maps, "main", names).items();
  const called = new Set<string>();
  calledBy(main, functions, called);
  return [main, ...[...called].map((name) => functions.get(name)!)];
}
