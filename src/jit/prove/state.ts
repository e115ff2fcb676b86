/** What is known at one place of a function: of each register, and of what its frame holds. */
import { STACK_FRAME } from "../../kern/run_record.ts";
import {
  areLinked,
  ELSEWHERE,
  F_HELD,
  F_SLICE,
  isU32,
  K_OBJECT,
  K_PACKET,
  K_PACKET_END,
  K_REGION,
  K_UNKNOWN,
  LIMIT,
  narrowed,
  packet,
  UNKNOWN,
  Val,
} from "./value.ts";

const REGISTERS = 11;
/** The upper half of a word of 8 bytes. */
const TAIL: Val = new Val(K_UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0);
type Slots = (Val | undefined)[];
const NOTHING: Slots = [];

/** A place of the frame, its offset a multiple of 4: which word, counted from r10 downwards. */
function wordOf(offset: number): number {
  return -offset / 4 - 1;
}

/** Whether it is gone once the packet may have moved. */
export function isOfPacket({ kind, flags }: Val): boolean {
  return kind === K_PACKET || kind === K_PACKET_END || (kind === K_REGION && (flags & F_SLICE) !== 0);
}

/** Whether it is gone once the run gives back what it holds. */
export function isHeld({ kind, flags }: Val): boolean {
  return kind === K_OBJECT || (kind === K_REGION && (flags & F_HELD) !== 0);
}

export class State {
  readonly regs: Val[];
  /** By word, as far down as anything is known. */
  #slots: Slots = NOTHING;
  /** Other states have the same slots: they are copied before they are written. */
  #shared = true;

  constructor(regs: Val[]) {
    this.regs = regs;
  }

  static unknown(): State {
    return new State(new Array<Val>(REGISTERS).fill(UNKNOWN));
  }

  copy(): State {
    const made = new State(this.regs.slice());
    made.#slots = this.#slots;
    this.#shared = true;
    return made;
  }

  /** Joins the places of the frame. True: less is known than before. */
  joinSlots(from: State, join: (a: Val, b: Val) => Val): boolean {
    const mine = this.#slots;
    const other = from.#slots;
    if (mine.length === 0) return false;
    if (other.length === 0) {
      this.dropSlots();
      return true;
    }
    let changed = false;
    for (let i = 0; i < mine.length; i++) {
      const a = mine[i];
      if (a === undefined || a === TAIL) continue;
      const b = i < other.length ? other[i] : undefined;
      const long = i > 0 && mine[i - 1] === TAIL;
      const same = b !== undefined && b !== TAIL && long === (i > 0 && other[i - 1] === TAIL);
      const joined = same ? join(a, b) : undefined;
      if (joined === a) continue;
      changed = true;
      const slots = this.#own();
      slots[i] = joined;
      if (long && !same) slots[i - 1] = undefined;
    }
    return changed;
  }

  /** All places that hold this value hold a value of which more is known. */
  replace(old: Val, now: Val): void {
    if (old === UNKNOWN || old === now) return;
    const { regs } = this;
    for (let i = 0; i < REGISTERS; i++) if (regs[i] === old) regs[i] = now;
    let at = this.#slots.indexOf(old);
    if (at < 0) return;
    const slots = this.#own();
    for (; at >= 0; at = slots.indexOf(old, at + 1)) slots[at] = now;
  }

  /** Whether any place holds this value. */
  holds(v: Val): boolean {
    return this.regs.includes(v) || this.#slots.includes(v);
  }

  /** What is known of a number that was narrowed goes for those that are linked to it. */
  narrowLinked(v: Val): void {
    if (v.id === 0) return;
    this.#map((w) => {
      if (w === v || !areLinked(w, v)) return w;
      // As signed numbers: of these none is far enough off to wrap.
      const min = v.min + (w.off - v.off);
      const max = v.max + (w.off - v.off);
      if (min < -LIMIT || max > LIMIT) return w;
      return narrowed(w, min, max) ?? w;
    });
  }

  #own(): Slots {
    if (this.#shared) {
      this.#slots = this.#slots.slice();
      this.#shared = false;
    }
    return this.#slots;
  }

  /** Replaces every value by what the function makes of it; the same value becomes the same. */
  #map(change: (v: Val) => Val): void {
    const olds: Val[] = [];
    const news: Val[] = [];
    const once = (v: Val): Val => {
      const at = olds.indexOf(v);
      if (at >= 0) return news[at]!;
      const made = change(v);
      olds.push(v);
      news.push(made);
      return made;
    };
    const { regs } = this;
    for (let i = 0; i < REGISTERS; i++) regs[i] = once(regs[i]!);
    const slots = this.#slots;
    for (let i = 0; i < slots.length; i++) {
      const v = slots[i];
      if (v === undefined || v === TAIL) continue;
      const made = once(v);
      if (made !== v) this.#own()[i] = made;
    }
  }

  /** The addresses that packet pointers are relative to are another packet's. */
  dropPackets(): void {
    this.#map((v) => (isOfPacket(v) ? UNKNOWN : v));
  }

  dropHeld(): void {
    this.#map((v) => (isHeld(v) ? UNKNOWN : v));
  }

  /** The call is made once more: what it returned before is from elsewhere. */
  replaceOlder(call: number): void {
    this.#map((v) => {
      if (v.kind !== K_REGION || v.id !== call) return v;
      return new Val(v.kind, v.min, v.max, v.step, ELSEWHERE, v.off, v.room, v.size, v.flags);
    });
  }

  dropSlots(): void {
    this.#slots = NOTHING;
    this.#shared = true;
  }

  /** So many bytes from the base on are inside the packet, for pointers that are relative to it. */
  roomOf(base: number, flags: number, room: number): void {
    this.#map((v) => {
      if (v.kind !== K_PACKET || v.id !== base || v.flags !== flags) return v;
      // The packet ends within 4 GiB of its beginning.
      const high = Math.min(v.max, 2 ** 32 - room + v.off);
      return packet(base, v.off, v.min, Math.max(high, v.min), Math.max(v.room, room), flags);
    });
  }

  /** Any of the bytes from low to high may have been written. */
  forget(low: number, high: number): void {
    const { length } = this.#slots;
    if (length === 0 || high <= -STACK_FRAME || low >= 0) return;
    const first = Math.max(0, Math.floor(wordOf(high)) + 1);
    const last = Math.min(length - 1, Math.ceil(wordOf(low)));
    for (let i = first; i <= last; i++) {
      if (this.#slots[i] === undefined) continue;
      const slots = this.#own();
      if (slots[i] === TAIL) slots[i + 1] = undefined;
      if (i > 0 && slots[i - 1] === TAIL) slots[i - 1] = undefined;
      slots[i] = undefined;
    }
  }

  /** A store of a value to a place of the frame: aligned, and inside it. */
  put(offset: number, size: number, v: Val): void {
    this.forget(offset, offset + size);
    if (size !== 8 && (size !== 4 || !isU32(v))) return;
    const slots = this.#own();
    const at = wordOf(offset);
    while (slots.length <= at) slots.push(undefined);
    slots[at] = v;
    if (size === 8) slots[at - 1] = TAIL;
  }

  /** What a load from such a place gives, or undefined. */
  get(offset: number, size: number): Val | undefined {
    if (size < 4 || offset % size !== 0) return undefined;
    const slots = this.#slots;
    const at = wordOf(offset);
    if (at >= slots.length) return undefined;
    const v = slots[at];
    if (v === undefined || v === TAIL) return undefined;
    if ((at > 0 && slots[at - 1] === TAIL) === (size === 8)) return v;
    return size === 4 && isU32(v) ? v : undefined;
  }
}
