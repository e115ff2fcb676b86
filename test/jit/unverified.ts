/**
 * Random programs that no verifier has seen: wild pointers, registers that nothing was put into, jumps anywhere, functions,
 * callbacks, tail calls. Only what the loader asks for is kept: jumps stay in their function and on instructions.
 */
import { encodeInsns, type Insn, type InsnRow, insnTable, raw, variantOf } from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";

type Random = (n: number) => number;

/** fds of the maps, as they are on both hosts. */
export interface Fds {
  readonly array: number;
  readonly odd: number;
  readonly hash: number;
  readonly lru: number;
  readonly percpu: number;
  readonly queue: number;
  readonly ring: number;
  readonly programs: number;
}

/** Instructions that belong together; a jump, call or address of a function is resolved when all are written. */
interface Piece {
  readonly insns: Insn[];
  /** Index of the piece in its function that the last instruction jumps to. */
  to?: number;
  /** Number of the function that the first instruction calls or whose address it takes. */
  func?: number;
}

const VALUE = 24;
export const ODD_VALUE = 13;
export const ARRAY_VALUE: number = VALUE;
const rows = insnTable.filter((row): row is InsnRow => row !== undefined);
const byKind = (...kinds: string[]): readonly InsnRow[] => rows.filter((row) => kinds.includes(row.kind));
const plain = byKind("alu", "end");
const accesses = byKind("load", "store", "atomic");
const jumps = byKind("jump");
const packetLoads = byKind("ldPacket");

const IMMS = [0, 1, -1, 2, 3, 7, 8, 16, 31, 63, 255, 4096, 0x7fff_ffff, -0x8000_0000, -8, 0x55aa_1234];
const OFFSETS = [0, 0, 0, 1, 2, 4, 5, 8, 8, 12, 16, 16, 20, -1, -8, VALUE, VALUE - 1, 512, -512, -513];
const STACK_OFFSETS = [-8, -8, -16, -16, -24, -4, -12, -1, -32, -64, -504, -512, -508, -520, 0, 8, -10];
const WORDS = [0n, 1n, -1n, 1n << 32n, 1n << 63n, (1n << 63n) - 1n, 0xffff_ffffn, 0x1234_5678_9abc_def0n, 0x8000_0000n];

class FunctionWriter {
  readonly pieces: Piece[] = [];
  readonly #random: Random;
  readonly #fds: Fds;
  readonly #functions: number;
  readonly #skb: boolean;
  #main = false;

  constructor(random: Random, fds: Fds, functions: number, skb: boolean) {
    this.#random = random;
    this.#fds = fds;
    this.#functions = functions;
    this.#skb = skb;
  }

  #pick<T>(all: readonly T[]): T {
    return all[this.#random(all.length)]!;
  }

  #chance(percent: number): boolean {
    return this.#random(100) < percent;
  }

  #add(...insns: Insn[]): void {
    this.pieces.push({ insns });
  }

  #word(reg: number, value: bigint): void {
    const low = Number(BigInt.asIntN(32, value));
    this.#add(raw(0x18, reg, 0, 0, low), raw(0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n))));
  }

  /** reg = a map, or the address in the first value of an array. */
  #map(reg: number, fd: number): void {
    this.#add(raw(0x18, reg, u.BPF_PSEUDO_MAP_FD, 0, fd), raw(0));
  }

  #value(reg: number): void {
    const odd = this.#chance(40);
    const offset = this.#chance(70) ? 0 : this.#random(odd ? ODD_VALUE : VALUE);
    const fd = odd ? this.#fds.odd : this.#fds.array;
    this.#add(raw(0x18, reg, u.BPF_PSEUDO_MAP_VALUE, 0, fd), raw(0, 0, 0, 0, offset));
  }

  /** r6 a value, r7 the packet or a number, r8 the context, r9 a number. */
  start(main: boolean): void {
    this.#main = main;
    this.#value(6);
    if (main) {
      this.#add(raw(0xbf, 8, 1));
      const data = this.#skb ? u.__sk_buff.fields.data.offset : 0;
      this.#add(raw(0x61, 7, 1, data));
      if (this.#chance(60)) this.#bound(data);
    } else {
      this.#add(raw(0xb7, 7, 0, 0, this.#pick(IMMS)));
      this.#add(raw(0xbf, 8, 1 + this.#random(5)));
    }
    if (main && this.#chance(30)) return;
    this.#add(raw(0xb7, 9, 0, 0, this.#pick(IMMS)));
    this.#add(raw(0xb7, 0, 0, 0, this.#pick(IMMS)));
    for (let reg = main ? 1 : 6; reg <= 5; reg++) {
      if (this.#chance(80)) this.#add(raw(0xb7, reg, 0, 0, this.#pick(IMMS)));
    }
  }

  /** The packet's end is compared with, rightly or not. */
  #bound(data: number): void {
    this.#add(raw(0x61, 9, 1, data + 4));
    this.#add(raw(0xbf, 2, 7));
    this.#add(raw(0x07, 2, 0, 0, this.#pick([1, 4, 8, 14, 16, 40, 64, 65])));
    this.#jump(this.#pick([0x2d, 0x3d, 0xad, 0xbd]), 2, 9);
  }

  #jump(opcode: number, dst: number, src: number, imm = 0): void {
    const ahead = 1 + this.#random(6);
    this.pieces.push({ insns: [raw(opcode, dst, src, 0, imm)], to: this.pieces.length + ahead });
  }

  /** The end. What follows a jump that is always taken must be reached from elsewhere: else it is one that may be. */
  end(): void {
    if (this.#main) {
      for (let func = 1; func < this.#functions; func++) {
        if (this.#chance(60)) this.#localCall(func);
        else this.pieces.push({ insns: [raw(0x18, 2, u.BPF_PSEUDO_FUNC), raw(0)], func });
      }
    }
    this.#add(raw(0x95));
    const last = this.pieces.length - 1;
    const targets = new Set(this.pieces.map(({ to }) => to && Math.min(to, last)));
    this.pieces.forEach((piece, i) => {
      const [first] = piece.insns;
      if ((first!.opcode === 0x05 || first!.opcode === 0x06) && !targets.has(i + 1)) piece.insns[0] = raw(0x15, 9);
    });
  }

  #localCall(func: number): void {
    this.#add(raw(0xbf, 1, this.#pick([6, 7, 8, 9, 10])));
    if (this.#chance(50)) this.#add(raw(0xbf, 2, 10));
    this.pieces.push({ insns: [raw(0x85, 0, 1)], func });
    this.#refill();
  }

  piece(): void {
    const kind = this.#random(100);
    if (kind < 34) this.#arithmetic();
    else if (kind < 62) this.#access();
    else if (kind < 76) this.#anyJump();
    else if (kind < 90) this.#call();
    else if (kind < 93) this.#value(this.#random(10));
    else if (kind < 96) this.#word(this.#random(10), this.#pick(WORDS));
    else if (kind < 98 && this.#skb) this.#packetLoad();
    else this.#add(raw(0xbf, this.#random(10), 10));
  }

  #fill(row: InsnRow): { opcode: number; dst: number; src: number; off: number; imm: number } {
    const insn = { opcode: row.opcode, dst: this.#random(10), src: 0, off: 0, imm: 0 };
    if (row.src !== "none") insn.src = this.#random(11);
    if (row.off === "any") insn.off = this.#pick(OFFSETS);
    if (row.imm === "any") insn.imm = this.#pick(IMMS);
    if (row.imm === "nonZero" || row.imm === "shift") insn.imm = 1 + this.#random(31);
    if (row.selector !== "none")
      insn[row.selector] = this.#pick(row.variants.filter(({ op }) => op !== "addrSpaceCast")).value;
    return insn;
  }

  #arithmetic(): void {
    const insn = this.#fill(this.#pick(plain));
    // Pointers are kept more often than not.
    if ((insn.dst === 6 || insn.dst === 8) && this.#chance(85)) insn.dst = this.#pick([0, 1, 2, 3, 4, 5, 9]);
    this.#add(insn);
  }

  #access(): void {
    const row = this.#pick(accesses);
    const insn = this.#fill(row);
    const loads = row.kind === "load" || variantOf(row, insn)?.op === "loadAcq";
    const base = this.#chance(92) ? this.#pick([6, 6, 6, 10, 10, 7, 8]) : this.#random(11);
    if (loads) insn.src = base;
    else insn.dst = base;
    if (loads && (insn.dst === 6 || insn.dst === 8)) insn.dst = this.#pick([0, 1, 2, 3, 9]);
    if (base === 10) insn.off = this.#pick(STACK_OFFSETS);
    else if (this.#chance(75)) insn.off = this.#pick([0, 0, 0, 4, 8, 8, 16]);
    const width = row.kind === "atomic" && row.size !== 0 ? row.size : 1;
    if (this.#chance(90)) insn.off -= insn.off % width;
    this.#add(insn);
  }

  #anyJump(): void {
    const kind = this.#random(10);
    // Behind what is written, or ahead.
    const to = this.#chance(75) ? this.pieces.length + 1 + this.#random(8) : this.#random(this.pieces.length + 1);
    if (kind < 1) {
      this.pieces.push({ insns: [raw(this.#pick([0x05, 0x06]))], to });
    } else if (kind < 2) {
      this.pieces.push({ insns: [raw(0xe5)], to });
    } else {
      this.pieces.push({ insns: [this.#fill(this.#pick(jumps))], to });
    }
  }

  #packetLoad(): void {
    if (this.#chance(90)) this.#add(raw(0xbf, 6, 8));
    const insn = this.#fill(this.#pick(packetLoads));
    insn.imm = this.#pick([0, 4, 12, 14, 60, 63, 64, -1, 0x7fff_ffff]);
    insn.dst = 0;
    this.#add(insn);
    this.#value(6);
    this.#refill();
  }

  /** What a call left in r1 to r5 is read now and then only: such programs are not compiled. */
  #refill(): void {
    if (this.#chance(4)) return;
    for (let reg = 1; reg <= 5; reg++) this.#add(raw(0xb7, reg, 0, 0, this.#pick(IMMS)));
  }

  /** reg = the address of something that a helper can take, most often. */
  #memory(reg: number): void {
    const kind = this.#random(10);
    if (kind < 6) {
      this.#add(raw(0xbf, reg, 10));
      this.#add(raw(0x07, reg, 0, 0, this.#pick([-8, -8, -16, -24, -32, -4, -512])));
    } else if (kind < 8) {
      this.#add(raw(0xbf, reg, 6));
    } else if (kind < 9) {
      this.#add(raw(0xbf, reg, this.#random(11)));
    }
  }

  #call(): void {
    if (this.#functions > 1 && this.#chance(30)) {
      this.#localCall(1 + this.#random(this.#functions - 1));
      return;
    }
    const { array, odd, hash, lru, percpu, queue, ring, programs } = this.#fds;
    const call = (id: number): void => this.#add(raw(0x85, 0, 0, 0, id));
    const key = (): void => {
      const at = this.#pick([-8, -16, -4, -24]);
      if (this.#chance(80)) this.#add(raw(0x62, 10, 0, at, this.#random(4)));
      this.#add(raw(0xbf, 2, 10));
      this.#add(raw(0x07, 2, 0, 0, at));
    };
    switch (this.#random(this.#functions > 1 ? 13 : 10)) {
      case 0:
      case 1:
      case 2:
        this.#map(1, this.#pick([array, odd, hash, hash, lru, percpu]));
        key();
        call(u.BPF_FUNC_map_lookup_elem);
        this.#refill();
        // The value is used, tested for NULL or not.
        if (this.#chance(80)) this.#jump(0x15, 0, 0);
        if (this.#chance(70)) this.#add(raw(0xbf, 6, 0));
        return;
      case 3:
        this.#map(1, this.#pick([array, odd, hash, lru, percpu]));
        key();
        this.#memory(3);
        this.#add(raw(0xb7, 4, 0, 0, this.#pick([0, 0, 0, 1, 2, 9])));
        call(u.BPF_FUNC_map_update_elem);
        break;
      case 4:
        this.#map(1, this.#pick([hash, lru, array]));
        key();
        call(u.BPF_FUNC_map_delete_elem);
        break;
      case 5:
        this.#map(1, queue);
        this.#memory(2);
        this.#add(raw(0xb7, 3, 0, 0, 0));
        call(this.#pick([u.BPF_FUNC_map_push_elem, u.BPF_FUNC_map_pop_elem, u.BPF_FUNC_map_peek_elem]));
        break;
      case 6:
        this.#map(1, ring);
        this.#add(raw(0xb7, 2, 0, 0, this.#pick([8, 16, 24])));
        this.#add(raw(0xb7, 3, 0, 0, 0));
        call(u.BPF_FUNC_ringbuf_reserve);
        this.#refill();
        this.#jump(0x15, 0, 0);
        if (this.#chance(60)) this.#add(raw(0x7b, 0, 9, this.#pick([0, 8, 16])));
        this.#add(raw(0xbf, 1, 0));
        this.#add(raw(0xb7, 2, 0, 0, this.#random(2)));
        if (this.#chance(70)) call(this.#pick([u.BPF_FUNC_ringbuf_submit, u.BPF_FUNC_ringbuf_discard]));
        break;
      case 7:
        // Functions that call on must come with types.
        if (!this.#main) break;
        this.#add(raw(0xbf, 1, 8));
        this.#map(2, programs);
        this.#add(raw(0xb7, 3, 0, 0, this.#random(5)));
        call(u.BPF_FUNC_tail_call);
        break;
      case 8:
        this.#add(raw(0xbf, 1, 8));
        this.#add(raw(0xb7, 2, 0, 0, this.#pick([0, 4, 60, 61])));
        this.#memory(3);
        this.#add(raw(0xb7, 4, 0, 0, this.#pick([1, 4, 8, 16])));
        this.#add(raw(0xb7, 5, 0, 0, 0));
        if (this.#skb) call(this.#pick([u.BPF_FUNC_skb_load_bytes, u.BPF_FUNC_skb_store_bytes]));
        else call(this.#pick([u.BPF_FUNC_xdp_load_bytes, u.BPF_FUNC_xdp_store_bytes]));
        break;
      case 9:
        if (this.#skb) call(this.#pick([u.BPF_FUNC_ktime_get_ns, u.BPF_FUNC_get_smp_processor_id]));
        else {
          this.#add(raw(0xbf, 1, 8));
          this.#add(raw(0xb7, 2, 0, 0, this.#pick([-4, 4, 8, -60])));
          call(this.#pick([u.BPF_FUNC_xdp_adjust_head, u.BPF_FUNC_xdp_adjust_tail]));
        }
        break;
      case 10:
      case 11:
        this.#add(raw(0xb7, 1, 0, 0, this.#pick([0, 1, 3, 5, 200])));
        this.#funcAddress(2);
        this.#add(raw(0xbf, 3, this.#pick([6, 10, 8, 9])));
        this.#add(raw(0xb7, 4, 0, 0, this.#chance(95) ? 0 : 1));
        call(u.BPF_FUNC_loop);
        break;
      default:
        this.#map(1, this.#pick([array, hash, lru, percpu]));
        this.#funcAddress(2);
        this.#add(raw(0xbf, 3, this.#pick([6, 10, 8, 9])));
        this.#add(raw(0xb7, 4, 0, 0, 0));
        call(u.BPF_FUNC_for_each_map_elem);
    }
    this.#refill();
  }

  #funcAddress(reg: number): void {
    const func = 1 + this.#random(this.#functions - 1);
    this.pieces.push({ insns: [raw(0x18, reg, u.BPF_PSEUDO_FUNC), raw(0)], func });
  }
}

export interface Unverified {
  readonly skb: boolean;
  readonly insns: readonly Insn[];
  readonly bytes: Uint8Array;
  /** First instructions of its functions. */
  readonly starts: readonly number[];
}

/** A program of one to four functions. */
export function unverified(random: Random, fds: Fds, skb: boolean): Unverified {
  const functions = random(3) === 0 ? 1 : 1 + random(4);
  const writers = Array.from({ length: functions }, (_, i) => {
    const writer = new FunctionWriter(random, fds, functions, skb);
    writer.start(i === 0);
    for (let left = 3 + random(i === 0 ? 25 : 8); left > 0; left--) writer.piece();
    writer.end();
    return writer;
  });
  const starts: number[] = [];
  let end = 0;
  const places = writers.map(({ pieces }) => {
    starts.push(end);
    return pieces.map(({ insns }) => {
      const here = end;
      end += insns.length;
      return here;
    });
  });
  const insns = writers.flatMap(({ pieces }, f) =>
    pieces.flatMap((piece, p) => resolved(piece, places[f]!, p, starts)),
  );
  return { skb, insns, bytes: encodeInsns(insns), starts };
}

function resolved({ insns, to, func }: Piece, places: readonly number[], p: number, starts: readonly number[]): Insn[] {
  const [first, ...rest] = insns;
  if (to !== undefined) {
    const distance = places[Math.min(to, places.length - 1)]! - places[p]! - 1;
    return [{ ...first!, ...(first!.opcode === 0x06 ? { imm: distance } : { off: distance }) }];
  }
  if (func !== undefined) return [{ ...first!, imm: starts[func]! - places[p]! - 1 }, ...rest];
  return insns;
}
